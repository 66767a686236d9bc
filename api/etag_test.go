package api

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

func TestEntityTags(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]entityTag{
		`"7"`:                   {{`"7"`, false}},
		` "7" `:                 {{`"7"`, false}},
		`W/"7"`:                 {{`"7"`, true}},
		`"6","7" , W/"8"`:       {{`"6"`, false}, {`"7"`, false}, {`"8"`, true}},
		`"a,b", ""`:             {{`"a,b"`, false}, {`""`, false}},
		`, "7",`:                {{`"7"`, false}}, // RFC 9110, section 5.6.1.2
		`"` + "\xe4" + `-gzip"`: {{`"` + "\xe4" + `-gzip"`, false}},
	} {
		got, all, err := entityTags(headerIfMatch, text)
		require.NoError(t, err, text)
		require.False(t, all)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{"", " ", ",", "7", `"7`, `7"`, `w/"7"`, `W/7`, `W / "7"`, `"7" "8"`,
		`"7"8`, `*, "7"`, `"7", *`, `"a b"`, "\"a\tb\"", "**"} {
		_, _, err := entityTags(headerIfMatch, text)
		require.Error(t, err, text)
	}
	_, all, err := entityTags(headerIfMatch, " * ")
	require.NoError(t, err)
	require.True(t, all)
}

// changesOf lists a change of each kind of resource that has an ETag.
func changesOf(t *testing.T, w *testAPI) map[string]func(ifMatch string) (status int, problem openapi.Problem, etag string) {
	t.Helper()
	w.stockAccount(t, "444455556666", provision.AccountReady)
	hook := "/v1/webhooks/" + w.createWebhook(t, map[string]any{"url": "https://hooks.example.com/"}).Webhook.ID
	change := func(method, target, body string) func(string) (int, openapi.Problem, string) {
		return func(ifMatch string) (int, openapi.Problem, string) {
			resource, _, _ := strings.Cut(strings.TrimSuffix(target, "/verify"), "?")
			if ifMatch == "" {
				return 0, openapi.Problem{}, w.get(resource).Header().Get("ETag")
			}
			answer := w.send(w.key, method, target, body, "If-Match", ifMatch)
			if answer.Code >= 400 {
				return answer.Code, read[openapi.Problem](t, answer, answer.Code), ""
			}
			return answer.Code, openapi.Problem{}, answer.Header().Get("ETag")
		}
	}
	return map[string]func(string) (int, openapi.Problem, string){
		"account":      change(http.MethodPatch, stocked, `{"name":"`+provision.NewExternalID()+`"}`),
		"verification": change(http.MethodPost, stocked+"/verify", ""),
		"pool":         change(http.MethodPatch, "/v1/pools/nordic/production", `{"stock_threshold":3}`),
		"webhook":      change(http.MethodPatch, hook, `{"description":"x"}`),
	}
}

func TestIfMatch(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for name, change := range changesOf(t, w) {
		_, _, current := change("")
		require.Regexp(t, `^"[0-9]+"$`, current, name)
		for _, other := range []string{`"999999"`, `"abc"`, `""`, `"0"`, `"-1"`, `"0` + current[1:],
			`"999998", "999999"`, `"7` + current[1:len(current)-1] + `-gzip"`} {
			status, problem, _ := change(other)
			require.Equal(t, http.StatusPreconditionFailed, status, "%s: %s", name, other)
			require.Contains(t, problem.Detail, "read it again and send its new ETag", name)
		}
		for _, weak := range []string{"W/" + current, `"999999", W/` + current} {
			status, problem, _ := change(weak)
			require.Equal(t, http.StatusPreconditionFailed, status, "%s: %s", name, weak)
			require.Contains(t, problem.Detail, "W/"+current+" is a weak ETag, and If-Match never matches a weak one", name)
		}
		for _, none := range []string{strings.Trim(current, `"`), "w/" + current, current + " " + current, "*," + current, ","} {
			status, problem, _ := change(none)
			require.Equal(t, http.StatusBadRequest, status, "%s: %s", name, none)
			require.Contains(t, fieldsOf(problem)["If-Match"], "not an entity tag: send the ETag that you read unchanged", name)
		}
		status, _, _ := change(`"999999", W/"1", ` + current)
		require.Less(t, status, 300, "%s: one of several", name)
		status, _, _ = change("*")
		require.Less(t, status, 300, "%s: any", name)
	}
	readProblem(t, w.send(w.key, http.MethodDelete, "/v1/accounts/000000000000", "", "If-Match", `"abc"`), http.StatusNotFound, codeNotFound)
}

func TestIfNoneMatch(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.stockAccount(t, "444455556666", provision.AccountReady)
	hook := "/v1/webhooks/" + w.createWebhook(t, map[string]any{"url": "https://hooks.example.com/"}).Webhook.ID
	for _, target := range []string{stocked, "/v1/pools/nordic/production", hook} {
		etag := w.get(target).Header().Get("ETag")
		for _, known := range []string{etag, "W/" + etag, `"a", ` + etag, "*"} {
			answer := w.send(w.key, http.MethodGet, target, "", "If-None-Match", known)
			require.Equal(t, http.StatusNotModified, answer.Code, "%s: %s", target, known)
			require.Empty(t, answer.Body.String())
			require.Equal(t, etag, answer.Header().Get("ETag"))
			require.Empty(t, answer.Header().Get("Content-Type"))
		}
		answer := w.send(w.key, http.MethodGet, target, "", "If-None-Match", `"999999"`)
		require.Equal(t, http.StatusOK, answer.Code)
		require.NotEmpty(t, answer.Body.String())
		readProblem(t, w.send(w.key, http.MethodGet, target, "", "If-None-Match", "7"), http.StatusBadRequest, codeInvalidParameter)
	}
	readProblem(t, w.send(w.key, http.MethodGet, "/v1/accounts/000000000000", "", "If-None-Match", "*"), http.StatusNotFound, codeNotFound)
	// Every read with an ETag has this answer.
	for name, op := range w.service.contract.operations {
		if op.route.Method == http.MethodGet {
			_, tagged := op.Responses.Value("200").Value.Headers["ETag"]
			require.Equal(t, tagged, op.Responses.Value("304") != nil, name)
		}
	}
}
