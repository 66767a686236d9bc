package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"quartermaster/api/openapi"
	"quartermaster/internal/apikey"
	"quartermaster/internal/postgres"
	"quartermaster/internal/postgres/pgtest"
	"quartermaster/internal/provision"
	"quartermaster/internal/secrets"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

var now = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

const (
	passwordText    = "correct-Horse7battery-staple"
	newPasswordText = "another-Horse8battery-staple"
)

// pools are those of the two providers.
var pools = []provision.Pool{
	{Provider: "acme", Marketplace: "nordic", Environment: provision.Production},
	{Provider: "acme", Marketplace: "nordic", Environment: provision.Test},
	{Provider: "globex", Marketplace: "nordic", Environment: provision.Production},
}

// openDatabase returns a database with the two providers and their pools, and its connections.
func openDatabase(t testing.TB) (*postgres.DB, *sqlx.DB) {
	t.Helper()
	db := pgtest.New(t)
	store := postgres.New(db)
	for _, pool := range pools {
		require.NoError(t, store.Providers.Create(t.Context(), pool.Provider, pool.Provider))
		_, err := store.Pools.Create(t.Context(), "test", provision.DefaultPool(pool))
		require.NoError(t, err)
	}
	return store, db
}

// testAPI is an API over a PostgreSQL with two providers and a Temporal in memory.
type testAPI struct {
	t           require.TestingT
	store       *postgres.DB
	workflows   *memoryWorkflows
	temporal    *memoryTemporal
	log         *syncBuffer
	service     *service
	handler     http.Handler
	key         string // of provider "acme", with pools nordic/production and nordic/test
	otherKey    string // of provider "globex", with pool nordic/production
	nextAccount int    // id of the account of the next order
}

// setup returns an API over a database of its own.
func setup(t testing.TB, change ...func(*Config)) *testAPI {
	t.Helper()
	store, _ := openDatabase(t)
	return setupOn(t, store, change...)
}

// setupOn returns an API over a database that has the two providers.
func setupOn(t require.TestingT, store *postgres.DB, change ...func(*Config)) *testAPI {
	ring, err := secrets.NewRing(secrets.Key{ID: "k1", Secret: bytes.Repeat([]byte{7}, secrets.KeySize)})
	require.NoError(t, err)
	w := &testAPI{
		t:           t,
		store:       store,
		workflows:   &memoryWorkflows{db: store, sealer: ring, orders: map[provision.OrderKey]startedOrder{}},
		temporal:    &memoryTemporal{},
		log:         &syncBuffer{},
		nextAccount: 111122223333,
	}
	w.key, w.otherKey = w.createKey("acme"), w.createKey("globex")
	cfg := Config{
		Database:          databaseOf(store),
		Workflows:         w.workflows,
		Health:            w.temporal.examiner(store),
		Opener:            ring,
		Sealer:            ring,
		Signer:            ring,
		Log:               slog.New(slog.NewJSONHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		PublicURL:         "https://aws.provider.example/qm",
		ProtectedIDs:      []string{"999999999999"},
		RequestsPerSecond: 1e6,
		Now:               func() time.Time { return now },
	}
	for _, c := range change {
		c(&cfg)
	}
	w.serve(t, cfg)
	return w
}

// realTime gives the API the clock of the database.
func realTime(c *Config) { c.Now = time.Now }

// databaseOf returns the whole database.
func databaseOf(db *postgres.DB) Database {
	return Database{
		Accounts: db.Accounts, APIKeys: db.APIKeys, Batches: db.Batches, Deliveries: db.Deliveries, Events: db.Events, History: db.History,
		IdempotencyKeys: db.IdempotencyKeys, Imports: db.Imports, Leftovers: db.Leftovers, Models: db.Models, Orders: db.Orders,
		Passwords: db.Passwords, Pools: db.Pools, Processes: db.Processes, ProtectedAccounts: db.ProtectedAccounts,
		SavedFilters: db.SavedFilters, Sessions: db.Sessions, Stock: db.Stock, Webhooks: db.Webhooks, Ping: db.Ping,
	}
}

// stockAccount puts an account with that status into acme's pool nordic/production. When an order must hold the account, it claims
// it, so the pool must have no other Ready account.
func (w *testAPI) stockAccount(t require.TestingT, id string, status provision.AccountStatus) {
	ctx := context.Background()
	_, _, err := w.store.Accounts.Create(ctx, readyAccount(id), "test")
	require.NoError(t, err)
	switch status {
	case provision.AccountReady:
		return
	case provision.AccountInvalid:
		_, _, err := w.store.Accounts.Invalidate(ctx, "test", "acme", id, 0, "an abuse report")
		require.NoError(t, err)
		return
	}
	key := provision.OrderKey{Provider: "acme", ID: "holder-" + id}
	_, err = w.store.Orders.Open(ctx, provision.Order{OrderKey: key, Request: requestFixture(), AcceptedAt: now})
	require.NoError(t, err)
	claim, err := w.store.Orders.Claim(ctx, key)
	require.NoError(t, err)
	require.Equal(t, id, claim.Account.ID)
	switch status {
	case provision.AccountAllocated:
		require.NoError(t, w.store.Orders.Allocate(ctx, key, id, resultFixture(id)))
	case provision.AccountProvisioningFailed:
		require.NoError(t, w.store.Leftovers.KeepUndo(ctx, key, id, []byte("sealed")))
		_, err = w.store.Orders.Close(ctx, provision.OrderClosing{Order: key, AccountID: id, State: provision.Failed,
			Leftovers: []string{"the IAM user"}, Failure: provision.Failure{Code: provision.CodeFailedByOperator, Reason: "an operator ended it"}})
		require.NoError(t, err)
	}
}

// stock lists the accounts of a provider.
func (w *testAPI) stock(t *testing.T, provider string) []provision.Account {
	t.Helper()
	accounts, err := w.store.Accounts.List(t.Context(), provider, provision.AccountFilter{Limit: 100})
	require.NoError(t, err)
	return accounts
}

// historyOf reads the history of an account of acme.
func (w *testAPI) historyOf(t *testing.T, id string) []provision.AccountHistoryEntry {
	t.Helper()
	entries, err := w.store.Accounts.History(t.Context(), "acme", id, 0, 100)
	require.NoError(t, err)
	return entries
}

// serve builds the API.
func (w *testAPI) serve(t require.TestingT, cfg Config) {
	var err error
	w.handler, err = New(cfg)
	require.NoError(t, err)
	w.service, err = newService(cfg) // for its tokens; the handler has its own
	require.NoError(t, err)
}

// change gives the API a changed configuration.
func (w *testAPI) change(do func(*Config)) {
	cfg := w.service.Config
	do(&cfg)
	w.serve(w.t, cfg)
}

func (w *testAPI) createKey(provider string) string {
	return w.createKeyOf(provider, provision.RoleAdmin)
}

// createKeyOf adds a key that is not all-powerful.
func (w *testAPI) createKeyOf(provider string, role provision.Role, change ...func(*provision.APIKey)) string {
	text, key := apikey.New(provider, "test", role)
	for _, c := range change {
		c(&key)
	}
	_, err := w.store.APIKeys.Create(context.Background(), "test", key)
	require.NoError(w.t, err)
	return text
}

// send is one request with the key; extra headers are pairs of name and value.
func (w *testAPI) send(key, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, bytes.NewReader([]byte(body)))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer := httptest.NewRecorder()
	w.handler.ServeHTTP(answer, r)
	return answer
}

func (w *testAPI) get(target string) *httptest.ResponseRecorder {
	return w.send(w.key, http.MethodGet, target, "")
}

func (w *testAPI) post(target string, body any) *httptest.ResponseRecorder {
	return w.send(w.key, http.MethodPost, target, asText(body))
}

func asText(body any) string {
	if text, ok := body.(string); ok {
		return text
	}
	text, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// orderForm is a valid order with some fields changed; a nil value takes the field away.
func orderForm(id string, changes ...map[string]any) map[string]any {
	return changed(map[string]any{
		"id": id, "marketplace": "nordic", "environment": "production", "order_mode": "new_account",
		"iam_user_name": "anna.berg", "aws_contact_name": "Anna Berg", "aws_account_alias": "berg-logistics",
	}, changes)
}

func accountForm(id string, changes ...map[string]any) map[string]any {
	return changed(map[string]any{
		"id": id, "marketplace": "nordic", "environment": "production", "model": "SPAM", "name": "Pool 0042",
		"root_email": "aws+" + id + "@provider.example", "role_arn": "arn:aws:iam::" + id + ":role/Quartermaster",
	}, changes)
}

func changed(form map[string]any, changes []map[string]any) map[string]any {
	for _, change := range changes {
		for name, v := range change {
			if v == nil {
				delete(form, name)
			} else {
				form[name] = v
			}
		}
	}
	return form
}

func read[T any](t require.TestingT, answer *httptest.ResponseRecorder, status int) (body T) {
	require.Equal(t, status, answer.Code, answer.Body.String())
	require.NoError(t, json.Unmarshal(answer.Body.Bytes(), &body), answer.Body.String())
	return body
}

// readProblem requires a problem document of the status and the code.
func readProblem(t require.TestingT, answer *httptest.ResponseRecorder, status int, code provision.Code) openapi.Problem {
	p := read[openapi.Problem](t, answer, status)
	require.Equal(t, "application/problem+json", answer.Header().Get("Content-Type"))
	require.Equal(t, code, p.Code)
	require.Equal(t, status, p.Status)
	require.Equal(t, answer.Header().Get("X-Request-ID"), p.RequestID)
	require.NotEmpty(t, p.RequestID)
	return p
}

// fieldsOf are the names of the wrong fields with their messages.
func fieldsOf(p openapi.Problem) map[string]string {
	fields := map[string]string{}
	for _, f := range value(p.Errors) {
		fields[value(f.Field)] = f.Message
	}
	return fields
}

// syncBuffer is a log that several goroutines write.
type syncBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// lines are the log's records.
func (b *syncBuffer) lines(t *testing.T) (lines []map[string]any) {
	decoder := json.NewDecoder(bytes.NewReader([]byte(b.String())))
	for {
		var line map[string]any
		err := decoder.Decode(&line)
		if errors.Is(err, io.EOF) {
			return lines
		}
		require.NoError(t, err)
		lines = append(lines, line)
	}
}
