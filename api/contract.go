package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/labstack/echo/v4"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

// contract is openapi.yaml, loaded: what requests are checked against, and what the routes are compared with.
type contract struct {
	doc        *openapi3.T
	json       []byte
	operations map[string]*operation // by "METHOD /path" as Echo writes it
}

// operation is one operation of the document.
type operation struct {
	*openapi3.Operation
	route     *routers.Route
	public    bool            // needs no API key
	scope     provision.Scope // that a key needs; empty when it is public
	claimed   bool            // has a route
	mediaType string          // of the body; empty: it takes none
	maxBytes  int64           // of a body that is a file; 0: it is not, bodyLimit holds
}

func loadContract() (*contract, error) {
	read, err := ourDocument()
	if err != nil {
		return nil, err
	}
	return contractOf(read)
}

// ourDocument is read once: nobody changes it, and it is large.
var ourDocument = sync.OnceValues(func() (document, error) { return readDocument(openapi.Document) })

// document is an OpenAPI document, and what it is as JSON.
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
	c := &contract{doc: doc, json: read.json, operations: map[string]*operation{}}
	// The document needs no keyword that only JSON Schema 2020-12 has (a test sees to it), and kin-openapi's own validator,
	// which it keeps for OpenAPI 3.0, names every wrong field by itself. The other one compiles the schema for each request.
	checkedAs := &openapi3.T{OpenAPI: "3.0.3"}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			checked := *op
			checked.Security = nil // authenticate and authorize see to it
			scope, problem := scopeOf(op)
			if problem != nil {
				err = errors.Join(err, fmt.Errorf("openapi.yaml: %s %s: %w", method, path, problem))
			}
			described := &operation{
				Operation: op,
				route:     &routers.Route{Spec: checkedAs, Path: path, PathItem: item, Method: method, Operation: &checked},
				public:    scope == "",
				scope:     scope,
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

// claim is the operation of a route, or nil.
func (c *contract) claim(method, path string) *operation {
	op := c.operations[method+" "+path]
	if op != nil {
		op.claimed = true
	}
	return op
}

// unclaimed lists the operations that have no route.
func (c *contract) unclaimed() (names []string) {
	for name, op := range c.operations {
		if !op.claimed {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// checkRequest refuses a request that does not keep to the document, with every wrong field at once: first what the
// document says, then what only we can know (s.rules).
func (s *service) checkRequest(op *operation) echo.MiddlewareFunc {
	rules := s.rules()[op.OperationID]
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			var body []byte
			var err error
			switch {
			case op.maxBytes > 0:
				err = openFile(c, op)
			case op.RequestBody != nil:
				body, err = readJSON(c.Request(), op.RequestBody.Value.Required)
			}
			if err != nil {
				return err
			}
			input := &openapi3filter.RequestValidationInput{
				Request:    c.Request(),
				PathParams: map[string]string{},
				Route:      op.route,
				Options: &openapi3filter.Options{MultiError: true, SkipSettingDefaults: true, KeepValidatedValue: true,
					ExcludeRequestBody: op.maxBytes > 0}, // a file is read once, by its handler
			}
			for i, name := range c.ParamNames() {
				raw := c.ParamValues()[i]
				if strings.Contains(raw, "/") { // Echo gives a last parameter the rest of the address
					return echo.ErrNotFound
				}
				text, err := url.PathUnescape(raw)
				if err != nil {
					text = raw
				}
				input.PathParams[name] = text
			}
			found := findings(openapi3filter.ValidateRequest(c.Request().Context(), input))
			found = append(found, op.strayParameters(c.QueryParams())...)
			if rules != nil {
				broken, err := rules(c.Request().Context(), body)
				if err != nil {
					return err
				}
				found = merge(found, broken)
			}
			return refusal(found, next, c)
		}
	}
}

// mostFindings is how many wrong fields a refusal names: no honest request has as many fields.
const mostFindings = 50

// refusal is the problem that the findings make, or the next handler's answer when there is none.
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

// finding is a wrong field and whether its shape is wrong (missing, of another type, unknown): then no rule about its
// value has anything to say.
type finding struct {
	openapi.FieldProblem
	shape bool
}

// findings are the wrong fields that an error of kin-openapi holds.
func findings(err error) []finding {
	switch e := err.(type) { //nolint:errorlint // kin-openapi's tree of errors is walked node by node; errors.As would jump to a leaf
	case nil:
		return nil
	case openapi3.MultiError:
		var found []finding
		named := map[string]bool{} // objects whose unknown fields are named already: there is an error for each of them
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
	field := strings.Join(e.JSONPointer(), ".")
	switch e.SchemaField {
	case "required":
		return finding{bodyField(field, "is missing: it is required"), true}
	case "type":
		wanted := "of another type"
		if e.Schema != nil && e.Schema.Type != nil {
			wanted = "JSON " + strings.Join(e.Schema.Type.Slice(), " or ")
		}
		return finding{bodyField(field, "must be "+wanted), true}
	}
	return finding{FieldProblem: bodyField(field, firstLine(e.Reason))}
}

// unknownFields names the fields that an object must not have. kin-openapi's error is about the object around them.
func unknownFields(e *openapi3.SchemaError) (found []finding) {
	object, _ := e.Value.(map[string]any)
	for name := range object {
		if _, known := e.Schema.Properties[name]; known {
			continue
		}
		path := append(e.JSONPointer(), name)
		at, field := pointer(path), strings.Join(path, ".")
		found = append(found, finding{openapi.FieldProblem{In: "body", Pointer: &at, Field: &field,
			Message: "is not a field here: remove it, or check its spelling"}, true})
	}
	return found
}

// pointer is a JSON Pointer (RFC 6901).
func pointer(tokens []string) string {
	var b strings.Builder
	for _, token := range tokens {
		b.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(token))
	}
	return b.String()
}

func wrongParameter(e *openapi3filter.RequestError) openapi.FieldProblem {
	field := openapi.FieldProblem{In: e.Parameter.In, Field: optional(e.Parameter.Name), Message: "cannot be read"}
	var parse *openapi3filter.ParseError
	switch {
	case errors.Is(e.Err, openapi3filter.ErrInvalidRequired):
		field.Message = "is missing: it is required"
	case errors.Is(e.Err, openapi3filter.ErrInvalidEmptyValue):
		field.Message = "is empty: give it a value or leave it out"
	case errors.As(e.Err, &parse):
		field.Message = fmt.Sprintf("%q is not of type %s", fmt.Sprint(parse.Value), strings.Join(e.Parameter.Schema.Value.Type.Slice(), " or "))
	default:
		var reasons []string
		for _, schemaError := range schemaErrors(e.Err) {
			reasons = append(reasons, fmt.Sprintf("%q: %s", fmt.Sprint(schemaError.Value), firstLine(schemaError.Reason)))
		}
		if len(reasons) > 0 {
			field.Message = strings.Join(reasons, "; ")
		}
		if e.Parameter.Schema.Value.Format == "date-time" {
			field.Message += `; write the + of a time zone as %2B`
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

// strayParameters finds query parameters that the operation does not have, and single ones that are given twice: a list
// whose filter is misspelled must not look like an answer.
func (op *operation) strayParameters(query url.Values) (found []finding) {
	for name, values := range query {
		parameter := op.Parameters.GetByInAndName(openapi3.ParameterInQuery, name)
		message := ""
		switch {
		case parameter == nil:
			message = "is not a parameter here: remove it, or check its spelling"
		case len(values) > 1 && !parameter.Schema.Value.Type.Is(openapi3.TypeArray):
			message = fmt.Sprintf("is given %d times: give it once", len(values))
		default:
			continue
		}
		found = append(found, finding{FieldProblem: openapi.FieldProblem{In: openapi3.ParameterInQuery, Field: &name, Message: message}})
	}
	return found
}

// merge adds the rules' findings to the document's. Where both speak of a field's value the rule is kept, because it says
// what to do; where the field's shape is wrong, or that of the object around it, the document's is.
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

// firstLine is a message of kin-openapi without the schema and the value that it adds below.
func firstLine(message string) string {
	line, _, _ := strings.Cut(message, "\n")
	return line
}

// rule checks a body, which may be of any shape, for what the document cannot say.
type rule func(ctx context.Context, body []byte) ([]provision.FieldError, error)

// rules are the rules of each operation, by its id.
func (s *service) rules() map[string]rule {
	return map[string]rule{
		"createOrder":   s.orderRules,
		"validateOrder": s.orderRules,
		"correctOrder":  correctionRules,
		"cancelOrder":   reasonRules,
		"retryOrder":    reasonRules,
		"failOrder":     reasonRules,
		"endUndo":       reasonRules,
		"swapOrder":     reasonRules,
		"createAccount": s.accountRules,
		"updateAccount": s.modelRules,
		"createAPIKey":  s.keyRules,

		"createWebhook":     s.webhookRules,
		"updateWebhook":     s.webhookRules,
		"invalidateAccount": reasonRules,
		"returnAccount":     reasonRules,

		"protectAccount":        noteRules,
		"acknowledgeStockAlert": noteRules,
	}
}

// correctable lists the fields of an order that a correction may hold.
const correctable = "use_existing_cur, existing_cur_kind, iam_user_name, aws_contact_name, aws_alternate_contact or aws_account_alias"

// correctionRules are those of a new order, for the fields that are sent. Whether the order asks for them only its workflow
// knows.
func correctionRules(_ context.Context, body []byte) (broken []provision.FieldError, _ error) {
	var form struct {
		provision.Correction
		Reason *string `json:"reason"`
	}
	_ = json.Unmarshal(body, &form) // fields of another type stay empty, and so does null: merge leaves them to the document's finding
	given := form.Fields()
	ordered := provision.Request{UseExistingCUR: "some-report"} // a kind alone corrects which of two reports is meant: only the workflow knows the name
	for _, wrong := range form.Apply(ordered).Validate() {
		if slices.Contains(given, provision.TopField(wrong.Field)) {
			broken = append(broken, wrong)
		}
	}
	var members map[string]json.RawMessage
	_ = json.Unmarshal(body, &members) // as above
	if delete(members, "reason"); len(members) == 0 {
		broken = append(broken, provision.FieldError{Message: "corrects nothing: send at least one of " + correctable})
	}
	return append(broken, wrongReason(form.Reason)...), nil
}

// reasonRules check a body that holds nothing but the reason.
func reasonRules(_ context.Context, body []byte) ([]provision.FieldError, error) {
	var form openapi.OptionalReason
	_ = json.Unmarshal(body, &form) // as above; an empty body has no reason
	return wrongReason(form.Reason), nil
}

// noteRules check a body that holds nothing but a note.
func noteRules(_ context.Context, body []byte) ([]provision.FieldError, error) {
	var form struct {
		Note *string `json:"note"`
	}
	_ = json.Unmarshal(body, &form) // as above
	broken := wrongReason(form.Note)
	for i := range broken {
		broken[i].Field = "note"
	}
	return broken, nil
}

const mostOfReason = 500 // characters

// wrongReason is what is wrong with a reason that is given. The database takes no NUL, and a terminal no escape sequence.
func wrongReason(reason *string) []provision.FieldError {
	text := value(reason)
	length := utf8.RuneCountInString(text)
	if reason == nil || length <= mostOfReason && strings.TrimSpace(text) != "" && !strings.ContainsFunc(text, unicode.IsControl) {
		return nil
	}
	return []provision.FieldError{{Field: "reason",
		Message: fmt.Sprintf("needs 1 to %d characters, not only spaces, and no control characters; it has %d", mostOfReason, length)}}
}

// plainText tells whether a text can be shown anywhere.
func plainText(text string) bool { return !strings.ContainsFunc(text, unicode.IsControl) }

func (s *service) orderRules(ctx context.Context, body []byte) ([]provision.FieldError, error) {
	var form openapi.NewOrder
	_ = json.Unmarshal(body, &form) // fields of another type stay empty: merge leaves them to the document's finding
	request := requestOf(form)
	broken := slices.Concat(provision.ValidateOrderID(form.ID), request.Validate())
	if form.ID == "." || form.ID == ".." {
		broken = append(broken, provision.FieldError{Field: "id",
			Message: fmt.Sprintf("%q means a folder in an address, so that nobody could read the order: use at least one character that is not a dot", form.ID)})
	}
	wrongCallback := slices.ContainsFunc(broken, func(e provision.FieldError) bool { return e.Field == "callback_url" })
	if request.CallbackURL != "" && !wrongCallback {
		if wrong := s.WebhookPolicy.CheckURL(request.CallbackURL); wrong != "" {
			broken = append(broken, provision.FieldError{Field: "callback_url", Message: wrong})
		}
	}
	if request.AccountModel != "" && !s.modelKnown(request.AccountModel) {
		broken = append(broken, s.unknownModel("account_model", request.AccountModel))
	}
	return s.poolRule(ctx, request.Marketplace, request.Environment, broken)
}

func (s *service) accountRules(ctx context.Context, body []byte) ([]provision.FieldError, error) {
	var form openapi.NewAccount
	_ = json.Unmarshal(body, &form) // as above
	broken := provision.ValidateAccount(accountOf(form, ""))
	if form.Model != "" && !s.modelKnown(form.Model) {
		broken = append(broken, s.unknownModel("model", form.Model))
	}
	if protected, err := s.protected(ctx, form.ID); err != nil {
		return nil, err
	} else if protected {
		broken = append(broken, provision.FieldError{Field: "id", Message: provision.ProtectedMessage(form.ID)})
	}
	return s.poolRule(ctx, form.Marketplace, form.Environment, broken)
}

// modelRules check an edited account's model; the rest depends on the account.
func (s *service) modelRules(_ context.Context, body []byte) ([]provision.FieldError, error) {
	var form openapi.AccountUpdate
	_ = json.Unmarshal(body, &form) // as above
	if form.Model != nil && !s.modelKnown(*form.Model) {
		return []provision.FieldError{s.unknownModel("model", *form.Model)}, nil
	}
	return nil, nil
}

func (s *service) unknownModel(field string, m provision.Model) provision.FieldError {
	names := make([]string, len(s.Models))
	for i, known := range s.Models {
		names[i] = string(known)
	}
	return provision.FieldError{Field: field, Message: fmt.Sprintf("%q is not an account model: use %s", m, strings.Join(names, " or "))}
}

// poolRule asks for the pool, unless its name is wrong already.
func (s *service) poolRule(ctx context.Context, marketplace string, environment provision.Environment, broken []provision.FieldError) ([]provision.FieldError, error) {
	if slices.ContainsFunc(broken, func(e provision.FieldError) bool { return e.Field == "marketplace" || e.Field == "environment" }) {
		return broken, nil
	}
	pool := provision.Pool{Provider: callerOf(ctx).Provider, Marketplace: marketplace, Environment: environment}
	exists, err := s.Pools.Exists(ctx, pool)
	if err != nil || exists {
		return broken, err
	}
	return append(broken, noPool(pool)...), nil
}

// noPool is what is wrong when the provider has no such pool: one of the two fields, nobody knows which.
func noPool(pool provision.Pool) []provision.FieldError {
	message := fmt.Sprintf("there is no pool for marketplace %q in environment %q: correct one of them, or ask the provider to open that pool",
		pool.Marketplace, pool.Environment)
	return []provision.FieldError{{Field: "marketplace", Message: message}, {Field: "environment", Message: message}}
}
