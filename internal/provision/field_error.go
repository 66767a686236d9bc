package provision

import (
	"fmt"
	"regexp"
	"strings"
)

// FieldError says what is wrong with one field of a request and how to correct it.
type FieldError struct {
	Field   string // path as in the API, e.g. aws_alternate_contact.phone
	Message string // names the rule and what to do
}

// InvalidError lists every invalid field of something that was refused.
type InvalidError struct{ Fields []FieldError }

// Error names every invalid field, one on each line.
func (e *InvalidError) Error() string {
	lines := make([]string, len(e.Fields))
	for i, f := range e.Fields {
		lines[i] = f.Field + ": " + f.Message
	}
	return strings.Join(lines, "\n")
}

var slugPattern = regexp.MustCompile(`^[a-z0-9](-?[a-z0-9])*$`)

// ValidID reports whether the text may be the id of a provider or of a marketplace.
func ValidID(text string) bool { return len(text) <= 40 && slugPattern.MatchString(text) }

// fieldErrors collects what is wrong with the fields of one request.
type fieldErrors []FieldError

func (v *fieldErrors) add(field, format string, args ...any) {
	*v = append(*v, FieldError{field, fmt.Sprintf(format, args...)})
}

func (v *fieldErrors) check(field string, ok bool, format string, args ...any) {
	if !ok {
		v.add(field, format, args...)
	}
}

// text checks a line of free text of 1 to most characters.
func (v *fieldErrors) text(field, s string, most int) {
	fault := TextFault(s, most)
	v.check(field, fault == "", "%s", fault)
}

// pool checks the names of a pool.
func (v *fieldErrors) pool(p Pool) {
	v.check("marketplace", ValidID(p.Marketplace),
		"%q is not a marketplace id: use lower-case letters, digits and single hyphens, at most 40", p.Marketplace)
	v.check("environment", p.Environment == Production || p.Environment == Test,
		"%q is not an environment: use production or test", p.Environment)
}
