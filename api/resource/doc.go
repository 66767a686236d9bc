// Package resource encodes the things of the product as the API answers them: provision's types become those of api/openapi.
//
// The API's handlers share it. It depends on no HTTP server.
package resource
