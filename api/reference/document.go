package reference

import (
	"fmt"
	"path"

	"go.yaml.in/yaml/v3"
)

// document holds what the page shows of the API's document, in the order of the document.
type document struct {
	Info struct {
		Title, Version, Summary, Description string
	}
	Tags       []tag
	Paths      ordered[pathItem]
	Webhooks   ordered[pathItem]
	Components struct {
		SecuritySchemes ordered[struct{ Description string }] `yaml:"securitySchemes"`
		Parameters      ordered[parameter]
		Headers         ordered[header]
		Responses       ordered[response]
		Schemas         ordered[schema]
		Examples        ordered[example]
	}
}

type tag struct{ Name, Description string }

type pathItem struct {
	Parameters                    []parameter
	Post, Get, Put, Patch, Delete *operation
}

type operation struct {
	OperationID string `yaml:"operationId"`
	Tags        []string
	Security    []map[string][]string
	Summary     string
	Description string
	Parameters  []parameter
	RequestBody *struct {
		Required bool
		Content  ordered[content]
	} `yaml:"requestBody"`
	Responses ordered[response]
}

type parameter struct {
	Ref         string `yaml:"$ref"`
	Name, In    string
	Required    bool
	Description string
	Schema      schema
}

type header struct {
	Ref         string `yaml:"$ref"`
	Description string
}

type response struct {
	Ref         string `yaml:"$ref"`
	Description string
	Headers     ordered[header]
	Content     ordered[content]
}

type content struct {
	Schema   schema
	Example  yaml.Node
	Examples ordered[example]
}

type example struct {
	Ref     string `yaml:"$ref"`
	Summary string
	Value   yaml.Node
}

type schema struct {
	Ref         string `yaml:"$ref"`
	Type        words
	Format      string
	Pattern     string
	Description string
	Enum        []string
	Extensible  []string `yaml:"x-extensible-enum"`
	Default     yaml.Node
	Minimum     yaml.Node
	Maximum     yaml.Node
	MinLength   *int `yaml:"minLength"`
	MaxLength   *int `yaml:"maxLength"`
	MinItems    *int `yaml:"minItems"`
	MaxItems    *int `yaml:"maxItems"`
	Items       *schema
	AnyOf       []schema `yaml:"anyOf"`
	Required    []string
	Properties  ordered[schema]
}

// ordered is a mapping that keeps the order of the document.
type ordered[T any] []member[T]

type member[T any] struct {
	Name  string
	Value T
}

// UnmarshalYAML reads a mapping.
func (o *ordered[T]) UnmarshalYAML(n *yaml.Node) error {
	for i := 0; i+1 < len(n.Content); i += 2 {
		m := member[T]{Name: n.Content[i].Value}
		if err := n.Content[i+1].Decode(&m.Value); err != nil {
			return fmt.Errorf("line %d: %w", n.Content[i].Line, err)
		}
		*o = append(*o, m)
	}
	return nil
}

// named returns the member that a reference such as #/components/schemas/Order names.
func (o ordered[T]) named(ref string) (T, error) {
	for _, m := range o {
		if m.Name == path.Base(ref) {
			return m.Value, nil
		}
	}
	var none T
	return none, fmt.Errorf("the document has no %s", ref)
}

// words is a word or a list of words.
type words []string

// UnmarshalYAML reads a scalar or a list.
func (w *words) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		*w = words{n.Value}
		return nil
	}
	return n.Decode((*[]string)(w))
}
