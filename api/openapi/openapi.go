package openapi

import _ "embed"

//go:generate go tool -modfile=../../tools/go.mod oapi-codegen -config types.yaml openapi.yaml
//go:generate go tool -modfile=../../tools/go.mod oapi-codegen -config server/server.yaml openapi.yaml

// Document is openapi.yaml.
//
//go:embed openapi.yaml
var Document []byte
