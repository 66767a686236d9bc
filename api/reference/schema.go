package reference

import (
	"fmt"
	"html/template"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// field is a row of the table of an object's members.
type field struct {
	Name        string // with the names of the objects around it, separated by dots
	Required    bool
	Schema      schema
	Description string
}

// fields returns the members of an object, and those of the objects in it that have no name of their own.
func (r renderer) fields(s schema) ([]field, error) {
	if s.Ref != "" {
		named, err := r.document.Components.Schemas.named(s.Ref)
		if err != nil {
			return nil, err
		}
		s = named
	}
	return r.fieldsBelow("", s)
}

func (r renderer) fieldsBelow(prefix string, s schema) (found []field, err error) {
	for _, m := range s.Properties {
		f := field{Name: prefix + m.Name, Required: slices.Contains(s.Required, m.Name), Schema: m.Value, Description: m.Value.Description}
		if m.Value.Ref != "" {
			named, err := r.document.Components.Schemas.named(m.Value.Ref)
			if err != nil {
				return nil, err
			}
			f.Description = named.Description
		}
		found = append(found, f)
		below, err := r.fieldsBelow(f.Name+".", m.Value)
		if err != nil {
			return nil, err
		}
		found = append(found, below...)
	}
	return found, nil
}

// kind returns the type of a value, with links to the schemas that it names.
func (r renderer) kind(s schema) template.HTML {
	switch {
	case s.Ref != "":
		name := template.HTMLEscapeString(path.Base(s.Ref))
		return template.HTML(`<a href="#` + name + `">` + name + `</a>`) //nolint:gosec // escaped
	case s.Items != nil:
		return "list of " + r.kind(*s.Items)
	case len(s.AnyOf) > 0:
		kinds := make([]string, len(s.AnyOf))
		for i, one := range s.AnyOf {
			kinds[i] = string(r.kind(one))
		}
		return template.HTML(strings.Join(kinds, " or ")) //nolint:gosec // escaped
	case len(s.Type) == 0:
		return "any"
	}
	text := strings.Join(s.Type, " or ")
	if s.Format != "" {
		text += ", " + s.Format
	}
	return template.HTML(template.HTMLEscapeString(text)) //nolint:gosec // escaped
}

// rules returns what the document demands of a value besides its type, in words.
func rules(s schema) (found []string) {
	if len(s.Enum) > 0 {
		found = append(found, "one of "+strings.Join(s.Enum, ", "))
	}
	if text := span(s.MinLength, s.MaxLength, "character"); text != "" {
		found = append(found, text)
	}
	if text := span(s.MinItems, s.MaxItems, "item"); text != "" {
		found = append(found, text)
	}
	for _, limit := range []struct {
		word  string
		value yaml.Node
	}{{"at least", s.Minimum}, {"at most", s.Maximum}, {"default", s.Default}} {
		if !limit.value.IsZero() {
			found = append(found, limit.word+" "+limit.value.Value)
		}
	}
	if s.Pattern != "" {
		found = append(found, "matches "+s.Pattern)
	}
	return found
}

// span says how many of something there may be.
func span(least, most *int, unit string) string {
	switch {
	case least != nil && most != nil:
		return fmt.Sprintf("%d to %d %ss", *least, *most, unit)
	case most != nil:
		return fmt.Sprintf("at most %d %ss", *most, unit)
	case least != nil:
		return fmt.Sprintf("at least %d %ss", *least, unit)
	}
	return ""
}
