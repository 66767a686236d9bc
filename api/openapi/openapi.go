// Package openapi holds the API's document, openapi.yaml, and what is generated from it: the types of requests and answers,
// and a client. The document is written first. Callers of the API use this package: the command line, the console and
// connectors. Package server, below this one, holds the generated server that package api implements.
package openapi

import _ "embed"

//go:generate go tool -modfile=../../tools/go.mod oapi-codegen -config types.yaml openapi.yaml
//go:generate go tool -modfile=../../tools/go.mod oapi-codegen -config server/server.yaml openapi.yaml

// Document is openapi.yaml.
//
//go:embed openapi.yaml
var Document []byte
