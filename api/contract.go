package api

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/routers"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

// contract is the loaded openapi.yaml. Requests are checked against it, and routes are compared with it.
type contract struct {
	doc        *openapi3.T
	operations map[string]*operation // by "METHOD /path" as Echo writes it
}

// operation is one operation of the document.
type operation struct {
	*openapi3.Operation
	route     *routers.Route
	public    bool              // needs no API key
	scopes    []provision.Scope // a caller needs one of them; none: each caller may call it
	claimed   bool              // has a route
	mediaType string            // of the body; empty: it takes none
	maxBytes  int64             // of the body; 0: bodyLimit holds
}

func loadContract() (*contract, error) {
	read, err := ourDocument()
	if err != nil {
		return nil, err
	}
	return contractOf(read)
}

// ourDocument is read only once, because it is large and never changes.
var ourDocument = sync.OnceValues(func() (document, error) { return readDocument(openapi.Document) })

// document is an OpenAPI document and its JSON.
type document struct {
	doc  *openapi3.T
	json []byte
}

func readDocument(yaml []byte) (document, error) {
	doc, err := openapi3.NewLoader().LoadFromData(yaml)
	if err != nil {
		return document{}, fmt.Errorf("openapi.yaml: %w", err)
	}
	text, err := doc.MarshalJSON()
	if err != nil {
		return document{}, fmt.Errorf("openapi.yaml: %w", err)
	}
	return document{doc, text}, nil
}

func contractOf(read document) (_ *contract, err error) {
	doc := read.doc
	c := &contract{doc: doc, operations: map[string]*operation{}}
	// The document needs no keyword that only JSON Schema 2020-12 has (a test sees to it), and kin-openapi's own validator,
	// which it keeps for OpenAPI 3.0, names every invalid field. The other one compiles the schema for each request.
	checkedAs := &openapi3.T{OpenAPI: "3.0.3"}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			checked := *op
			checked.Security = nil // authenticate and authorize check that
			scopes, public, problem := scopesOf(op)
			if problem != nil {
				err = errors.Join(err, fmt.Errorf("openapi.yaml: %s %s: %w", method, path, problem))
			}
			described := &operation{
				Operation: op,
				route:     &routers.Route{Spec: checkedAs, Path: path, PathItem: item, Method: method, Operation: &checked},
				public:    public,
				scopes:    scopes,
			}
			if described.mediaType, described.maxBytes, problem = bodyOf(op); problem != nil {
				err = errors.Join(err, fmt.Errorf("openapi.yaml: %s %s: %w", method, path, problem))
			}
			c.operations[method+" "+echoPath(path)] = described
		}
	}
	return c, err
}

// echoPath writes {order_id} as :order_id.
func echoPath(path string) string {
	return strings.NewReplacer("{", ":", "}", "").Replace(path)
}

// claim returns the operation of a route, or nil.
func (c *contract) claim(method, path string) *operation {
	op := c.operations[method+" "+path]
	if op != nil {
		op.claimed = true
	}
	return op
}

// unclaimed lists the operations without a route.
func (c *contract) unclaimed() (names []string) {
	for name, op := range c.operations {
		if !op.claimed {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
