// Package api is the marketplaces' HTTP API: openapi.yaml is the contract, written first; openapi.gen.go is made from it;
// server.go shows every route; one file a resource holds the handlers; errors.go is the one place that turns an error into
// a status. The API checks, asks and starts workflows. It writes no order.
package api

//go:generate go tool -modfile=../tools/go.mod oapi-codegen -config oapi-codegen.yaml openapi.yaml
