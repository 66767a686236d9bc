package api

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/apikey"
	"quartermaster/internal/provision"
	"quartermaster/internal/stockcsv"
)

// walked says how the walk of isolation_test.go sends an operation so that nothing is wrong with it but, perhaps, who sends it.
// {name} stands for a value of the fixtures below.
type walked struct {
	body    string   // what is right
	foreign []string // other bodies, which name what is acme's: no other provider's key may get a 2xx for them
	queries []string // besides the bare address: filters that find what is acme's
	header  []string // pairs of name and value
	answer  int      // what a key gets that may do it; 0: any 2xx
	stream  bool     // it answers for as long as the caller listens
	free    bool     // what the path names is the caller's to choose: another provider may have one of that name too

	callers bool              // what it makes is the caller's alone, so marketplaces do not matter
	own     string            // what every key of acme is shown
	path    map[string]string // fixtures of parameters that mean something else here than elsewhere
}

// target is the path of the operation, with the names of its fixtures in it.
func (how walked) target(op *operation) string {
	path := op.route.Path
	for parameter, fixture := range how.path {
		path = strings.ReplaceAll(path, "{"+parameter+"}", "{"+fixture+"}")
	}
	return path
}

// Every operation of openapi.yaml has a line here. A new operation needs a line, and a fixture if its path has a new parameter.
func walkTable() map[string]walked {
	const (
		order   = `"marketplace":"nordic","order_mode":"new_account","iam_user_name":"anna","aws_contact_name":"Anna","aws_account_alias":"berg"`
		account = `"marketplace":"nordic","model":"SPAM","name":"Pool 1","root_email":"a+{n}@b.example"`
		reason  = `{"reason":"because"}`
		batch   = `"verb":"cancel","orders":{"filter":{"account_id":"{held_account}"}}` // what every role may do that may do anything
		newKey  = `{"name":"one more","role":"marketplace","marketplaces":["nordic"]}`
	)
	ifMatch := []string{"If-Match", "*"}
	return map[string]walked{
		"createOrder": {body: `{"id":"new-{n}","environment":"production",` + order + `}`,
			foreign: []string{`{"id":"new-{n}","environment":"test",` + order + `}`}},
		"listOrders": {queries: []string{"account_id={held_account}", "customer_id=mk-customer", "search=mk-customer",
			"search=mk-order", "search=mk-alias", "search={held_account}", "asks=customer", "ended_after=2026-01-01T00:00:00Z",
			"marketplace=nordic", "limit=1", "state=completed"}},
		"countOrders":    {queries: []string{"ended_since=2026-01-01T00:00:00Z"}},
		"tickManualStep": {body: `{"done":true,"reason":"because"}`, path: map[string]string{"order_id": "completed_order"}},
		"validateOrder": {body: `{"id":"new-{n}","environment":"production",` + order + `}`,
			foreign: []string{`{"id":"new-{n}","environment":"test",` + order + `}`}},
		"getOrderForm":     {},
		"getOrder":         {},
		"listOrderHistory": {queries: []string{"limit=1"}},
		"correctOrder":     {body: `{"aws_account_alias":"berg-2"}`},
		"cancelOrder":      {body: reason},
		"retryOrder":       {body: reason},
		"failOrder":        {body: reason},
		"endUndo":          {body: reason, path: map[string]string{"order_id": "stopped_order"}},
		"issuePassword":    {body: reason, path: map[string]string{"order_id": "completed_order"}},
		"swapOrder":        {body: `{"account_id":"{held_account}","reason":"because"}`},

		"createAccount": {
			body:    `{"id":"{new_account}","role_arn":"arn:aws:iam::{new_account}:role/Q","environment":"production",` + account + `}`,
			foreign: []string{`{"id":"{account_id}","role_arn":"arn:aws:iam::{account_id}:role/Q","environment":"production",` + account + `}`},
		},
		"listAccounts": {queries: []string{"status=provisioning", "marketplace=nordic", "limit=1", "search={account_id}", "search=mk",
			"waiting_for_verification=true", "has_finding=false"}},
		"countAccounts":      {queries: []string{"marketplace=nordic"}},
		"getAccount":         {},
		"updateAccount":      {body: `{"name":"Pool 2"}`, header: ifMatch},
		"deleteAccount":      {header: ifMatch, queries: []string{"reason=because"}},
		"invalidateAccount":  {body: reason},
		"returnAccount":      {body: reason},
		"removeLeftovers":    {body: reason, path: map[string]string{"account_id": "left_account"}},
		"verifyAccount":      {},
		"listAccountHistory": {queries: []string{"limit=1"}},
		"listAccountChecks":  {},
		"listAccountChanges": {queries: []string{"limit=1"}, path: map[string]string{"account_id": "changed_account"}},
		"getAccountRole":     {queries: []string{"principal_arn=arn:aws:iam::999988887777:role/workers"}},

		"listAPIKeys":  {queries: []string{"limit=1"}},
		"createAPIKey": {body: newKey},
		"getAPIKey":    {},
		"rotateAPIKey": {body: `{"overlap_hours":2}`},
		"revokeAPIKey": {body: reason},

		"listPools":             {queries: []string{"limit=1"}},
		"createPool":            {body: `{"marketplace":"new-{n}","environment":"production"}`, free: true},
		"getPool":               {},
		"updatePool":            {body: `{"stock_threshold":7}`, header: ifMatch},
		"listPoolHistory":       {queries: []string{"limit=1"}},
		"listProtectedAccounts": {queries: []string{"limit=1"}},
		"protectAccount":        {body: `{"note":"because"}`, free: true},
		"unprotectAccount": {path: map[string]string{"account_id": "protected_account"},
			queries: []string{"reason=because"}},
		"getStock":              {queries: []string{"marketplace=nordic"}},
		"getStockHistory":       {queries: []string{"marketplace=nordic", "model=SPAM", "since=2026-11-22T10:00:00Z"}},
		"listStockAlerts":       {queries: []string{"limit=1"}},
		"acknowledgeStockAlert": {body: `{"note":"because"}`},

		"createWebhook":        {body: `{"url":"https://hooks.example.com/{n}"}`},
		"listWebhooks":         {queries: []string{"limit=1"}},
		"getWebhook":           {},
		"updateWebhook":        {body: `{"description":"another"}`, header: ifMatch},
		"deleteWebhook":        {header: ifMatch, queries: []string{"reason=because"}},
		"rotateWebhookSecret":  {body: `{"overlap_seconds":60}`},
		"testWebhook":          {},
		"replayWebhook":        {body: `{"since":"2026-11-22T10:00:00Z"}`},
		"listDeliveries":       {queries: []string{"limit=1", "state=pending"}},
		"getDelivery":          {},
		"resendDelivery":       {},
		"getMe":                {own: "acme"},
		"listSessions":         {},
		"endSessions":          {body: reason},
		"getCallbackSecret":    {},
		"rotateCallbackSecret": {body: `{"overlap_seconds":60}`},
		"listEvents":           {queries: []string{"order_id={completed_order}", "type=order.*", "limit=1"}},
		"streamEvents":         {queries: []string{"order_id={completed_order}"}, stream: true},

		"getHealth": {},
		"listHistory": {queries: []string{"limit=1", "order_id={completed_order}", "account_id={account_id}", "marketplace=nordic",
			"kind=order&actor=test"}},
		"exportHistory":     {queries: []string{"order_id={completed_order}", "kind=order&marketplace=nordic"}},
		"listRoles":         {},
		"listSavedFilters":  {},
		"saveFilter":        {body: `{"page":"orders","query":"state=failed"}`, free: true, callers: true},
		"deleteSavedFilter": {},

		"exportAccounts":           {queries: []string{"marketplace=nordic"}},
		"importAccounts":           {body: csvFile("{new_account}"), queries: []string{"dry_run=true"}},
		"listAccountImports":       {queries: []string{"limit=1"}},
		"getAccountImportTemplate": {},
		"getAccountImport":         {},
		"listAccountImportResults": {queries: []string{"outcome=faulty", "limit=1"}},

		"createBatch":      {body: `{"id":"0b2f7c1e-93c4-4a57-8f0e-{n}","expected_count":1,"reason":"because",` + batch + `}`},
		"previewBatch":     {body: `{` + batch + `}`},
		"listBatches":      {queries: []string{"limit=1"}},
		"getBatch":         {},
		"stopBatch":        {body: reason},
		"listBatchResults": {queries: []string{"outcome=waiting", "limit=1"}},

		"revealPassword": {body: `{"token":"{forged_token}"}`, answer: http.StatusNotFound}, // the token is the credential
		"getOpenAPI":     {},
	}
}

// Each fixture creates a new resource of acme for a parameter of a path. It returns the values of the parameter, of other
// parameters that name the resource, and of placeholders in bodies and queries. No other provider may have a resource of that
// name, because finding it would then be correct.
var fixtures = map[string]func(*walk) map[string]string{
	"order_id": (*walk).order,
	"number":   (*walk).completed,

	"stopped_order":   (*walk).stopped,
	"completed_order": (*walk).completed,
	"account_id":      (*walk).account,
	"left_account":    (*walk).left,
	"changed_account": (*walk).changed,
	"key_id":          (*walk).apiKey,

	"marketplace":       (*walk).pool,
	"environment":       (*walk).pool,
	"protected_account": (*walk).protectedAccount,
	"alert_id":          (*walk).alert,

	"name":        (*walk).savedFilter,
	"import_id":   (*walk).accountImport,
	"batch_id":    (*walk).batch,
	"webhook_id":  (*walk).webhook,
	"delivery_id": (*walk).webhook,
}

// notNames are fixtures that are no names of what is acme's: it is no leak when others see them.
var notNames = []string{"forged_token", "environment", "number"}

// markers occur only in acme's data, each of them in something that the API shows to acme.
var markers = []string{"mk-user", "mk-contact", "mk-customer", "mk-mail", "mk-alias", "mk-result", "mk-account", "mk-root", "mk-role",
	"mk-external", "mk-key",
	"mk-text", "mk-note", "mk-hook", "mk-filter"}

// tablesWithoutProvider are the tables whose rows belong to no provider. Those of every other table have a column that says whose they are.
var tablesWithoutProvider = []string{
	"account_models", "account_transitions", "order_transitions", "goose_db_version", "processes", "seal_keys", "worker_identity",
}

// owners say whose the rows are of tables that belong to another one's.
var owners = map[string]string{
	"providers":              `r.id = $1`,
	"sessions":               `$1 = ANY(r.providers)`,
	"account_import_results": `r.import_id IN (SELECT id FROM account_imports WHERE provider = $1)`,

	"webhook_deliveries": `r.webhook_id IN (SELECT id FROM webhooks WHERE provider = $1)`,
	"webhook_attempts": `r.delivery_id IN (SELECT d.id FROM webhook_deliveries d
		JOIN webhooks h ON h.id = d.webhook_id WHERE h.provider = $1)`,
}

func (w *walk) next() int {
	w.number++
	return w.number
}

// stock adds an account to acme's pool.
func (w *walk) stock(status provision.AccountStatus) string {
	n := w.next()
	id := fmt.Sprintf("%012d", n)
	_, _, err := w.database.Accounts.Create(w.t.Context(), provision.Account{ID: id, Pool: pools[0], Model: provision.ModelSPAM,
		Status: status,
		Name:   "mk-account", RootEmail: fmt.Sprintf("mk-root+%d@acme.example",
			n), RoleARN: "arn:aws:iam::" + id + ":role/mk-role", ExternalID: fmt.Sprintf("mk-external-of-%d-or-more", n)}, "test")
	require.NoError(w.t, err)
	return id
}

func (w *walk) account() map[string]string {
	return map[string]string{"account_id": w.stock("")}
}

// order is an order of acme that asks for another alias and holds an account.
func (w *walk) order() map[string]string {
	key, account := w.claimed()
	require.NoError(w.t, w.database.Orders.RequireAction(w.t.Context(), key,
		provision.Failure{Code: provision.CodeAliasTaken, Field: "aws_account_alias", Value: "mk-alias", Reason: "taken"}))
	return map[string]string{"order_id": key.ID, "held_account": account}
}

// stopped is an order of acme that is being undone.
func (w *walk) stopped() map[string]string {
	key, _ := w.claimed()
	require.NoError(w.t, w.database.Orders.BeginUndo(w.t.Context(), key, provision.Failure{Code: provision.CodeOrderCancelled,
		Reason: "stopped"}))
	return map[string]string{"stopped_order": key.ID}
}

func (w *walk) claimed() (provision.OrderKey, string) {
	ctx := w.t.Context()
	account := w.stock(provision.AccountReady)
	key := provision.OrderKey{Provider: "acme", ID: fmt.Sprintf("mk-order-%d", w.next())}
	_, err := w.database.Orders.Open(ctx, provision.Order{OrderKey: key, AcceptedAt: time.Now().UTC().Truncate(time.Microsecond),
		Request: provision.Request{
			Marketplace: "nordic", Environment: provision.Production, OrderMode: provision.OrderModeNewAccount, IAMUserName: "mk-user",
			Customer:     &provision.Customer{ID: "mk-customer", Name: "mk-customer"},
			ContactName:  "mk-contact",
			AccountAlias: "mk-alias", AlternateContact: &provision.AlternateContact{Name: "mk-contact", Email: "mk-mail@acme.example",
				Phone: "+46 8 1", Title: "t"}}})
	require.NoError(w.t, err)
	claim, err := w.database.Orders.Claim(ctx, key)
	require.NoError(w.t, err)
	require.Equal(w.t, account, claim.Account.ID)
	return key, account
}

// completed is an order of acme whose password is still to be taken; forged_token is a link to it with a wrong signature.
func (w *walk) completed() map[string]string {
	ctx := w.t.Context()
	key, account := w.claimed()
	_, err := w.database.Passwords.Keep(ctx, key, account, []byte("sealed"))
	require.NoError(w.t, err)
	require.NoError(w.t, w.database.Orders.Allocate(ctx, key, account, provision.Result{AccountID: account,
		AccountModel: provision.ModelSPAM, AccountAlias: "mk-alias",
		IAMUserName: "mk-user", Report: provision.Report{Name: "mk-result", Kind: provision.DataExport}, CompletedAt: time.Now().UTC(),
		ManualSteps: []string{"mk-text"}}))
	var id uuid.UUID
	require.NoError(w.t, w.db.GetContext(ctx, &id, `SELECT id FROM order_passwords WHERE order_id = $1`, key.ID))
	token, _, _ := strings.Cut(w.service.revealToken(id), ".")
	return map[string]string{"completed_order": key.ID, "allocated_account": account, "number": "1",
		"forged_token": token + "." + base64.RawURLEncoding.EncodeToString(make([]byte, 32))}
}

// left is an account in which the undo of an order has left something.
func (w *walk) left() map[string]string {
	ctx := w.t.Context()
	key, account := w.claimed()
	require.NoError(w.t, w.database.Leftovers.KeepUndo(ctx, key, account, []byte("sealed")))
	_, err := w.database.Orders.Close(ctx, provision.OrderClosing{Order: key, AccountID: account, State: provision.Failed,
		Leftovers: []string{"the IAM user"},
		Failure:   provision.Failure{Code: provision.CodeFailedByOperator, Reason: "an operator ended it"}})
	require.NoError(w.t, err)
	return map[string]string{"left_account": account}
}

// changed is an account in which an order of acme has set its alias.
func (w *walk) changed() map[string]string {
	ctx := w.t.Context()
	key, account := w.claimed()
	_, err := w.database.Steps.Begin(ctx, key, account, provision.StepAlias, 1)
	require.NoError(w.t, err)
	require.NoError(w.t, w.database.Steps.End(ctx, key, account, provision.StepAlias, provision.AttemptEnd{State: provision.StepDone}))
	return map[string]string{"changed_account": account}
}

func (w *walk) apiKey() map[string]string {
	_, key := apikey.New("acme", "mk-key", provision.RoleViewer)
	_, err := w.database.APIKeys.Create(w.t.Context(), "test", key)
	require.NoError(w.t, err)
	return map[string]string{"key_id": key.ID}
}

// pool is a pool of acme, of a marketplace that no other provider uses.
func (w *walk) pool() map[string]string {
	pool := provision.Pool{Provider: "acme", Marketplace: fmt.Sprintf("own-market-%d", w.next()), Environment: provision.Test}
	config := provision.DefaultPool(pool)
	config.Settings.Instructions = map[provision.Model]string{provision.ModelSPAM: "mk-text"}
	config.StockThreshold = new(int) // so that an empty one has an alert
	_, err := w.database.Pools.Create(w.t.Context(), "test", config)
	require.NoError(w.t, err)
	return map[string]string{"marketplace": pool.Marketplace, "environment": string(pool.Environment)}
}

func (w *walk) protectedAccount() map[string]string {
	id := fmt.Sprintf("8%011d", w.next())
	_, err := w.database.ProtectedAccounts.Protect(w.t.Context(), "test", "acme", id, "mk-note")
	require.NoError(w.t, err)
	return map[string]string{"protected_account": id}
}

// alert is an alert of a pool of acme's that is empty.
func (w *walk) alert() map[string]string {
	pool := w.pool()
	_, err := w.database.Stock.Watch(w.t.Context())
	require.NoError(w.t, err)
	var id string
	require.NoError(w.t, w.db.GetContext(w.t.Context(), &id,
		`SELECT id FROM stock_alerts WHERE provider = 'acme' AND marketplace = $1`, pool["marketplace"]))
	return map[string]string{"alert_id": id}
}

// batch is a batch of acme that is running, of a key that is bound to nordic.
func (w *walk) batch() map[string]string {
	ctx := w.t.Context()
	key, _ := w.claimed()
	id := uuid.NewString()
	_, err := w.database.Batches.Create(ctx, provision.NewBatch{BatchKey: provision.BatchKey{Provider: "acme", ID: id},
		Tenant: provision.Tenant{Provider: "acme", Marketplaces: []string{"nordic"}}, Actor: "test", Reason: "mk-note", Expected: 1,
		Selection: provision.BatchSelection{Verb: provision.BatchCancel, IDs: []string{key.ID}}, RequestHash: make([]byte, 32)})
	require.NoError(w.t, err)
	return map[string]string{"batch_id": id}
}

// webhook is a webhook of acme that has one delivery, for which it waits.
func (w *walk) webhook() map[string]string {
	ctx := w.t.Context()
	key := provision.WebhookKey{Provider: "acme", ID: uuid.NewString()}
	_, err := w.database.Webhooks.Create(ctx, "test", provision.Webhook{ID: key.ID, Provider: key.Provider,
		URL: "https://hooks.example.com/mk-hook"}, []byte("sealed"))
	require.NoError(w.t, err)
	tested, err := w.database.Webhooks.Test(ctx, "test", key)
	require.NoError(w.t, err)
	return map[string]string{"webhook_id": key.ID, "delivery_id": tested.ID}
}

// savedFilter is a filter that each key of acme's has saved.
func (w *walk) savedFilter() map[string]string {
	name := fmt.Sprintf("saved-%d", w.next())
	for _, key := range w.keys["acme"] {
		id, _, _ := splitKey("Bearer " + key)
		_, err := w.database.SavedFilters.Save(w.t.Context(), provision.FilterOwner{Provider: "acme", Caller: "key " + id},
			provision.SavedFilter{Name: name, Page: "orders", Query: "customer_id=mk-filter"})
		require.NoError(w.t, err)
	}
	return map[string]string{"name": name}
}

// accountImport is an import of acme's that is done, with a row that is faulty.
func (w *walk) accountImport() map[string]string {
	ctx := w.t.Context()
	key := provision.ImportKey{Provider: "acme", ID: uuid.NewString()}
	file := csvFile(fmt.Sprintf("7%011d", w.next())) + "mk-row\n"
	scanned, err := stockcsv.Scan([]byte(file))
	require.NoError(w.t, err)
	_, err = w.database.Imports.Create(ctx, provision.NewImport{ImportKey: key, Actor: "test", File: scanned.Text, Rows: 2,
		NextOffset: scanned.First.Offset, NextLine: scanned.First.Line})
	require.NoError(w.t, err)
	done, _, err := w.database.Imports.RunBatch(ctx, key, nil)
	require.NoError(w.t, err)
	require.Equal(w.t, provision.ImportCompleted, done.State)
	return map[string]string{"import_id": key.ID}
}
