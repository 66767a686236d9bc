// Package server holds the server interface and the request and response types of the API, generated from openapi.yaml. Package
// api implements the interface. Clients use package openapi, which does not depend on the HTTP framework.
package server
