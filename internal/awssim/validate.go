package awssim

import (
	_ "embed" // the constraints
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

//go:embed constraints.txt
var constraintsText string

// shape is AWS's model of one operation: the constraints of its input, and the errors that it may return.
type shape struct {
	fields []field
	errors map[string]int // wire code → HTTP status
}

// field is the constraint of one member of an operation's input.
type field struct {
	path      []segment
	kind      string // string, integer, boolean, map; empty for a list
	min, max  int
	hasMin    bool
	hasMax    bool
	shown     string         // the pattern as AWS writes it in messages
	pattern   *regexp.Regexp // nil: any
	enum      []string
	sensitive bool
	element   *field // of a list of strings
}

// segment is one step of a path such as Tags*[].Key*.
type segment struct {
	name     string
	required bool
	list     bool
}

// shapes holds the model's constraints by "service.Operation".
var shapes = parseConstraints(constraintsText)

// parseConstraints reads constraints.txt. The file is embedded, so a wrong line is a programming error and panics.
func parseConstraints(text string) map[string]*shape {
	all := map[string]*shape{}
	var service string
	var current *shape
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || strings.HasPrefix(line, "# "):
		case strings.HasPrefix(line, "## "):
			service = line[3:]
		case strings.HasPrefix(line, "### "):
			current = &shape{errors: map[string]int{}}
			all[service+"."+line[4:]] = current
		case strings.HasPrefix(line, "! "):
			for _, e := range strings.Split(line[2:], ", ") {
				code, status, _ := strings.Cut(strings.TrimSuffix(e, ")"), "(")
				current.errors[code] = mustInt(status)
			}
		default:
			current.fields = append(current.fields, parseField(line))
		}
	}
	return all
}

func parseField(line string) field {
	head, rest, _ := strings.Cut(line, " ")
	name, kind, _ := strings.Cut(head, ":")
	f := field{kind: kind}
	for part := range strings.SplitSeq(name, ".") {
		s := segment{}
		part, s.list = strings.CutSuffix(part, "[]")
		s.name, s.required = strings.CutSuffix(part, "*")
		f.path = append(f.path, s)
	}
	if before, after, ok := strings.Cut(" "+rest, " of "); ok && kind == "" {
		element := field{kind: "string"}
		element.constrain(after)
		f.element, rest = &element, before
	}
	f.constrain(rest)
	return f
}

// constrain parses the text after the name: a length or range, a pattern, an enumeration, or the word sensitive.
func (f *field) constrain(text string) {
	if before, pattern, ok := strings.Cut(text, "`"); ok {
		pattern, after, _ := strings.Cut(pattern, "`")
		f.shown = pattern
		if _, ours, ok := strings.Cut(after, " as `"); ok {
			pattern, after, _ = strings.Cut(ours, "`")
		}
		f.pattern = regexp.MustCompile(`\A(?:` + goPattern(pattern) + `)\z`)
		text = before + after
	}
	for word := range strings.FieldsSeq(text) {
		if low, high, ok := strings.Cut(word, ".."); ok {
			if low != "" {
				f.min, f.hasMin = mustInt(low), true
			}
			if high != "" {
				f.max, f.hasMax = mustInt(high), true
			}
			continue
		}
		if enum, ok := strings.CutPrefix(word, "{"); ok {
			f.enum = strings.Split(strings.TrimSuffix(enum, "}"), "|")
			continue
		}
		if word != "sensitive" {
			panic(fmt.Sprintf("awssim: constraints.txt: %q is not understood", word))
		}
		f.sensitive = true
	}
}

var unicodeEscape = regexp.MustCompile(`\\u(10[0-9A-F]{4}|10000|[0-9A-F]{4})`)

// goPattern replaces the Java escapes \uXXXX by Go's \x{XXXX}. \u10000-\u10FFFF in the models means the supplementary planes.
func goPattern(java string) string { return unicodeEscape.ReplaceAllString(java, `\x{$1}`) }

func mustInt(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(fmt.Sprintf("awssim: constraints.txt: %q is not a number", s))
	}
	return n
}

// violation is one member of an input that breaks its constraint.
type violation struct {
	path    string // as in the service's messages, such as reportDefinition.reportName
	message string
}

// wrongType is an input member whose JSON type differs from the model's.
type wrongType struct{ path, want string }

// check validates an input against the model. A pattern must match the whole value, as in AWS.
func (s *shape) check(input map[string]any) (found []violation, mistyped *wrongType) {
	c := checker{reported: map[string]bool{}}
	for i := range s.fields {
		c.walk(&s.fields[i], s.fields[i].path, input, "")
	}
	return c.found, c.mistyped
}

type checker struct {
	found    []violation
	mistyped *wrongType
	reported map[string]bool // missing members that are already reported, because many fields share a parent
}

func (c *checker) walk(f *field, path []segment, in map[string]any, prefix string) {
	step, rest := path[0], path[1:]
	name := prefix + lowerFirst(step.name)
	value, present := in[step.name]
	if !present || value == nil {
		if step.required && !c.reported[name] {
			c.reported[name] = true
			c.found = append(c.found, violation{name,
				fmt.Sprintf("Value null at '%s' failed to satisfy constraint: Member must not be null", name)})
		}
		return
	}
	if step.list {
		list, ok := value.([]any)
		if !ok {
			c.mistyped = &wrongType{name, "list"}
			return
		}
		c.list(f, rest, list, name)
		return
	}
	if len(rest) > 0 {
		object, ok := value.(map[string]any)
		if !ok {
			c.mistyped = &wrongType{name, "structure"}
			return
		}
		c.walk(f, rest, object, name+".")
		return
	}
	c.scalar(f, value, name)
}

func (c *checker) list(f *field, rest []segment, list []any, name string) {
	if len(rest) == 0 { // the constraint is for the list itself
		c.bounds(f, len(list), name, "length", fmt.Sprintf("[%d elements]", len(list)))
		for i, v := range list {
			if f.element != nil {
				c.scalar(f.element, v, fmt.Sprintf("%s.%d.member", name, i+1))
			}
		}
		return
	}
	for i, v := range list {
		object, ok := v.(map[string]any)
		if !ok {
			c.mistyped = &wrongType{name, "list of structures"}
			return
		}
		c.walk(f, rest, object, fmt.Sprintf("%s.%d.member.", name, i+1))
	}
}

func (c *checker) scalar(f *field, value any, name string) {
	switch f.kind {
	case "string":
		text, ok := value.(string)
		if !ok {
			c.mistyped = &wrongType{name, "string"}
			return
		}
		shown := "'" + text + "'"
		if f.sensitive {
			shown = ""
		}
		if f.enum != nil {
			for _, allowed := range f.enum {
				if text == allowed {
					return
				}
			}
			c.add(name, shown, "Member must satisfy enum value set: ["+strings.Join(f.enum, ", ")+"]")
			return
		}
		c.bounds(f, utf8.RuneCountInString(text), name, "length", shown)
		if f.pattern != nil && !f.pattern.MatchString(text) {
			c.add(name, shown, "Member must satisfy regular expression pattern: "+f.shown)
		}
	case "integer":
		n, err := strconv.Atoi(fmt.Sprint(value))
		if err != nil {
			c.mistyped = &wrongType{name, "integer"}
			return
		}
		c.bounds(f, n, name, "value", fmt.Sprintf("'%d'", n))
	case "boolean":
		if text := fmt.Sprint(value); text != "true" && text != "false" {
			c.mistyped = &wrongType{name, "boolean"}
		}
	case "map":
		if _, ok := value.(map[string]any); !ok {
			c.mistyped = &wrongType{name, "map"}
		}
	}
}

func (c *checker) bounds(f *field, n int, name, what, shown string) {
	if f.hasMin && n < f.min {
		c.add(name, shown, fmt.Sprintf("Member must have %s greater than or equal to %d", what, f.min))
	}
	if f.hasMax && n > f.max {
		c.add(name, shown, fmt.Sprintf("Member must have %s less than or equal to %d", what, f.max))
	}
}

func (c *checker) add(name, shown, rule string) {
	if shown != "" {
		shown += " "
	}
	c.found = append(c.found, violation{name, fmt.Sprintf("Value %sat '%s' failed to satisfy constraint: %s", shown, name, rule)})
}

// describe joins violations as AWS does.
func describe(found []violation) string {
	texts := make([]string, len(found))
	for i, v := range found {
		texts[i] = v.message
	}
	noun := "errors"
	if len(found) == 1 {
		noun = "error"
	}
	return fmt.Sprintf("%d validation %s detected: %s", len(found), noun, strings.Join(texts, "; "))
}

func lowerFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToLower(s[:1]) + s[1:]
}

// decodeJSON reads a JSON object with its numbers as written.
func decodeJSON(body []byte) (map[string]any, error) {
	if len(body) == 0 {
		return map[string]any{}, nil
	}
	decoder := json.NewDecoder(strings.NewReader(string(body)))
	decoder.UseNumber()
	var object map[string]any
	err := decoder.Decode(&object)
	return object, err
}

// ModelledStatus returns the HTTP status of an operation's error in AWS's model, or def when the model does not contain the error. Tests
// use it to inject errors as AWS would return them.
func ModelledStatus(service, operation, code string, def int) int {
	if s := shapes[service+"."+operation]; s != nil {
		if status, ok := s.errors[code]; ok {
			return status
		}
	}
	return def
}
