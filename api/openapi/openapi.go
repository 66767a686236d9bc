package openapi

import _ "embed"

//go:generate go tool -modfile=../../tools/go.mod oapi-codegen -config types.yaml openapi.yaml
//go:generate go tool -modfile=../../tools/go.mod oapi-codegen -config server/server.yaml openapi.yaml
//go:generate go run -C ../../tools ./errorspage ../api/openapi/openapi.yaml ../docs/errors.md

// Document is openapi.yaml.
//
//go:embed openapi.yaml
var Document []byte
