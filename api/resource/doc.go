// Package resource encodes the things of the product as the API answers them: provision's types become those of api/openapi.
//
// The API's handlers and the --json options of the command line share it, so that both print the same JSON. It depends on no
// HTTP server.
package resource
