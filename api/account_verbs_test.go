package api

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

const stocked = "/v1/accounts/444455556666"

func setupStocked(t *testing.T, status provision.AccountStatus) *testAPI {
	t.Helper()
	w := setup(t)
	w.stockAccount(t, "444455556666", status)
	return w
}

func (w *testAPI) withETag(t *testing.T, method, target, body, etag string) (status int) {
	t.Helper()
	return w.send(w.key, method, target, body, "If-Match", etag).Code
}

func TestUpdatingAnAccountRequiresItsETag(t *testing.T) {
	t.Parallel()
	w := setupStocked(t, provision.AccountReady)
	readProblem(t, w.patch(stocked, map[string]any{"name": "x"}), http.StatusPreconditionRequired, codePreconditionRequired)
	readProblem(t, w.send(w.key, http.MethodDelete, stocked, ""), http.StatusPreconditionRequired, codePreconditionRequired)
	etag := w.get(stocked).Header().Get("ETag")
	answer := w.send(w.key, http.MethodPatch, stocked, `{"name":"Pool 7"}`, "If-Match", etag)
	require.Equal(t, "Pool 7", read[openapi.Account](t, answer, http.StatusOK).Name)
	require.NotEqual(t, etag, answer.Header().Get("ETag"))
	require.Contains(t, readProblem(t, w.send(w.key, http.MethodPatch, stocked, `{"name":"Pool 8"}`, "If-Match", etag),
		http.StatusPreconditionFailed, codePreconditionFailed).Detail, "read it again")
	for _, rubbish := range []string{"7", `"x`, `w/"7"`, `"7" "8"`, `*, "7"`, "", ","} {
		readProblem(t, w.send(w.key, http.MethodPatch, stocked, `{"name":"Pool 8"}`, "If-Match", rubbish), http.StatusBadRequest,
			codeInvalidParameter)
	}
	require.Equal(t, "Pool 7", read[openapi.Account](t, w.get(stocked), http.StatusOK).Name)
	require.Equal(t, http.StatusOK, w.withETag(t, http.MethodPatch, stocked, `{"name":"Pool 9"}`, "*"))
}

func TestInvalidUpdatesOfAccountsAreRefusedByField(t *testing.T) {
	t.Parallel()
	w := setupStocked(t, provision.AccountReady)
	before := w.historyOf(t, "444455556666")
	p := readProblem(t, w.send(w.key, http.MethodPatch, stocked, `{"role_arn":"arn:aws:iam::111122223333:role/R"}`, "If-Match",
		"*"), http.StatusUnprocessableEntity, codeInvalid)
	require.Contains(t, fieldsOf(p)["role_arn"], "the role is in account 111122223333")
	p = readProblem(t, w.send(w.key, http.MethodPatch, stocked, `{"model":"GCP"}`, "If-Match", "*"),
		http.StatusUnprocessableEntity, codeInvalid)
	require.Contains(t, fieldsOf(p)["model"], "use SPAM or ECAM")
	p = readProblem(t, w.send(w.key, http.MethodPatch, stocked, `{"id":"111122223333"}`, "If-Match", "*"),
		http.StatusUnprocessableEntity, codeInvalid)
	require.Contains(t, fieldsOf(p)["id"], "unknown field")
	require.Equal(t, before, w.historyOf(t, "444455556666"))
}

func TestARootEmailOfAnotherAccountIsRefused(t *testing.T) {
	t.Parallel()
	w := setupStocked(t, provision.AccountReady)
	read[openapi.Account](t, w.send(w.otherKey, http.MethodPost, "/v1/accounts",
		asText(accountForm("777788889999", map[string]any{"root_email": "theirs@provider.example"}))), http.StatusCreated)
	email := map[string]any{"root_email": "Theirs@provider.example"}
	want := map[string]string{"root_email": provision.RootEmailTaken}
	require.Equal(t, want, fieldsOf(readProblem(t, w.post("/v1/accounts", accountForm("444455556667", email)),
		http.StatusUnprocessableEntity, codeInvalid)))
	require.Equal(t, want, fieldsOf(readProblem(t, w.send(w.key, http.MethodPatch, stocked, asText(email), "If-Match", "*"),
		http.StatusUnprocessableEntity, codeInvalid)))
}

func TestVerbsOnAccounts(t *testing.T) {
	t.Parallel()
	w := setupStocked(t, provision.AccountReady)
	require.Contains(t, readProblem(t, w.post(stocked+"/return", map[string]any{"reason": "r"}), http.StatusConflict,
		codeConflict).Detail, "is Ready")
	a := read[openapi.Account](t, w.post(stocked+"/invalidate", map[string]any{"reason": "an abuse report"}), http.StatusOK)
	require.Equal(t, provision.AccountInvalid, a.Status)
	require.Equal(t, "an abuse report", *a.Reason)
	require.Zero(t, w.workflows.sweeps)
	a = read[openapi.Account](t, w.post(stocked+"/return", map[string]any{"reason": "closed"}), http.StatusAccepted)
	require.Equal(t, provision.AccountInvalid, a.Status)
	require.True(t, a.ReadyWhenVerified)
	require.Equal(t, 1, w.workflows.sweeps)
	read[openapi.Account](t, w.send(w.key, http.MethodPost, stocked+"/verify", ""), http.StatusAccepted)
	require.Equal(t, 2, w.workflows.sweeps)
	history := w.historyOf(t, "444455556666")
	require.Equal(t, "key "+w.keyID(), history[len(history)-1].Actor)

	first := read[openapi.AccountHistoryPage](t, w.get(stocked+"/history?limit=2"), http.StatusOK)
	require.Len(t, first.Items, 2)
	require.NotNil(t, first.Items[1].Refused, "the history has what was refused")
	require.Equal(t, "r", *first.Items[1].Reason)
	second := read[openapi.AccountHistoryPage](t, w.get(stocked+"/history?limit=2&cursor="+*first.NextCursor), http.StatusOK)
	require.Len(t, second.Items, 2)
	require.Equal(t, "an abuse report", *second.Items[0].Reason)
	readProblem(t, w.get(stocked+"/history?cursor=rubbish"), http.StatusBadRequest, codeInvalidParameter)
	require.Equal(t, http.StatusNoContent, w.withETag(t, http.MethodDelete, stocked, "", w.get(stocked).Header().Get("ETag")))
	readProblem(t, w.get(stocked), http.StatusNotFound, codeNotFound)
}

func TestAccountsOfOtherProvidersCannotBeChanged(t *testing.T) {
	t.Parallel()
	w := setupStocked(t, provision.AccountInvalid)
	before := w.historyOf(t, "444455556666")
	for _, id := range []string{"444455556666", "777788889999"} {
		for method, targets := range map[string][]string{http.MethodPatch: {""}, http.MethodDelete: {""},
			http.MethodGet: {"/history"}, http.MethodPost: {"/invalidate", "/return", "/verify"}} {
			for _, target := range targets {
				body := map[string]string{http.MethodPatch: `{"name":"mine"}`, http.MethodPost: `{"reason":"r"}`}[method]
				if target == "/verify" {
					body = ""
				}
				p := readProblem(t, w.send(w.otherKey, method, "/v1/accounts/"+id+target, body, "If-Match", "*"), http.StatusNotFound, codeNotFound)
				require.Equal(t, "account "+id+" not found", p.Detail)
			}
		}
	}
	require.Equal(t, before, w.historyOf(t, "444455556666"))
	require.Zero(t, w.workflows.sweeps)
}

func TestLeftoversOfAnOrderAreRemoved(t *testing.T) {
	t.Parallel()
	w := setupStocked(t, provision.AccountProvisioningFailed)
	remove := func() *httptest.ResponseRecorder {
		return w.send(w.key, http.MethodPost, stocked+"/remove-leftovers", `{"reason":"the policy is mended"}`)
	}
	account := read[openapi.Account](t, remove(), http.StatusAccepted)
	require.NotNil(t, account.RemovingSince)
	require.Equal(t, []provision.LeftoverRemoval{{Provider: "acme", AccountID: account.ID,
		By: provision.Intervention{Actor: "key " + w.keyID(), Reason: "the policy is mended"}}}, w.workflows.removals)

	w.workflows.fail = provision.ErrUnavailable
	require.Contains(t, readProblem(t, remove(), http.StatusServiceUnavailable, codeUnavailable).Detail, "send the same request again")
	w.workflows.fail = nil
	read[openapi.Account](t, remove(), http.StatusAccepted)

	w = setupStocked(t, provision.AccountReady)
	readProblem(t, remove(), http.StatusConflict, codeConflict)
	require.Empty(t, w.workflows.removals)
}
