// Package api is the HTTP API of Quartermaster. It checks requests, reads the database, and starts and signals workflows. It
// writes no order: the order's workflow does.
//
// The document api/openapi/openapi.yaml is written first. Package openapi holds the types and the client that are generated
// from it, and package openapi/server the server interface that this package implements. server.go lists every route, and
// check_request.go refuses requests that do not match the document. Each resource has a file with its handlers and its rules.
// errors.go is the only place that turns an error into a status.
package api
