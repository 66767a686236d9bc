package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/labstack/echo/v4"

	"quartermaster/api/openapi"
	"quartermaster/api/resource"
	"quartermaster/internal/provision"
)

// checkRequest refuses a request that does not match the document, and names every invalid field at once. It checks the
// document first and then the operation's rules, which the document cannot express. The handler gets the very values that were
// checked: see decodeParameters, parseJSON and canonical.
func (s *service) checkRequest(op *operation) echo.MiddlewareFunc {
	rules := s.rules()[op.OperationID]
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			inParameters, err := op.checkParameters(c)
			if err != nil {
				return err
			}
			body, inBody, err := s.checkBody(op, c)
			if err != nil {
				return err
			}
			if rules != nil {
				broken, err := rules(c.Request().Context(), body)
				if err != nil {
					return err
				}
				inBody = merge(inBody, broken)
			}
			return refusal(append(inBody, inParameters...), next, c)
		}
	}
}

// checkParameters decodes the parameters and checks them. What cannot be decoded is not checked.
func (op *operation) checkParameters(c echo.Context) ([]finding, error) {
	found, err := op.decodeParameters(c)
	if err != nil {
		return nil, err
	}
	input := &openapi3filter.RequestValidationInput{
		Request:    c.Request(),
		PathParams: map[string]string{},
		Route:      op.route,
		Options:    &openapi3filter.Options{MultiError: true, SkipSettingDefaults: true, ExcludeRequestBody: true},
	}
	for i, name := range c.ParamNames() {
		input.PathParams[name] = c.ParamValues()[i]
	}
	for _, wrong := range findings(openapi3filter.ValidateRequest(c.Request().Context(), input)) {
		if !slices.ContainsFunc(found, func(f finding) bool { return f.In == wrong.In && value(f.Field) == value(wrong.Field) }) {
			found = append(found, wrong)
		}
	}
	return found, nil
}

// checkBody reads the body, brings it into its canonical form and checks it. A file is read and not checked. It returns the JSON that the
// handler gets, or nil.
func (s *service) checkBody(op *operation, c echo.Context) ([]byte, []finding, error) {
	if op.RequestBody == nil {
		return nil, nil, nil
	}
	if op.takesFile() {
		return nil, nil, s.openFile(c, op)
	}
	parsed, given, err := s.readJSON(c, op)
	if err != nil {
		return nil, nil, err
	}
	var found []finding
	if given {
		schema := op.RequestBody.Value.Content[op.mediaType].Schema.Value
		var wrong []finding
		parsed, wrong = canonical(parsed, nil, schema)
		found = replaced(findings(schema.VisitJSON(parsed, openapi3.MultiErrors(), openapi3.VisitAsRequest())), wrong)
	}
	text, err := putBody(c.Request(), parsed, given)
	return text, found, err
}

// mostFindings limits the invalid fields that a refusal names. No real request has so many fields.
const mostFindings = 50

// refusal returns the problem for the findings, or the next handler's answer if there are none.
func refusal(found []finding, next echo.HandlerFunc, c echo.Context) error {
	if len(found) == 0 {
		return next(c)
	}
	place := func(f finding) string { return f.In + " " + value(f.Field) }
	slices.SortStableFunc(found, func(a, b finding) int { return strings.Compare(place(a), place(b)) })
	found = slices.CompactFunc(found, func(a, b finding) bool { return place(a) == place(b) && a.Message == b.Message })
	var inBody, inAddress []openapi.FieldProblem
	for _, f := range found[:min(len(found), mostFindings)] {
		if f.In == "body" {
			inBody = append(inBody, f.FieldProblem)
		} else {
			inAddress = append(inAddress, f.FieldProblem)
		}
	}
	if len(inBody) > 0 {
		return invalidFields(append(inBody, inAddress...)...)
	}
	return invalidParameters(inAddress...)
}

// finding is an invalid field. shape reports whether the field is missing, unknown or has the wrong type; rules about its value
// then do not apply.
type finding struct {
	openapi.FieldProblem
	shape bool
}

// findings returns the invalid fields of an error of kin-openapi.
func findings(err error) []finding {
	switch e := err.(type) { //nolint:errorlint // kin-openapi's tree of errors is walked node by node; errors.As would jump to a leaf
	case nil:
		return nil
	case openapi3.MultiError:
		var found []finding
		named := map[string]bool{} // objects whose unknown fields are already named, because kin-openapi returns an error for each of them
		for _, one := range e {
			if s, ok := one.(*openapi3.SchemaError); ok && s.SchemaField == "properties" { //nolint:errorlint // as above
				object := pointer(s.JSONPointer())
				if named[object] {
					continue
				}
				named[object] = true
			}
			found = append(found, findings(one)...)
		}
		return found
	case *openapi3filter.RequestError:
		if e.Parameter != nil {
			return []finding{{FieldProblem: wrongParameter(e)}}
		}
		if e.Err == nil {
			return []finding{{FieldProblem: bodyField("", firstLine(e.Reason)), shape: true}}
		}
		return findings(e.Err)
	case *openapi3.SchemaError:
		if e.SchemaField == "properties" {
			return unknownFields(e)
		}
		return []finding{wrongField(e)}
	default:
		return []finding{{FieldProblem: bodyField("", firstLine(err.Error())), shape: true}}
	}
}

func wrongField(e *openapi3.SchemaError) finding {
	shape := e.SchemaField == "required" || e.SchemaField == "type" || e.SchemaField == "nullable"
	return finding{fieldAt(e.JSONPointer(), inWords(e)), shape}
}

// unknownFields names the unknown fields of an object. kin-openapi's error is about the whole object.
func unknownFields(e *openapi3.SchemaError) (found []finding) {
	object, _ := e.Value.(map[string]any)
	for name := range object {
		if _, known := e.Schema.Properties[name]; known {
			continue
		}
		found = append(found, finding{fieldAt(append(e.JSONPointer(), name), "unknown field: remove it, or check its spelling"), true})
	}
	return found
}

// dotted returns the name of a field as messages show it, such as aws_alternate_contact.phone.
func dotted(tokens []string) string { return strings.Join(tokens, ".") }

// pointer returns a JSON Pointer (RFC 6901).
func pointer(tokens []string) string {
	var b strings.Builder
	for _, token := range tokens {
		b.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(token))
	}
	return b.String()
}

func wrongParameter(e *openapi3filter.RequestError) openapi.FieldProblem {
	field := openapi.FieldProblem{In: e.Parameter.In, Field: resource.Optional(e.Parameter.Name), Message: "cannot be read"}
	parse, isParse := errors.AsType[*openapi3filter.ParseError](e.Err)
	switch {
	case errors.Is(e.Err, openapi3filter.ErrInvalidRequired):
		field.Message = "is missing: it is required"
	case errors.Is(e.Err, openapi3filter.ErrInvalidEmptyValue):
		field.Message = "is empty: give it a value or leave it out"
	case isParse:
		field.Message = fmt.Sprintf("%.100q: must be %s", fmt.Sprint(parse.Value), typeInWords(e.Parameter.Schema.Value))
	default:
		var reasons []string
		for _, schemaError := range schemaErrors(e.Err) {
			reasons = append(reasons, fmt.Sprintf("%.100q: %s", fmt.Sprint(schemaError.Value), inWords(schemaError)))
		}
		if len(reasons) > 0 {
			field.Message = strings.Join(reasons, "; ")
		}
	}
	return field
}

func schemaErrors(err error) []*openapi3.SchemaError {
	switch e := err.(type) { //nolint:errorlint // as in findings
	case *openapi3.SchemaError:
		return []*openapi3.SchemaError{e}
	case openapi3.MultiError:
		var all []*openapi3.SchemaError
		for _, one := range e {
			all = append(all, schemaErrors(one)...)
		}
		return all
	}
	return nil
}

// merge adds the findings of the rules to those of the document. If both are about the value of a field, it keeps the rule's,
// because that says what to do. If the shape of the field or of its object is wrong, it keeps the document's.
func merge(found []finding, broken []provision.FieldError) []finding {
	covered := func(field string) bool {
		return slices.ContainsFunc(found, func(f finding) bool {
			name := value(f.Field)
			return f.In == "body" && f.shape && (name == "" && value(f.Pointer) == "" || name == field || strings.HasPrefix(field, name+"."))
		})
	}
	for _, rule := range broken {
		if covered(rule.Field) {
			continue
		}
		found = slices.DeleteFunc(found, func(f finding) bool { return f.In == "body" && value(f.Field) == rule.Field && !f.shape })
		found = append(found, finding{FieldProblem: bodyField(rule.Field, rule.Message)})
	}
	return found
}

// replaced adds findings that explain more than those of the document. It drops the document's findings about the same values.
func replaced(found, better []finding) []finding {
	found = slices.DeleteFunc(found, func(f finding) bool {
		return slices.ContainsFunc(better, func(b finding) bool { return value(f.Pointer) == value(b.Pointer) })
	})
	return append(found, better...)
}

// A rule checks a body for what the document cannot express. The body may have any shape.
type rule func(ctx context.Context, body []byte) ([]provision.FieldError, error)

// rules maps the id of an operation to its rule.
func (s *service) rules() map[string]rule {
	return map[string]rule{
		"createOrder":   s.orderRules,
		"validateOrder": s.orderRules,
		"correctOrder":  correctionRules,
		"createAccount": s.accountRules,
		"updateAccount": s.accountUpdateRules,
		"createAPIKey":  s.keyRules,
		"createBatch":   batchRules,
		"previewBatch":  batchRules,

		"createWebhook": s.webhookRules,
		"updateWebhook": s.webhookRules,
		"saveFilter":    filterRules,
	}
}
