// Package client calls the API of Quartermaster by the generated client of package openapi, and adds what every caller needs:
// a limit of time for each request, repeats where they are safe, errors that say what to do, pages, and the event stream.
//
// A request is repeated when the connection could not be made, when the API says 429, and, unless the request is marked by
// Once, when no complete answer arrived or the API says 502, 503 or 504. The API makes such repeats safe: an order's id is its
// idempotency key, and the verbs of orders and accounts do something once.
//
// Answers are read tolerantly. Unknown members and unknown values do no harm, and what is printed as JSON is what the API sent.
package client
