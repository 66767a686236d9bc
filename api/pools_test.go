package api

import (
	"net/http"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"quartermaster/api/openapi"
	"quartermaster/internal/postgres"
	"quartermaster/internal/provision"
)

const nordic = "/v1/pools/nordic/production"

func TestAPoolIsCreatedReadAndUpdated(t *testing.T) {
	t.Parallel()
	w, _ := setupPools(t)
	answer := w.post("/v1/pools", map[string]any{"marketplace": "baltic", "environment": "test", "stock_threshold": 0,
		"on_failure": "park", "provide_root_user": false,
		"instructions": []any{map[string]any{"model": "ECAM", "text": "Ask us about {account_id}."}}})
	made := read[openapi.Pool](t, answer, http.StatusCreated)
	require.Equal(t, "/qm/v1/pools/baltic/test", answer.Header().Get("Location"))
	require.Equal(t, `"1"`, answer.Header().Get("ETag"))
	require.Zero(t, *made.StockThreshold, "0 is a threshold, and null is none")
	require.Equal(t, "park", made.OnFailure)
	require.False(t, made.ProvideRootUser)
	require.Equal(t, 14*24*3600, made.ActionDeadlineSeconds, "the default")
	require.Equal(t, made, read[openapi.Pool](t, w.get("/v1/pools/baltic/test"), http.StatusOK))
	p := readProblem(t, w.post("/v1/pools", map[string]any{"marketplace": "baltic", "environment": "test"}), http.StatusConflict, codeConflict)
	require.Contains(t, p.Detail, "PATCH /v1/pools/baltic/test")
	first := read[openapi.PoolPage](t, w.get("/v1/pools?limit=2"), http.StatusOK)
	require.Equal(t, []string{"baltic", "nordic"}, []string{first.Items[0].Marketplace, first.Items[1].Marketplace})
	rest := read[openapi.PoolPage](t, w.get("/v1/pools?limit=2&cursor="+*first.NextCursor), http.StatusOK)
	require.Len(t, rest.Items, 1)
	require.Nil(t, rest.NextCursor)

	const address = "/v1/pools/baltic/test"
	readProblem(t, w.patch(address, map[string]any{"stock_threshold": 5}), http.StatusPreconditionRequired, codePreconditionRequired)
	answer = w.send(w.key, http.MethodPatch, address,
		`{"stock_threshold":null,"wait_deadline_seconds":3600,"permissions_boundary_arn":"arn:aws:iam::aws:policy/B","instructions":[]}`,
		"If-Match", `"1"`)
	changed := read[openapi.Pool](t, answer, http.StatusOK)
	require.Nil(t, changed.StockThreshold)
	require.Equal(t, 3600, *changed.WaitDeadlineSeconds)
	require.Empty(t, changed.Instructions)
	require.Equal(t, "park", changed.OnFailure, "what is left out stays")
	require.Equal(t, `"2"`, answer.Header().Get("ETag"))
	require.Contains(t, readProblem(t, w.send(w.key, http.MethodPatch, address, `{"on_failure":"return"}`, "If-Match", `"1"`),
		http.StatusPreconditionFailed, codePreconditionFailed).Detail, "read it again")
	cleared := read[openapi.Pool](t, w.send(w.key, http.MethodPatch, address,
		`{"wait_deadline_seconds":null,"permissions_boundary_arn":null}`, "If-Match", "*"), http.StatusOK)
	require.Nil(t, cleared.WaitDeadlineSeconds)
	require.Nil(t, cleared.PermissionsBoundaryARN)

	history := read[openapi.PoolHistoryPage](t, w.get(address+"/history?limit=3"), http.StatusOK)
	require.Equal(t, "created", history.Items[0].What)
	require.Equal(t, "key "+w.keyID(), history.Items[1].Actor)
	rows := len(history.Items)
	for history.NextCursor != nil {
		history = read[openapi.PoolHistoryPage](t, w.get(address+"/history?limit=3&cursor="+*history.NextCursor), http.StatusOK)
		rows += len(history.Items)
	}
	require.Equal(t, 7, rows, "four settings changed, then two")
	last := history.Items[len(history.Items)-1]
	require.Equal(t, "wait_deadline", last.What)
	require.JSONEq(t, `"01:00:00"`, string(*last.From))
	require.Nil(t, last.To)
}

func TestSettingsThatNeedAttentionHaveWarnings(t *testing.T) {
	t.Parallel()
	w, _ := setupPools(t)
	require.Nil(t, read[openapi.Pool](t, w.get(nordic), http.StatusOK).Warnings)
	answer := w.send(w.key, http.MethodPatch, nordic,
		`{"report_region":"me-south-1","permissions_boundary_arn":"arn:aws:iam::111122223333:policy/B"}`, "If-Match", "*")
	changed := read[openapi.Pool](t, answer, http.StatusOK)
	require.Len(t, *changed.Warnings, 2)
	require.Contains(t, (*changed.Warnings)[0], "enable it in every account of the pool")
	require.Contains(t, (*changed.Warnings)[1], "must allow iam:ChangePassword")
	require.Equal(t, changed, read[openapi.Pool](t, w.get(nordic), http.StatusOK))
	for body, field := range map[string]string{
		`{"permissions_boundary_arn":"arn:aws:iam::aws:policy/PowerUserAccess"}`: "permissions_boundary_arn",
		`{"report_region":"eu-central-9"}`:                                       "report_region",
		`{"warnings":[]}`:                                                        "warnings",
	} {
		require.Contains(t, fieldsOf(readProblem(t, w.send(w.key, http.MethodPatch, nordic, body, "If-Match", "*"),
			http.StatusUnprocessableEntity, codeInvalid)), field)
	}
}

func TestInvalidSettingsAreRefusedByField(t *testing.T) {
	t.Parallel()
	w, _ := setupPools(t)
	before := read[openapi.Pool](t, w.get(nordic), http.StatusOK)
	pointers := func(body string) map[string]string {
		p := readProblem(t, w.send(w.key, http.MethodPatch, nordic, body, "If-Match", "*"), http.StatusUnprocessableEntity, codeInvalid)
		found := map[string]string{}
		for _, f := range *p.Errors {
			found[*f.Pointer] = f.Message
		}
		return found
	}
	found := pointers(`{"report_kind":"cur","report_region":"il-central-1",
		"instructions":[{"model":"SPAM","text":"fine"},{"model":"ECAM","text":"{acount_id}"}],
		"model_thresholds":[{"model":"GCP","threshold":1}]}`)
	require.Len(t, found, 3)
	require.Contains(t, found["/report_region"], "use report_kind export, or one of")
	require.Contains(t, found["/instructions/1/text"], "unknown placeholder {acount_id}: the known placeholders are {account_id}")
	require.Contains(t, found["/model_thresholds"], "use SPAM or ECAM")
	require.Contains(t, pointers(`{"report_prefix":"/x"}`)["/report_prefix"], "single slashes inside")
	found = pointers(`{"model_thresholds":[{"model":"SPAM","threshold":1},{"model":"SPAM","threshold":2}]}`)
	require.Contains(t, found["/model_thresholds/1/model"], "is listed twice")
	require.Contains(t, pointers(`{"user_policy_arns":["arn:aws:iam::aws:role/R"]}`), "/user_policy_arns/0")
	require.Contains(t, pointers(`{"action_deadline_seconds":1}`), "/action_deadline_seconds")
	require.Contains(t, pointers(`{"renotify_seconds":null}`), "/renotify_seconds")
	require.Contains(t, pointers(`{"threshold":1}`), "/threshold")
	require.Equal(t, before, read[openapi.Pool](t, w.get(nordic), http.StatusOK))
	p := readProblem(t, w.post("/v1/pools", map[string]any{"marketplace": "baltic", "environment": "test",
		"report_prefix": "a//b"}), http.StatusUnprocessableEntity, codeInvalid)
	require.Contains(t, fieldsOf(p), "report_prefix")
}

func TestAnotherProvidersPoolsAndAlertsAreNotFound(t *testing.T) {
	t.Parallel()
	w, _ := setupPools(t)
	open := alertIDs(t, w.store)[0]
	read[openapi.ProtectedAccount](t, w.send(w.key, http.MethodPut, "/v1/protected-accounts/777788889999", `{"note":"payer"}`), http.StatusOK)
	for _, c := range []struct{ method, target, body string }{
		{http.MethodGet, "/v1/pools/nordic/test", ""}, {http.MethodPatch, "/v1/pools/nordic/test",
			`{"stock_threshold":1}`}, {http.MethodGet, "/v1/pools/nordic/test/history", ""},
		{http.MethodPost, "/v1/stock-alerts/" + open + "/acknowledge", `{"note":"n"}`}, {http.MethodDelete,
			"/v1/protected-accounts/777788889999", ""},
	} {
		readProblem(t, w.send(w.otherKey, c.method, c.target, c.body, "If-Match", "*"), http.StatusNotFound, codeNotFound)
	}
	require.Empty(t, read[openapi.ProtectedAccountPage](t, w.send(w.otherKey, http.MethodGet, "/v1/protected-accounts", ""),
		http.StatusOK).Items)
	require.Empty(t, read[openapi.StockAlertPage](t, w.send(w.otherKey, http.MethodGet, "/v1/stock-alerts", ""), http.StatusOK).Items)
	stock := read[openapi.Stock](t, w.send(w.otherKey, http.MethodGet, "/v1/stock", ""), http.StatusOK)
	require.Len(t, stock.Items, 1)
	require.Zero(t, stock.Items[0].Invalid+stock.Items[0].WaitingForVerification)
}

func TestProtectedAccountsAreListedAndRefused(t *testing.T) {
	t.Parallel()
	w, _ := setupPools(t)
	const address = "/v1/protected-accounts/444455556666"
	protected := read[openapi.ProtectedAccount](t, w.send(w.key, http.MethodPut, address, `{"note":"payer"}`), http.StatusOK)
	require.Equal(t, "key "+w.keyID(), protected.CreatedBy)
	require.Equal(t, "the payer", read[openapi.ProtectedAccount](t, w.send(w.key, http.MethodPut, address, `{"note":"the payer"}`),
		http.StatusOK).Note)
	read[openapi.ProtectedAccount](t, w.send(w.key, http.MethodPut, "/v1/protected-accounts/444455557777", `{"note":"ours"}`), http.StatusOK)
	first := read[openapi.ProtectedAccountPage](t, w.get("/v1/protected-accounts?limit=1"), http.StatusOK)
	require.Equal(t, "444455556666", first.Items[0].AccountID)
	require.Equal(t, "444455557777", read[openapi.ProtectedAccountPage](t,
		w.get("/v1/protected-accounts?cursor="+*first.NextCursor), http.StatusOK).Items[0].AccountID)
	require.Contains(t, fieldsOf(readProblem(t, w.send(w.key, http.MethodPut, address, `{"note":" "}`),
		http.StatusUnprocessableEntity, codeInvalid)), "note")

	p := readProblem(t, w.post("/v1/accounts", accountForm("444455556666", map[string]any{"name": " "})),
		http.StatusUnprocessableEntity, codeInvalid)
	require.Contains(t, fieldsOf(p)["id"], "is protected")
	require.Contains(t, fieldsOf(p), "name", "every wrong field at once")
	require.Equal(t, http.StatusCreated, w.send(w.otherKey, http.MethodPost, "/v1/accounts",
		asText(accountForm("444455556666"))).Code, "it is acme who protects it")
	require.Equal(t, http.StatusNoContent, w.send(w.key, http.MethodDelete, address, "").Code)
	readProblem(t, w.send(w.key, http.MethodDelete, address, ""), http.StatusNotFound, codeNotFound)
}

func TestTheStockAndItsAlertsAreRead(t *testing.T) {
	t.Parallel()
	w, db := setupPools(t)
	stock := read[openapi.Stock](t, w.get("/v1/stock?environment=production"), http.StatusOK)
	require.Len(t, stock.Items, 1)
	pool := stock.Items[0]
	require.Equal(t, 1, pool.WaitingForVerification)
	require.Zero(t, *pool.Forecast.Days)
	require.Equal(t, provision.ModelSPAM, pool.Models[0].Model)
	require.Equal(t, provision.AlertEmpty, pool.Alert.Kind)
	require.Equal(t, "open", pool.Alert.State)
	require.Len(t, read[openapi.Stock](t, w.get("/v1/stock"), http.StatusOK).Items, 2)
	require.Nil(t, pool.ClaimsSuspendedAt)
	require.Nil(t, pool.ClaimsSuspendedBecause)
	db.MustExec(`UPDATE pools SET claims_suspended_at = '2026-11-25 10:00:00Z', claims_suspended_because = 'no account can be entered'
		WHERE marketplace = 'nordic' AND environment = 'production'`)
	pool = read[openapi.Stock](t, w.get("/v1/stock?environment=production"), http.StatusOK).Items[0]
	require.Equal(t, "2026-11-25T10:00:00Z", pool.ClaimsSuspendedAt.Format(time.RFC3339))
	require.Equal(t, "no account can be entered", *pool.ClaimsSuspendedBecause)
	suspended := read[openapi.Pool](t, w.get(nordic), http.StatusOK)
	require.Equal(t, pool.ClaimsSuspendedAt, suspended.ClaimsSuspendedAt)
	require.Equal(t, pool.ClaimsSuspendedBecause, suspended.ClaimsSuspendedBecause)

	first := read[openapi.StockAlertPage](t, w.get("/v1/stock-alerts?limit=1"), http.StatusOK)
	require.Equal(t, "closed", first.Items[0].State)
	second := read[openapi.StockAlertPage](t, w.get("/v1/stock-alerts?limit=1&cursor="+*first.NextCursor), http.StatusOK)
	require.Equal(t, pool.Alert.ID, second.Items[0].ID)
	require.Nil(t, second.NextCursor)
	require.Len(t, read[openapi.StockAlertPage](t, w.get("/v1/stock-alerts?state=open&marketplace=nordic"), http.StatusOK).Items, 1)

	closed := "/v1/stock-alerts/" + first.Items[0].ID + "/acknowledge"
	require.Contains(t, readProblem(t, w.post(closed, map[string]any{"note": "n"}), http.StatusConflict,
		codeConflict).Detail, "is closed already")
	open := "/v1/stock-alerts/" + pool.Alert.ID + "/acknowledge"
	acknowledged := read[openapi.StockAlert](t, w.post(open, map[string]any{"note": "ten are ordered"}), http.StatusOK)
	require.Equal(t, "acknowledged", acknowledged.State)
	require.Equal(t, "key "+w.keyID(), *acknowledged.AcknowledgedBy)
	require.Equal(t, "ten are ordered", *acknowledged.Note)
	var told []string
	require.NoError(t, db.Select(&told, `SELECT data::text FROM events WHERE type = 'stock.acknowledged'`))
	require.Len(t, told, 1)
	require.NotContains(t, told[0], "ten are ordered", "what people write stays out of events")
	require.Contains(t, fieldsOf(readProblem(t, w.post(open, map[string]any{"note": "\u2028"}), http.StatusUnprocessableEntity,
		codeInvalid)), "note")
}

// setupPools is an API over a database with the providers and their pools, and that database.
func setupPools(t *testing.T) (*testAPI, *sqlx.DB) {
	t.Helper()
	store, db := stockedDatabase(t)
	return setupOn(t, store), db
}

// stockedDatabase returns a database with the providers and their pools, one account that is not Ready in each pool of acme, and so
// an open alert in nordic/production and one in nordic/test that has closed.
func stockedDatabase(t *testing.T) (*postgres.DB, *sqlx.DB) {
	t.Helper()
	ctx := t.Context()
	store, db := openDatabase(t)
	for i, id := range []string{"333344445550", "333344445551"} {
		_, _, err := store.Accounts.Create(ctx, provision.Account{ID: id, Pool: pools[i], Model: provision.ModelSPAM, Name: "n",
			RootEmail: "a+" + id + "@b.example",
			RoleARN:   "arn:aws:iam::" + id + ":role/Q", ExternalID: provision.NewExternalID()}, "test")
		require.NoError(t, err)
	}
	watch, err := store.Stock.Watch(ctx)
	require.NoError(t, err)
	require.Equal(t, 2, watch.Open)
	db.MustExecContext(ctx, `UPDATE stock_alerts SET closed_at = now() WHERE environment = 'test'`)
	return store, db
}

// alertIDs are those of acme, the open one first.
func alertIDs(t *testing.T, store *postgres.DB) (ids []string) {
	t.Helper()
	for _, open := range []bool{true, false} {
		alerts, err := store.Stock.Alerts(t.Context(), "acme", provision.AlertFilter{Open: &open, Limit: 1})
		require.NoError(t, err)
		require.Len(t, alerts, 1)
		ids = append(ids, alerts[0].ID)
	}
	return ids
}
