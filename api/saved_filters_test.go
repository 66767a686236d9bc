package api

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

func filterPath(name string) string { return "/v1/saved-filters/" + url.PathEscape(name) }

func TestACallerKeepsItsFilters(t *testing.T) {
	t.Parallel()
	w := setup(t)
	const form = `{"page":"orders","query":"state=action_required&marketplace=baltic"}`
	for _, name := range []string{"Stuck in the Baltics", "Größe?", "a+b & c", "100 %"} {
		saved := read[openapi.SavedFilter](t, w.send(w.key, http.MethodPut, filterPath(name), form), http.StatusOK)
		require.Equal(t, []string{name, "orders", "state=action_required&marketplace=baltic"}, []string{saved.Name, saved.Page, saved.Query})
	}
	read[openapi.SavedFilter](t, w.send(w.key, http.MethodPut, filterPath("  100 % "), form), http.StatusOK)
	mine := read[openapi.SavedFilters](t, w.get("/v1/saved-filters"), http.StatusOK).Items
	require.Len(t, mine, 4, "white space around a name is not part of it")

	for _, other := range []string{w.otherKey, w.createKeyOf("acme", provision.RoleAdmin)} {
		require.Empty(t, read[openapi.SavedFilters](t, w.send(other, http.MethodGet, "/v1/saved-filters", ""), http.StatusOK).Items)
		readProblem(t, w.send(other, http.MethodDelete, filterPath("100 %"), ""), http.StatusNotFound, codeNotFound)
	}
	require.Equal(t, http.StatusNoContent, w.send(w.key, http.MethodDelete, filterPath("100 %"), "").Code)
	p := readProblem(t, w.send(w.key, http.MethodDelete, filterPath("100 %"), ""), http.StatusNotFound, codeNotFound)
	require.Equal(t, `saved filter "100 %" not found`, p.Detail)
	require.Len(t, read[openapi.SavedFilters](t, w.get("/v1/saved-filters"), http.StatusOK).Items, 3)
}

func TestAFilterThatCannotBeSavedIsRefused(t *testing.T) {
	t.Parallel()
	w := setup(t)
	const form = `{"page":"orders","query":"state=failed"}`
	for name, message := range map[string]string{
		"a/b": "must not contain a slash", ".hidden": "not begin with a dot", "..": "not begin with a dot", strings.Repeat("n",
			61): "1 to 60 characters",
		"bell\a": "control character", " ": "needs 1 to 60 characters",
	} {
		p := readProblem(t, w.send(w.key, http.MethodPut, filterPath(name), form), http.StatusBadRequest, codeInvalidParameter)
		require.Contains(t, fieldsOf(p)["name"], message, name)
	}
	for body, wrong := range map[string][2]string{
		`{"page":"webhooks","query":"a=b"}`:                                        {"page", "orders"},
		`{"page":"orders","query":""}`:                                             {"query", "needs 1 to 2000 characters"},
		`{"page":"orders","query":"search=é"}`:                                     {"query", "percent-encode"},
		fmt.Sprintf(`{"page":"orders","query":"a=%s"}`, strings.Repeat("b", 2000)): {"query", "1 to 2000 characters"},
		`{"page":"orders","query":"a=%zz"}`:                                        {"query", "write % as %25"},
		`{"page":"orders","query":"a=1;b=2"}`:                                      {"query", "; as %3B"},
		`{"page":"orders","query":"a=b","owner":"key 1"}`:                          {"owner", "unknown field"},
	} {
		p := readProblem(t, w.send(w.key, http.MethodPut, filterPath("x"), body), http.StatusUnprocessableEntity, codeInvalid)
		require.Contains(t, fieldsOf(p)[wrong[0]], wrong[1], body)
	}
	for i := range provision.MostSavedFilters {
		read[openapi.SavedFilter](t, w.send(w.key, http.MethodPut, filterPath(fmt.Sprint("f", i)), form), http.StatusOK)
	}
	p := readProblem(t, w.send(w.key, http.MethodPut, filterPath("one more"), form), http.StatusConflict, codeConflict)
	require.Contains(t, p.Detail, "delete one of them first")

	stock := w.createKeyOf("acme", provision.RoleViewer, func(k *provision.APIKey) { k.Scopes = []provision.Scope{provision.ScopeStockRead} })
	readProblem(t, w.send(stock, http.MethodGet, "/v1/saved-filters", ""), http.StatusForbidden, codeForbidden)
}
