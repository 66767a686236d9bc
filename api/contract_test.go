package api

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"quartermaster/api/openapi"
)

func TestDocumentIsValidWithItsExamples(t *testing.T) {
	t.Parallel()
	c, err := loadContract()
	require.NoError(t, err)
	require.Equal(t, "3.1.0", c.doc.OpenAPI)
	require.NoError(t, c.doc.Validate(t.Context(), openapi3.EnableExamplesValidation(), openapi3.EnableSchemaFormatValidation()))
}

// Every body that can be sent or received has an example, which the test above compares with its schema.
func TestEveryBodyHasAnExample(t *testing.T) {
	t.Parallel()
	c, err := loadContract()
	require.NoError(t, err)
	require.NotEmpty(t, c.operations)
	for name, op := range c.operations {
		bodies := map[string]openapi3.Content{}
		if op.RequestBody != nil {
			bodies["request"] = op.RequestBody.Value.Content
		}
		for status, response := range op.Responses.Map() {
			bodies[status] = response.Value.Content
		}
		for of, body := range bodies {
			for mediaType, content := range body {
				require.True(t, content.Example != nil || len(content.Examples) > 0, "%s %s %s", name, of, mediaType)
			}
		}
	}
}

// What checkRequest relies on: the validator that names every field by itself knows all that the document uses.
func TestDocumentUsesNoKeywordThatOnlyJSONSchema2020Has(t *testing.T) {
	t.Parallel()
	c, err := loadContract()
	require.NoError(t, err)
	require.NotEmpty(t, c.doc.Components.Schemas)
	for name, schema := range c.doc.Components.Schemas {
		require.NoError(t, schema.WalkSubtree(func(at string, ref *openapi3.SchemaRef) error {
			s := ref.Value
			where := name + at
			require.False(t, s.Const != nil || s.PrefixItems != nil || s.Contains != nil || s.PatternProperties != nil ||
				s.DependentSchemas != nil ||
				s.PropertyNames != nil || s.If != nil || s.DependentRequired != nil || s.Defs != nil || s.ContentSchema != nil, where)
			require.True(t, len(s.Type.Slice()) <= 1 || len(s.Type.Slice()) == 2 && s.Type.IncludesNull(), "%s: one type, or null besides it", where)
			return nil
		}), name)
	}
}

func TestEveryOperationDocumentsItsProblems(t *testing.T) {
	t.Parallel()
	c, err := loadContract()
	require.NoError(t, err)
	require.NotEmpty(t, c.operations)
	for name, op := range c.operations {
		require.NotEmpty(t, op.Summary, name)
		require.NotEmpty(t, op.Description, name)
		statuses := []string{"400", "413", "429", "500"}
		if !op.public {
			statuses = append(statuses, "401", "503")
		}
		if len(op.scopes) > 0 {
			statuses = append(statuses, "403")
		}
		if op.RequestBody != nil {
			statuses = append(statuses, "408", "415", "422", "503")
		}
		if len(op.route.PathItem.Parameters) > 0 {
			statuses = append(statuses, "404")
		}
		for _, status := range statuses {
			require.NotNil(t, op.Responses.Value(status), "%s answers %s", name, status)
		}
		for status, response := range op.Responses.Map() {
			if status < "400" {
				continue
			}
			content := response.Value.Content["application/problem+json"]
			require.NotNil(t, content, "%s %s", name, status)
			require.Equal(t, "#/components/schemas/Problem", content.Schema.Ref, "%s %s", name, status)
		}
	}
}

// Fields of requests are closed, so that a misspelled one is refused instead of ignored.
func TestRequestsAllowNoUnknownFields(t *testing.T) {
	t.Parallel()
	c, err := loadContract()
	require.NoError(t, err)
	bodies := 0
	for name, op := range c.operations {
		if op.RequestBody == nil {
			continue
		}
		bodies++
		require.NoError(t, op.RequestBody.Value.Content[op.mediaType].Schema.WalkSubtree(func(at string, ref *openapi3.SchemaRef) error {
			if ref.Value.Type.Is("object") {
				require.NotNil(t, ref.Value.AdditionalProperties.Has, name+at)
				require.False(t, *ref.Value.AdditionalProperties.Has, name+at)
			}
			return nil
		}))
	}
	require.NotZero(t, bodies)
}

// The table of problems and the examples in the document say the same.
func TestDocumentedProblemsAreThoseOfTheTable(t *testing.T) {
	t.Parallel()
	c, err := loadContract()
	require.NoError(t, err)
	require.NotEmpty(t, c.doc.Components.Responses)
	for name, response := range c.doc.Components.Responses {
		if name == "NotModified" { // it has no body
			require.Empty(t, response.Value.Content)
			continue
		}
		text, err := json.Marshal(response.Value.Content["application/problem+json"].Example)
		require.NoError(t, err)
		var example openapi.Problem
		require.NoError(t, json.Unmarshal(text, &example))
		row, known := problems[example.Code]
		require.True(t, known, name)
		require.Equal(t, row.status, example.Status, name)
		require.Equal(t, row.title, example.Title, name)
		_, retries := response.Value.Headers["Retry-After"]
		require.Equal(t, row.retryAfter > 0, retries, name)
	}
}

// The service does not start if an operation does not name its scope.
func TestEveryOperationNamesOneScope(t *testing.T) {
	t.Parallel()
	const listOrders = "operationId: listOrders\n      tags: [Orders]\n"
	const good = listOrders + "      security: [{apiKey: [orders:read]}]\n"
	require.Contains(t, string(openapi.Document), good)
	for bad, message := range map[string]string{
		"":                                   "GET /v1/orders: says nothing about security: name its scope",
		"security: [{}]":                     "name exactly one scope",
		"security: [{other: [orders:read]}]": "name exactly one scope",
		"security: [{apiKey: [orders:read, orders:write]}]": "name exactly one scope",
		"security: [{apiKey: [orders:see]}]":                `"orders:see" is not a scope: use one of orders:read`,
	} {
		read, err := readDocument([]byte(strings.Replace(string(openapi.Document), good, listOrders+"      "+bad+"\n", 1)))
		require.NoError(t, err)
		_, err = contractOf(read)
		require.ErrorContains(t, err, message, bad)
	}
	c, err := loadContract()
	require.NoError(t, err)
	var public, anyKey []string
	for _, op := range c.operations {
		switch {
		case op.public:
			public = append(public, op.OperationID)
		case len(op.scopes) == 0:
			anyKey = append(anyKey, op.OperationID)
		}
	}
	require.ElementsMatch(t, []string{"revealPassword", "getOpenAPI"}, public)
	require.ElementsMatch(t, []string{"getMe", "listRoles"}, anyKey)
}

func TestTheDocumentNeedsNoKey(t *testing.T) {
	t.Parallel()
	w := setup(t)
	answer := w.send("", http.MethodGet, "/v1/openapi.json", "")
	require.Equal(t, http.StatusOK, answer.Code)
	served, err := openapi3.NewLoader().LoadFromData(answer.Body.Bytes())
	require.NoError(t, err)
	require.NoError(t, served.Validate(t.Context()))
	require.ElementsMatch(t, w.service.contract.doc.Paths.Keys(), served.Paths.Keys())
}

func TestRoutesAndDocumentMustAgree(t *testing.T) {
	t.Parallel()
	c, err := loadContract()
	require.NoError(t, err)
	require.Nil(t, c.claim(http.MethodDelete, "/v1/orders/:order_id"))
	require.NotNil(t, c.claim(http.MethodGet, "/v1/orders/:order_id"))
	require.Len(t, c.unclaimed(), len(c.operations)-1)
	require.False(t, slices.Contains(c.unclaimed(), "GET /v1/orders/:order_id"))
}
