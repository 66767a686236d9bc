package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"quartermaster/api/openapi/server"
	"quartermaster/internal/provision"
)

// handled is what handlers get: the parameters of the last request, by name. It has the checks of the API in front of it.
type handled struct {
	*echo.Echo
	contract   *contract
	parameters map[string]any
}

func newHandled(t *testing.T) *handled {
	t.Helper()
	c, err := loadContract()
	require.NoError(t, err)
	h := &handled{Echo: echo.New(), contract: c}
	h.HTTPErrorHandler = (&service{}).writeProblem
	h.Use(func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(ctx echo.Context) error {
			op := c.operations[ctx.Request().Method+" "+ctx.Path()]
			if op == nil {
				return echo.ErrNotFound
			}
			found, err := op.checkParameters(ctx)
			if err != nil {
				return err
			}
			return refusal(found, next, ctx)
		}
	})
	capture := func(server.StrictHandlerFunc, string) server.StrictHandlerFunc {
		return func(_ echo.Context, request any) (any, error) {
			h.parameters = map[string]any{}
			h.keep(reflect.ValueOf(request))
			return nil, nil
		}
	}
	server.RegisterHandlers(h.Echo, server.NewStrictHandler(nil, []server.StrictMiddlewareFunc{capture}))
	return h
}

// keep notes the fields of a request object or of its Params.
func (h *handled) keep(object reflect.Value) {
	for i := range object.NumField() {
		field := object.Field(i)
		switch name, _, _ := strings.Cut(object.Type().Field(i).Tag.Get("json"), ","); {
		case object.Type().Field(i).Name == "Params":
			h.keep(field)
		case name == "" || field.Kind() == reflect.Pointer && field.IsNil():
		case field.Kind() == reflect.Pointer:
			h.parameters[name] = field.Elem().Interface()
		default:
			h.parameters[name] = field.Interface()
		}
	}
}

// escaped writes a text for a URL, with some escapes that are not necessary.
func escaped(t *rapid.T, text string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		plain := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0
		if plain && rapid.IntRange(0, 4).Draw(t, "escape") > 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// parameterValue draws a value of a parameter, valid or not. Many look like an escape.
func parameterValue(t *rapid.T, p *openapi3.Parameter) string {
	example := fmt.Sprint(p.Example)
	if items, ok := p.Example.([]any); ok {
		example = fmt.Sprint(items[0])
	}
	cut := rapid.IntRange(0, len(example)).Draw(t, "cut")
	return rapid.SampledFrom([]string{
		example, example, example, example, example[:cut], example[:cut] + "%36" + example[cut:], "%72" + example,
		"%2F", "%", "50", "0", "6e1", "+5",
		url.PathEscape(example[:cut] + ":" + example[cut:]), example + "\x00", example[:cut] + "\xff", rapid.String().Draw(t, "any"),
	}).Draw(t, p.Name)
}

// allowed reports whether the schema of a parameter allows a value.
func allowed(p *openapi3.Parameter, text string) bool {
	schema := p.Schema.Value
	if schema.Type.Is(openapi3.TypeArray) {
		schema = schema.Items.Value
	}
	if _, wrong := canonicalText(text, schema); wrong != "" {
		return false
	}
	var v any = text
	switch {
	case schema.Type.Is(openapi3.TypeInteger):
		n, err := strconv.Atoi(text)
		if v = n; err != nil {
			return false
		}
	case schema.Type.Is(openapi3.TypeBoolean):
		_, err := strconv.ParseBool(text)
		return err == nil
	case schema.Format == formatTime:
		_, wrong := parseTime(text)
		return wrong == ""
	}
	return schema.VisitJSON(v) == nil && notText(text) == ""
}

// The handler of every operation gets exactly the values that were checked: each is unescaped once.
func TestHandlersGetTheParametersThatWereChecked(t *testing.T) {
	t.Parallel()
	h := newHandled(t)
	var operations []*operation
	for _, op := range h.contract.operations {
		if op.OperationID == "getOpenAPI" { // it has only header parameters, and the document is no answer of the handlers
			continue
		}
		if len(op.route.PathItem.Parameters) > 0 || len(op.Parameters) > 0 {
			operations = append(operations, op)
		}
	}
	slices.SortFunc(operations, func(a, b *operation) int { return strings.Compare(a.OperationID, b.OperationID) })
	reached := map[string]int{}
	rapid.Check(t, func(rt *rapid.T) {
		for _, op := range operations {
			sent, valid, path := map[string]string{}, true, op.route.Path
			for _, p := range op.route.PathItem.Parameters {
				text := parameterValue(rt, p.Value)
				if text == "" {
					text = "-"
				}
				sent[p.Value.Name], valid = asRead(p.Value, text), valid && allowed(p.Value, text)
				path = strings.ReplaceAll(path, "{"+p.Value.Name+"}", escaped(rt, text))
			}
			var query []string
			for _, p := range op.Parameters {
				if p.Value.In != openapi3.ParameterInQuery || rapid.IntRange(0, 3).Draw(rt, "left out") > 0 {
					continue
				}
				text := parameterValue(rt, p.Value)
				sent[p.Value.Name], valid = asRead(p.Value, text), valid && allowed(p.Value, text)
				query = append(query, p.Value.Name+"="+escaped(rt, text))
			}
			if valid && sent["created_after"] > sent["created_before"] && sent["created_before"] != "" {
				continue // a range that nothing matches
			}
			h.parameters = nil
			target := path + "?" + strings.Join(query, "&")
			answer := serve(h, httptest.NewRequest(op.route.Method, target, nil))
			if !valid {
				require.Nil(rt, h.parameters, "%s %s reached the handler", op.route.Method, target)
				require.Equal(rt, http.StatusBadRequest, answer.Code, "%s: %s", target, answer.Body)
				continue
			}
			if h.operationOf(op.route.Method, path) != op { // /v1/orders/validate is not an order
				continue
			}
			require.NotNil(rt, h.parameters, "%s %s: %s", op.route.Method, target, answer.Body)
			reached[op.OperationID]++
			for name, text := range sent {
				require.Equal(rt, text, asSent(h.parameters[name], text), "%s of %s", name, target)
			}
		}
	})
	for _, op := range operations {
		require.Positive(t, reached[op.OperationID], op.OperationID)
	}
}

// asRead is a parameter as handlers read it: free text without the white space around it.
func asRead(p *openapi3.Parameter, text string) string {
	text, _ = canonicalText(text, p.Schema.Value)
	return text
}

// operationOf is the operation that answers an address.
func (h *handled) operationOf(method, path string) *operation {
	c := h.NewContext(httptest.NewRequest(method, path, nil), nil)
	h.Router().Find(method, path, c)
	return h.contract.operations[method+" "+c.Path()]
}

// asSent writes a parameter as it was sent, if it means the same.
func asSent(v any, sent string) string {
	switch v := reflect.Indirect(reflect.ValueOf(v)); v.Kind() {
	case reflect.Slice:
		if v.Len() != 1 {
			return "not one item"
		}
		return v.Index(0).String()
	case reflect.Int, reflect.Bool:
		parsed, err := json.Marshal(v.Interface())
		if n, wrong := strconv.Atoi(sent); wrong == nil && err == nil && strconv.Itoa(n) == string(parsed) {
			return sent
		}
		if b, wrong := strconv.ParseBool(sent); wrong == nil && strconv.FormatBool(b) == string(parsed) {
			return sent
		}
		return string(parsed)
	case reflect.Struct:
		at, isTime := v.Interface().(time.Time)
		if wanted, wrong := parseTime(sent); isTime && wrong == "" && wanted.Equal(at) && at.Location() == time.UTC {
			return sent
		}
	}
	return fmt.Sprint(v)
}

func TestEscapesAreReadOnce(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.createOrder("ro-1", provision.Accepted)
	require.Equal(t, http.StatusOK, w.get("/v1/orders/%72o-1").Code)
	require.Equal(t, http.StatusOK, w.get("/v1/orders/%72%6F%2D1/history").Code)
	require.Contains(t, fieldsOf(readProblem(t, w.get("/v1/orders/%2572o-1"), http.StatusBadRequest, codeInvalidParameter))["order_id"],
		`"%72o-1": not an order id: use 1 to 64 characters of A-Z a-z 0-9 . _ : -, for example MP-2026-000117`)
	for _, target := range []string{
		"/v1/account-imports/%2536f0a9a0e-5f0c-4a43-9a53-0d5b0b7d3c11", "/v1/webhooks/%2537f9c0f0e-4a51-4f6e-9d0b-2f8c8a2f6b10",
		"/v1/accounts/%2531%2531111222233", "/v1/orders/a%00", "/v1/orders/%FF", "/v1/orders/a%2Fb",
	} {
		readProblem(t, w.get(target), http.StatusBadRequest, codeInvalidParameter)
	}
}

func TestTimesInTheQueryAreNormalized(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.createOrder("o-1", provision.Accepted, func(o *newOrder) { o.AcceptedAt = now })
	for query, found := range map[string]int{
		"created_after=2026-11-23T09:58:00%2B23:59":                                     1, // 2026-11-22T09:59:00Z
		"created_after=2026-11-23T10:00:00%2B23:59":                                     0,
		"created_before=2026-11-21T10:02:00-23:59":                                      1,
		"created_after=0001-01-01T00:00:00Z":                                            1,
		"created_before=0001-01-01T00:00:00Z":                                           0,
		"created_before=9999-12-31T23:59:59.999999999Z":                                 1,
		"created_after=2026-11-22T10:00:00Z&created_before=2026-11-22T10:00:00Z":        0,
		"created_after=2026-11-22T12:00:00%2B02:00&created_before=2026-11-22T10:00:01Z": 1,
	} {
		page := read[struct{ Items []any }](t, w.get("/v1/orders?"+query), http.StatusOK)
		require.Len(t, page.Items, found, query)
	}
	for query, message := range map[string]string{
		"created_after=0001-01-01T00:00:00%2B00:01":  "use a time in the years 0001 to 9999 (UTC)",
		"created_before=9999-12-31T23:59:59-23:59":   "use a time in the years 0001 to 9999 (UTC)",
		"created_before=2026-02-30T00:00:00Z":        "such as 2026-11-22T10:00:00Z",
		"created_before=2026-11-22T24:00:00Z":        "such as 2026-11-22T10:00:00Z",
		"created_before=2026-11-22T10:00:00":         "such as 2026-11-22T10:00:00Z",
		"created_before=2026-11-22T10:00:00+01:00":   "write the + of a time zone as %2B",
		"created_before=2026-11-22T10:00:00%2B99:99": "such as 2026-11-22T10:00:00Z",
		"created_before=":                            "such as 2026-11-22T10:00:00Z",
		"created_after=2026-11-22T10:00:00Z&created_before=2026-11-22T11:00:00%2B02:00"://
		"2026-11-22T09:00:00Z is before created_after, 2026-11-22T10:00:00Z",
	} {
		p := readProblem(t, w.get("/v1/orders?"+query), http.StatusBadRequest, codeInvalidParameter)
		require.Len(t, *p.Errors, 1, query)
		require.Contains(t, (*p.Errors)[0].Message, message, query)
	}
}

func TestAQueryThatCannotBeReadIsRefused(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for query, message := range map[string]string{
		"limit=%zz":            `invalid URL escape "%zz"`,
		"limit=5;state=failed": "separate parameters by &",
		"marketplace=%FF":      "is not UTF-8",
		"marketplace=a%00":     "contains the character U+0000",
		"%FF=1":                "unknown parameter",
	} {
		p := readProblem(t, w.get("/v1/orders?"+query), http.StatusBadRequest, codeInvalidParameter)
		require.Contains(t, (*p.Errors)[0].Message, message, query)
	}
}

func TestAHeaderIsGivenOnce(t *testing.T) {
	t.Parallel()
	w := setup(t, fuzzed)
	r := httptest.NewRequest(http.MethodGet, "/v1/events/stream", nil)
	r.Header.Set("Authorization", "Bearer "+w.key)
	r.Header["Last-Event-Id"] = []string{"a", "b"}
	require.Contains(t, fieldsOf(readProblem(t, serve(w.handler, r), http.StatusBadRequest, codeInvalidParameter)), "Last-Event-ID")
}
