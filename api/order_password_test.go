package api

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

const lostLink = `{"reason":"the mail with the link was deleted"}`

// linkOf is the token in the link to the password of an order that was answered with the status.
func linkOf(t *testing.T, answer *httptest.ResponseRecorder, status int) (token string) {
	t.Helper()
	password := read[openapi.Order](t, answer, status).Result.Password
	require.NotNil(t, password)
	require.NotNil(t, password.URL)
	link, err := url.Parse(*password.URL)
	require.NoError(t, err)
	return link.Fragment
}

func (w *testAPI) reveal(token string) *httptest.ResponseRecorder {
	return w.send("", http.MethodPost, "/v1/password-reveals", asText(revealForm(token)))
}

func TestANewPasswordHasANewLink(t *testing.T) {
	t.Parallel()
	w := setup(t, realTime)
	marketplace := w.createKeyOf("acme", provision.RoleMarketplace)
	w.completedOrder("done-1")
	before := linkOf(t, w.get("/v1/orders/done-1"), http.StatusOK)
	answer := w.send(marketplace, http.MethodPost, "/v1/orders/done-1/password", lostLink)
	issued := linkOf(t, answer, http.StatusOK)
	require.NotEqual(t, before, issued)
	require.Equal(t, issued, linkOf(t, w.get("/v1/orders/done-1"), http.StatusOK))
	password := read[openapi.Order](t, answer, http.StatusOK).Result.Password
	require.WithinDuration(t, time.Now().Add(provision.PasswordLifetime), *password.ExpiresAt, time.Minute)
	require.Nil(t, password.SettingSince)

	readProblem(t, w.reveal(before), http.StatusGone, codeLinkUsedUp)
	require.Equal(t, newPasswordText, read[openapi.RevealedPassword](t, w.reveal(issued), http.StatusOK).Password)
	readProblem(t, w.reveal(issued), http.StatusGone, codeLinkUsedUp)

	history := read[openapi.OrderHistoryPage](t, w.get("/v1/orders/done-1/history"), http.StatusOK).Items
	require.Len(t, history, 7, "the four states, and these three")
	for i, code := range []string{"password", "password_link_ended", "password_issued"} {
		entry := history[4+i]
		require.Equal(t, code, value(entry.Code))
		if code != "password_issued" {
			require.Regexp(t, `^key [0-9a-f]{12}$`, entry.Actor)
			require.Equal(t, "the mail with the link was deleted", value(entry.Reason))
		}
	}
	events := read[openapi.EventPage](t, w.get("/v1/events?type=order.password_issued"), http.StatusOK).Items
	require.Len(t, events, 1)
	require.Equal(t, "done-1", events[0].Data["order_id"])
}

func TestWhoMayAskForANewPassword(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.completedOrder("done-1")
	w.createOrder("failed-1", provision.Failed)
	send := func(role provision.Role, target, body string) *httptest.ResponseRecorder {
		return w.send(w.createKeyOf("acme", role), http.MethodPost, target, body)
	}
	p := readProblem(t, send(provision.RoleViewer, "/v1/orders/done-1/password", lostLink), http.StatusForbidden, codeForbidden)
	require.Contains(t, p.Detail, "orders:password")
	p = readProblem(t, send(provision.RoleMarketplace, "/v1/orders/done-1/password", `{"reason":"because","even_if_used":true}`),
		http.StatusForbidden, codeForbidden)
	require.Contains(t, p.Detail, "orders:operate")
	readProblem(t, w.send(w.otherKey, http.MethodPost, "/v1/orders/done-1/password", lostLink), http.StatusNotFound, codeNotFound)
	p = readProblem(t, w.post("/v1/orders/failed-1/password", lostLink), http.StatusConflict, codeConflict)
	require.Contains(t, p.Detail, `order "failed-1" is failed`)
	p = readProblem(t, w.post("/v1/orders/done-1/password", `{"even_if_used":true}`), http.StatusUnprocessableEntity, codeInvalid)
	require.Equal(t, map[string]string{"reason": "is missing: it is required"}, fieldsOf(p))
	readProblem(t, w.post("/v1/orders/done-1/password", `{"reason":" "}`), http.StatusUnprocessableEntity, codeInvalid)
	require.Empty(t, w.workflows.passwords, "no request has reached a workflow")

	linkOf(t, send(provision.RoleOperator, "/v1/orders/done-1/password", `{"reason":"because","even_if_used":true}`), http.StatusOK)
	require.True(t, w.workflows.passwords[0].EvenIfUsed)
	history := read[openapi.OrderHistoryPage](t, w.get("/v1/orders/done-1/history"), http.StatusOK).Items
	require.Equal(t, "password_even_if_used", value(history[4].Code), "the history shows that an operator insisted")
}

func TestARefusedPasswordSaysWhy(t *testing.T) {
	t.Parallel()
	for code, answered := range map[provision.Code]provision.Code{
		provision.CodeSignInInUse: provision.CodeSignInInUse, provision.CodeSignInRemoved: provision.CodeSignInRemoved,
		provision.CodePermissionMissing: codeConflict,
	} {
		t.Run(string(code), func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			w.completedOrder("done-1")
			before := linkOf(t, w.get("/v1/orders/done-1"), http.StatusOK)
			w.workflows.refusePassword = &provision.Failure{Code: code, Reason: "what is wrong and what to do", AWSCode: "AccessDenied"}
			p := readProblem(t, w.post("/v1/orders/done-1/password", lostLink), http.StatusConflict, answered)
			require.Equal(t, "what is wrong and what to do (AWS answered AccessDenied)", p.Detail)
			answer := w.get("/v1/orders/done-1")
			refused := read[openapi.Order](t, answer, http.StatusOK).Result.Password.Refused
			require.NotNil(t, refused)
			require.Equal(t, string(code), refused.Code)
			require.Equal(t, p.Detail, refused.Reason)
			require.Equal(t, before, linkOf(t, answer, http.StatusOK), "nothing was sent to AWS, so the link still works")

			w.workflows.refusePassword = nil
			linkOf(t, w.post("/v1/orders/done-1/password", lostLink), http.StatusOK)
			require.Nil(t, read[openapi.Order](t, w.get("/v1/orders/done-1"), http.StatusOK).Result.Password.Refused, "the newest request counts")
		})
	}
}

func TestAPasswordThatIsStillBeingSet(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.completedOrder("done-1")
	setting := func(answer *httptest.ResponseRecorder, status int) *time.Time {
		password := read[openapi.Order](t, answer, status).Result.Password
		require.Nil(t, password.URL, "the link is about to end")
		return password.SettingSince
	}
	w.workflows.noWorker = true
	require.Equal(t, now, *setting(w.post("/v1/orders/done-1/password", lostLink), http.StatusAccepted))
	w.workflows.noWorker, w.workflows.holdPasswords = false, true
	since := setting(w.post("/v1/orders/done-1/password", lostLink), http.StatusAccepted)
	require.WithinDuration(t, time.Now(), *since, time.Minute)
	require.Equal(t, since, setting(w.get("/v1/orders/done-1"), http.StatusOK))

	w.workflows.fail = provision.ErrUnavailable
	p := readProblem(t, w.post("/v1/orders/done-1/password", lostLink), http.StatusServiceUnavailable, codeUnavailable)
	require.Contains(t, p.Detail, "send the same request again")
}

// A link is shown to keys that may order, or have the scope for it, and only with one order.
func TestOnlyKeysThatMayUseALinkSeeIt(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.completedOrder("done-1")
	with := func(scopes ...provision.Scope) string {
		return w.createKeyOf("acme", provision.RoleAdmin, func(k *provision.APIKey) { k.Scopes = scopes })
	}
	for name, c := range map[string]struct {
		key string
		see bool
	}{
		"marketplace":   {w.createKeyOf("acme", provision.RoleMarketplace), true},
		"viewer":        {w.createKeyOf("acme", provision.RoleViewer), false},
		"operator":      {w.createKeyOf("acme", provision.RoleOperator), true},
		"reads only":    {with(provision.ScopeOrdersRead), false},
		"may order":     {with(provision.ScopeOrdersRead, provision.ScopeOrdersWrite), true},
		"may reset":     {with(provision.ScopeOrdersRead, provision.ScopeOrdersPassword), true},
		"only operates": {with(provision.ScopeOrdersRead, provision.ScopeOrdersOperate), false},
	} {
		one := read[openapi.Order](t, w.send(c.key, http.MethodGet, "/v1/orders/done-1", ""), http.StatusOK)
		require.Equal(t, c.see, one.Result.Password.URL != nil, name)
		require.NotNil(t, one.Result.Password.ExpiresAt, name)
		listed := read[openapi.OrderPage](t, w.send(c.key, http.MethodGet, "/v1/orders", ""), http.StatusOK).Items
		require.Len(t, listed, 1)
		require.NotNil(t, listed[0].Result)
		require.Nil(t, listed[0].Result.Password, name)
	}
}

// secretsOf are what leads to the password of an order: the id of its row in every form, and the signed token.
func secretsOf(w *walk, order string) (secrets []string) {
	var ids []uuid.UUID
	require.NoError(w.t, w.db.SelectContext(w.t.Context(), &ids, `SELECT id FROM order_passwords WHERE order_id = $1`, order))
	require.NotEmpty(w.t, ids)
	for _, id := range ids {
		_, signature, _ := strings.Cut(w.service.revealToken(id), ".")
		secrets = append(secrets, id.String(), base64.RawURLEncoding.EncodeToString(id[:]), signature)
	}
	return append(secrets, "/reveal#", passwordText, newPasswordText)
}

// The test sends every GET operation of the document with a viewer's key, and every one that does not name an order with an operator's
// key. None of the answers contains anything that leads to a password.
func TestNoReadShowsAPassword(t *testing.T) {
	t.Parallel()
	w := setupWalk(t, fault{})
	order, ctx := w.shared["completed_order"], t.Context()
	key := provision.OrderKey{Provider: "acme", ID: order}
	request := provision.PasswordRequest{By: provision.Intervention{Actor: "key 1", Reason: "lost", ID: "request-1"}}
	account, err := w.database.Passwords.Request(ctx, key, request)
	require.NoError(t, err)
	sealed, err := w.service.Sealer.Seal([]byte(newPasswordText), provision.PasswordPurpose(key, account))
	require.NoError(t, err)
	_, err = w.database.Passwords.KeepNew(ctx, key, account, request.By, sealed, false)
	require.NoError(t, err)
	require.NoError(t, w.database.Passwords.EndRequest(ctx, key, request.By.ID, nil))
	secrets := secretsOf(w, order)

	names := map[string]string{}
	for _, fixture := range fixtures {
		for name, id := range fixture(w) {
			names[name] = id
		}
	}
	names["order_id"], names["completed_order"] = order, order
	shows := func(op *operation, role provision.Role, query string) (secret string) {
		answer := w.call(op, w.table[op.OperationID], w.keys["acme"][role], "", query, names)
		if op.allows(role) {
			require.Equal(t, 2, answer.Code/100, "%s: %s", op.OperationID, answer.Body)
		}
		i := slices.IndexFunc(secrets, func(s string) bool { return strings.Contains(answer.Body.String(), s) })
		if i < 0 {
			return ""
		}
		return secrets[i]
	}
	read := 0
	for _, op := range w.contract.operations {
		if op.route.Method != http.MethodGet || op.OperationID == "getOpenAPI" { // the document has an example of a link
			continue
		}
		for _, query := range append([]string{""}, w.table[op.OperationID].queries...) {
			read++
			require.Empty(t, shows(op, provision.RoleViewer, query), "a viewer sees it in %s", op.OperationID)
			if op.OperationID != "getOrder" {
				require.Empty(t, shows(op, provision.RoleOperator, query), "an operator sees it in %s", op.OperationID)
			}
		}
	}
	require.Greater(t, read, 40)
	require.NotEmpty(t, shows(w.contract.operations["GET /v1/orders/:order_id"], provision.RoleOperator, ""),
		"it is not shown to an operator either, so the test proves nothing")
}
