// Package openapi holds the API's document, openapi.yaml, and what is generated from it: the types of requests and answers,
// and a client. The document is written first. Callers of the API use this package: the command line, the console and
// connectors. Package server, below this one, holds the generated server that package api implements.
package openapi
