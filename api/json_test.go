package api

import (
	"encoding/json"
	"math/big"
	"net/http"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"quartermaster/internal/provision"
)

func TestJSONIsReadStrictly(t *testing.T) {
	t.Parallel()
	w := setup(t)
	valid := asText(orderForm("MP-1"))
	with := func(more string) string { return strings.TrimSuffix(valid, "}") + "," + more + "}" }
	contact := `"aws_alternate_contact":{"name":"n","email":"a@b.example","phone":"1","title":"t",`
	for name, c := range map[string]struct{ body, detail, pointer string }{
		"a name twice": {with(`"iam_user_name":"eve"`), "/iam_user_name is given twice in the same object: give it once",
			"/iam_user_name"},
		"a name twice, escaped": {with(`"iam\u005fuser_name":"eve"`), "/iam_user_name is given twice", "/iam_user_name"},
		"a name twice, inside": {with(contact + `"title":"u"}`), "/aws_alternate_contact/title is given twice",
			"/aws_alternate_contact/title"},
		"an unknown name twice":    {with(`"x":1,"x":1`), "/x is given twice", "/x"},
		"a lone surrogate":         {with(`"account_model":"SPAM\ud800"`), `surrogate`, ""},
		"a surrogate turned round": {with(`"account_model":"\udc00\ud800"`), `surrogate`, ""},
		"a lone surrogate's name":  {with(`"\udfff":1`), `surrogate`, ""},
		"not UTF-8":                {with("\"account_model\":\"\xc3\x28\""), "UTF-8", ""},
		"a surrogate in UTF-8":     {with("\"account_model\":\"\xed\xa0\x80\""), "UTF-8", ""},
		"NUL":                      {with(`"account_model":"a\u0000"`), "/account_model contains the character U+0000", "/account_model"},
		"NUL in a name":            {with(`"a\u0000":1`), "contains the character U+0000", "/a\x00"},
		"a byte order mark":        {"\ufeff" + valid, "begins with a byte order mark", ""},
		"a second value":           {valid + "{}", "send one value only", ""},
		"a bracket too many":       {valid + "}", "send one value only", ""},
		"half of it":               {valid[:len(valid)/2], "the JSON ends too early, at byte", ""},
		"a trailing comma":         {strings.Replace(valid, "}", ",}", 1), "the body is not JSON at byte", ""},
		"a comment":                {"/* */" + valid, "the body is not JSON at byte 0", ""},
		"single quotes":            {`{'id':1}`, "the body is not JSON at byte 1", ""},
		"too deep":                 {with(`"x":` + strings.Repeat("[", 30_000)), "nests deeper than 20 levels", "/x" + strings.Repeat("/0", 19)},
		"no number":                {with(`"x":01`), "the body is not JSON at byte", ""},
		"not a number":             {with(`"x":NaN`), "the body is not JSON at byte", ""},
		"a number beyond all":      {with(`"x":1e400`), "/x is too large", "/x"},
		"a number far beyond":      {with(`"x":-1e99999999999999999999`), "/x is too large", "/x"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, target := range []string{"/v1/orders", "/v1/orders/validate"} {
				p := readProblem(t, w.post(target, c.body), http.StatusBadRequest, codeInvalidJSON)
				require.Contains(t, p.Detail, c.detail)
				if c.pointer != "" {
					require.Equal(t, c.pointer, value((*p.Errors)[0].Pointer))
				}
			}
		})
	}
	t.Cleanup(func() { require.Zero(t, w.workflows.starts) })
	read[map[string]any](t, w.post("/v1/orders/validate", with(`"account_model":"\u0053PAM"`)), http.StatusOK)
}

// Numbers are read by their value.
func TestIntegersMayBeWrittenInEveryWay(t *testing.T) {
	t.Parallel()
	w := setup(t)
	pool := func(threshold string) string {
		return `{"marketplace":"m","environment":"test","model_thresholds":[{"model":"SPAM","threshold":` + threshold + `}],` +
			`"action_deadline_seconds":` + threshold + `}`
	}
	for _, sixty := range []string{"60", "60.0", "6e1", "6E+1", "0.6e2", "600e-1", "60.000000000000000000000"} {
		form := strings.Replace(pool(sixty), `"m"`, `"m`+provision.NewExternalID()[3:23]+`"`, 1)
		require.Equal(t, http.StatusCreated, w.post("/v1/pools", form).Code, sixty)
	}
	for number, message := range map[string]string{
		"60.5": "without a fraction", "60.00000000000000000000000000001": "", "1e300": "must be at most",
		"99999999999999999999": "must be at most", "-1e300": "must be at least", "-0": "must be at least 60",
		"0e999999999":  "must be at least 60",
		"1e-999999999": "", "true": "without a fraction", `"60"`: "without a fraction",
	} {
		got := fieldsOf(readProblem(t, w.post("/v1/pools", pool(number)), http.StatusUnprocessableEntity, codeInvalid))
		require.Contains(t, got["action_deadline_seconds"], message, number)
		require.NotEmpty(t, got["action_deadline_seconds"], number)
	}
}

func TestAnIntegerIsWrittenAsItsDigits(t *testing.T) {
	t.Parallel()
	for number, want := range map[string]string{
		"0": "0", "-0": "0", "-0.0e5": "0", "1": "1", "-12": "-12", "60.0": "60", "6e1": "60", "0.06E3": "60", "1e15": "1e15",
		"1e14": "100000000000000",
		"1.5":  "1.5", "15e-1": "15e-1", "1e-5": "1e-5", "123456789012345": "123456789012345", "1e99999999999999999999": "1e99999999999999999999",
	} {
		require.Equal(t, want, plainInteger(number), number)
	}
	rapid.Check(t, func(rt *rapid.T) {
		number := rapid.StringMatching(`-?(0|[1-9][0-9]{0,12})(\.[0-9]{1,12})?([eE][+-]?[0-9]{1,2})?`).Draw(rt, "number")
		before, _ := new(big.Rat).SetString(number)
		after, ok := new(big.Rat).SetString(plainInteger(number))
		require.True(rt, ok)
		require.Zero(rt, before.Cmp(after), "%s became %s", number, plainInteger(number))
		if most := big.NewRat(1e15, 1); before.IsInt() && new(big.Rat).Abs(before).Cmp(most) < 0 {
			require.Equal(rt, before.Num().String(), plainInteger(number))
		}
	})
}

// What is JSON for everyone is read as everyone reads it, and nothing ends in a panic.
func FuzzJSON(f *testing.F) {
	for _, text := range []string{`{"a":[1,2.50,null,true,"ä\n"],"b":{}}`, `{"a":1,"a":2}`, `"\ud800"`, `1e400`, "[[[[", `{"a"`,
		"\xef\xbb\xbf1", `6e1`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := parseJSON(text)
		if err != nil {
			require.Equal(t, codeInvalidJSON, asProblem(err).code)
			require.NotEmpty(t, asProblem(err).detail)
			return
		}
		var want any
		require.NoError(t, json.Unmarshal(text, &want))
		again, err := json.Marshal(got)
		require.NoError(t, err)
		require.JSONEq(t, asText(want), string(again))
	})
}

// A body that the document accepts is one that the handler can decode: integers are small, and no schema is put together of others.
func TestSchemasOfRequestsAreThoseThatAreUnderstood(t *testing.T) {
	t.Parallel()
	c, err := loadContract()
	require.NoError(t, err)
	integers, texts := 0, 0
	check := func(where string, s *openapi3.Schema) {
		require.Empty(t, s.AllOf, where)
		require.Empty(t, s.AnyOf, where)
		require.Empty(t, s.OneOf, where)
		if s.Type.Includes(openapi3.TypeInteger) {
			integers++
			require.True(t, s.Min != nil && s.Max != nil && *s.Min > -1e15 && *s.Max < 1e15, where)
		}
		if kind, ok := s.Extensions[textExtension]; ok {
			texts++
			require.Contains(t, []any{textLine, textParagraphs}, kind, where)
			require.NotNil(t, s.MaxLength, where)
			require.Less(t, *s.MaxLength, uint64(10_000), where)
		}
		if s.Type.Includes(openapi3.TypeString) && s.Pattern != "" {
			require.NotEmpty(t, s.Extensions[patternMessage], "%s: a pattern needs words too", where)
			require.Regexp(t, `^not .*(for example|such as|write it as|send|form) `, s.Extensions[patternMessage], where)
		}
		if s.Type.Includes(openapi3.TypeString) {
			_, free := s.Extensions[textExtension]
			require.True(t, free || s.Pattern != "" || len(s.Enum) > 0 || s.Format == formatTime || checkedByRule[where],
				"%s: a text needs a pattern, x-text, or a rule in the code", where)
		}
	}
	for name, op := range c.operations {
		for _, p := range append(op.route.PathItem.Parameters, op.Parameters...) {
			if p.Value.Name != headerIfMatch && p.Value.Name != headerIfNoneMatch {
				require.NoError(t, p.Value.Schema.WalkSubtree(func(at string, s *openapi3.SchemaRef) error {
					check(p.Value.Name+at, s.Value)
					return nil
				}), name)
			}
		}
		if op.RequestBody != nil && !op.takesFile() {
			require.NoError(t, op.RequestBody.Value.Content[op.mediaType].Schema.WalkSubtree(func(at string, s *openapi3.SchemaRef) error {
				check(op.OperationID+at, s.Value)
				return nil
			}))
		}
	}
	require.Positive(t, integers)
	require.Positive(t, texts)
}

// checkedByRule are the texts of requests whose rule is code.
var checkedByRule = map[string]bool{
	"createWebhook/properties/url": true, "updateWebhook/properties/url": true, // webhooks.Policy, as below
	"createOrder/properties/callback_url": true, "validateOrder/properties/callback_url": true,
	"revealPassword/properties/token": true, // its signature is verified before anything reads it
}
