package api

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"

	"quartermaster/internal/provision"
)

// patternMessage is the extension with which the document explains a pattern: what a wrong value is not, the rule, and an example.
const patternMessage = "x-message"

// inWords explains an error of kin-openapi to a person: the rule, and what to do.
func inWords(e *openapi3.SchemaError) string {
	s := e.Schema
	switch e.SchemaField {
	case "required":
		return "is missing: it is required"
	case "type":
		return "must be " + typeInWords(s)
	case "nullable":
		return "must not be null: give it a value, or leave it out"
	case "enum":
		return "use " + provision.JoinWords(texts(s.Enum), "or")
	case "pattern":
		if message, ok := s.Extensions[patternMessage].(string); ok {
			return message
		}
	case "minimum":
		return "must be at least " + number(*s.Min)
	case "maximum":
		return "must be at most " + number(*s.Max)
	case "minLength", "maxLength":
		text, _ := e.Value.(string)
		return fmt.Sprintf("needs %s; it has %d", sizeInWords(s.MinLength, s.MaxLength, "character"), utf8.RuneCountInString(text))
	case "minItems", "maxItems":
		items, _ := e.Value.([]any)
		return fmt.Sprintf("needs %s; it has %d", sizeInWords(s.MinItems, s.MaxItems, "item"), len(items))
	case "uniqueItems":
		return "has an item twice: list each item once"
	case "minProperties":
		return fmt.Sprintf("needs %s: the document lists them", sizeInWords(s.MinProps, s.MaxProps, "field"))
	}
	return firstLine(e.Reason)
}

// typesInWords holds the types of JSON.
var typesInWords = map[string]string{
	openapi3.TypeArray: "a JSON array", openapi3.TypeObject: "a JSON object", openapi3.TypeString: "a JSON string",
	openapi3.TypeInteger: "a number without a fraction, such as 60", openapi3.TypeNumber: "a number, such as 0.5",
	openapi3.TypeBoolean: "true or false", openapi3.TypeNull: "null",
}

func typeInWords(s *openapi3.Schema) string {
	if s == nil || s.Type == nil {
		return "of another type"
	}
	words := make([]string, len(s.Type.Slice()))
	for i, name := range s.Type.Slice() {
		words[i] = typesInWords[name]
	}
	return strings.Join(words, " or ")
}

// sizeInWords returns "3 to 63 characters", "at most 200 items" or "at least 1 field".
func sizeInWords(least uint64, most *uint64, what string) string {
	switch {
	case most == nil && least == 1:
		return "at least 1 " + what
	case most == nil:
		return fmt.Sprintf("at least %d %ss", least, what)
	case least == 0:
		return fmt.Sprintf("at most %d %ss", *most, what)
	}
	return fmt.Sprintf("%d to %d %ss", least, *most, what)
}

func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// texts returns the values of an enumeration. The null of a nullable one is an answer too.
func texts(values []any) []string {
	words := make([]string, len(values))
	for i, v := range values {
		text, ok := v.(string)
		if !ok {
			encoded, _ := json.Marshal(v) // a value of the document, which is JSON
			text = string(encoded)
		}
		words[i] = text
	}
	return words
}

// firstLine returns a message of kin-openapi without the schema and the value that follow on further lines.
func firstLine(message string) string {
	line, _, _ := strings.Cut(message, "\n")
	return line
}
