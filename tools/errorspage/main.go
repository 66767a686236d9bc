// Command errorspage writes docs/errors.md: the codes, steps and events that the API document lists, as a page.
//
//	errorspage openapi.yaml errors.md
package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"github.com/getkin/kin-openapi/openapi3"
)

const head = `<!-- Generated from api/openapi/openapi.yaml by make generate. Edit the descriptions there. -->

# Errors, questions and events

Programs decide by the codes on this page; people read the texts that come with them. Later releases may add codes,
steps and events, so a program must accept values that it does not know.
`

// sections are the headings of the page, and the schema of the document that each shows.
var sections = []struct{ title, schema string }{
	{"Problems: `code` of an answer", "ProblemCode"},
	{"Questions and failures: `failure.code` of an order", "FailureCode"},
	{"Steps of an order", "StepName"},
	{"Types of events", "EventName"},
	{"Kinds of stock alerts", "AlertKind"},
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "errorspage:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return errors.New("usage: errorspage openapi.yaml errors.md")
	}
	document, err := openapi3.NewLoader().LoadFromFile(args[0])
	if err != nil {
		return err
	}
	var page bytes.Buffer
	page.WriteString(head)
	for _, section := range sections {
		schema, ok := document.Components.Schemas[section.schema]
		if !ok {
			return fmt.Errorf("%s has no schema %s", args[0], section.schema)
		}
		fmt.Fprintf(&page, "\n## %s\n\n%s", section.title, schema.Value.Description)
	}
	return os.WriteFile(args[1], page.Bytes(), 0o644) //nolint:gosec // the generator names the file
}
