package api

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

// A schema of free text says so by this extension: the text is one line, or has paragraphs. See provision.TextFault.
const (
	textExtension  = "x-text"
	textLine       = "line"
	textParagraphs = "paragraphs"
)

// canonical brings a parsed body into the form in which the handlers read it: free text without the white space around it, times
// in UTC. It returns the values that break the rules for free text and times.
func canonical(v any, at []string, s *openapi3.Schema) (any, []finding) {
	var found []finding
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			if property := s.Properties[name]; property != nil {
				value, wrong := canonical(member, append(slices.Clone(at), name), property.Value)
				v[name], found = value, append(found, wrong...)
			}
		}
	case []any:
		for i, item := range v {
			if s.Items != nil {
				value, wrong := canonical(item, append(slices.Clone(at), strconv.Itoa(i)), s.Items.Value)
				v[i], found = value, append(found, wrong...)
			}
		}
	case json.Number:
		if s.Type.Includes(openapi3.TypeInteger) && hasFraction(v) {
			found = []finding{{FieldProblem: fieldAt(at, "must be "+typeInWords(s)), shape: true}}
		}
	case string:
		text, wrong := canonicalText(v, s)
		if wrong != "" {
			found = []finding{{FieldProblem: fieldAt(at, wrong)}}
		}
		return text, found
	}
	return v, found
}

// hasFraction reports whether a number is no integer. kin-openapi rounds a number before it looks. It still compares the large
// ones with their bounds.
func hasFraction(number json.Number) bool {
	f, err := number.Float64()
	return err == nil && math.Abs(f) < 1e15 && strings.ContainsAny(number.String(), ".eE")
}

// canonicalText is canonical for a string. An empty text breaks no rule of its own: the schema says whether it may be empty.
func canonicalText(text string, s *openapi3.Schema) (_, wrong string) {
	if s.Format == formatTime {
		at, wrong := parseTime(text)
		if wrong != "" {
			return text, wrong
		}
		return at.Format(time.RFC3339Nano), ""
	}
	judge := provision.TextFault
	switch s.Extensions[textExtension] {
	case textParagraphs:
		judge = provision.ParagraphsFault
	case textLine:
	default:
		return text, ""
	}
	if text = provision.CleanText(text); text == "" && s.MinLength == 0 {
		return "", ""
	}
	return text, judge(text, int(value(s.MaxLength))) // a test sees to it that the document bounds every free text
}

// fieldAt is an invalid field of the body, by the names and places that lead to it.
func fieldAt(path []string, message string) openapi.FieldProblem {
	field := bodyField("", message)
	if len(path) > 0 {
		at, name := pointer(path), dotted(path)
		field.Pointer, field.Field = &at, &name
	}
	return field
}
