// Package server holds the HTTP server that is generated from openapi.yaml: the routes, the decoding of requests and the
// interface that package api implements. It is apart from package openapi so that clients of the API do not import Echo.
package server
