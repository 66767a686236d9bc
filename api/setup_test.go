package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
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
	passwordText = "correct-Horse7battery-staple"
	passwordID   = "128f721d-df3e-4750-a458-0abc9f75f04f"
)

// pools are those of the two providers.
var pools = []provision.Pool{
	{Provider: "acme", Marketplace: "nordic", Environment: provision.Production},
	{Provider: "acme", Marketplace: "nordic", Environment: provision.Test},
	{Provider: "globex", Marketplace: "nordic", Environment: provision.Production},
}

// database is a PostgreSQL with the two providers and their pools, for what the store in memory does not keep.
func database(t testing.TB) *postgres.DB {
	t.Helper()
	store, _ := openDatabase(t)
	return store
}

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

// world is an API over a store and a Temporal in memory, with two providers.
type world struct {
	store     *memoryStore
	workflows *memoryWorkflows
	log       *syncBuffer
	service   *service
	handler   http.Handler
	key       string // of provider "acme", with pools nordic/production and nordic/test
	otherKey  string // of provider "globex", with pool nordic/production
}

func setup(t require.TestingT, change ...func(*Config)) *world {
	ring, err := secrets.NewRing(secrets.Key{ID: "k1", Secret: bytes.Repeat([]byte{7}, secrets.KeySize)})
	require.NoError(t, err)
	w := &world{
		store:     &memoryStore{keys: map[string]provision.APIKey{}, passwords: map[string]*memoryPassword{}},
		workflows: &memoryWorkflows{orders: map[provision.OrderKey]startedOrder{}},
		log:       &syncBuffer{},
	}
	w.workflows.store = w.store
	w.store.pools = slices.Clone(pools)
	w.key, w.otherKey = w.createKey("acme"), w.createKey("globex")
	cfg := Config{
		Database:          w.store.database(),
		Workflows:         w.workflows,
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
	sealed, err := ring.Seal([]byte(passwordText), "order-password/acme/done-1/111122223333")
	require.NoError(t, err)
	w.store.passwords[passwordID] = &memoryPassword{
		expires: now.Add(provision.PasswordLifetime),
		revealed: provision.RevealedPassword{
			OrderKey: provision.OrderKey{Provider: "acme", ID: "done-1"}, AccountID: "111122223333", Sealed: sealed,
			UserName: "anna.berg", SignInURL: provision.SignInURL("berg-logistics"),
		},
	}
	w.serve(t, cfg)
	return w
}

// serve builds the API.
func (w *world) serve(t require.TestingT, cfg Config) {
	var err error
	w.handler, err = New(cfg)
	require.NoError(t, err)
	w.service, err = newService(cfg) // for its tokens; the handler has its own
	require.NoError(t, err)
}

// use gives the API a database for everything that its store does not keep in memory.
func (w *world) use(t require.TestingT, db *postgres.DB) {
	w.store.db = db
	cfg := w.service.Config
	cfg.Database = w.store.database()
	w.serve(t, cfg)
}

func (w *world) createKey(provider string) string {
	return w.createKeyOf(provider, provision.RoleAdmin)
}

// createKeyOf adds a key that is not all-powerful.
func (w *world) createKeyOf(provider string, role provision.Role, change ...func(*provision.APIKey)) string {
	text, key := apikey.New(provider, "test", role)
	for _, c := range change {
		c(&key)
	}
	w.store.keys[key.ID] = key
	return text
}

func (w *world) token() string { return w.service.revealToken(uuid.MustParse(passwordID)) }

// send is one request with the key; extra headers are pairs of name and value.
func (w *world) send(key, method, target, body string, headers ...string) *httptest.ResponseRecorder {
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

func (w *world) get(target string) *httptest.ResponseRecorder {
	return w.send(w.key, http.MethodGet, target, "")
}

func (w *world) post(target string, body any) *httptest.ResponseRecorder {
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
		"root_email": "aws+0042@provider.example", "role_arn": "arn:aws:iam::" + id + ":role/Quartermaster",
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

// completedOrder is an order that is done, with its password still to be taken.
func completedOrder(id string) provision.OrderView {
	at := now.Add(-time.Hour)
	return provision.OrderView{
		Order: provision.Order{OrderKey: provision.OrderKey{Provider: "acme", ID: id}, Request: requestFixture(), AcceptedAt: at},
		State: provision.Completed, Since: at.Add(time.Minute), Step: provision.StepAllocate, AccountID: "111122223333",
		RequestHash: requestFixture().Hash(),
		Steps: []provision.StepView{{Step: provision.StepAllocate, AccountID: "111122223333", State: "done", Attempt: 1,
			StartedAt: at, FinishedAt: &at}},
		Result: &provision.Result{
			AccountID: "111122223333", AccountModel: provision.ModelECAM, AccountAlias: "berg-logistics",
			SignInURL: provision.SignInURL("berg-logistics"), SignInURLByID: provision.SignInURL("111122223333"), IAMUserName: "anna.berg",
			Report:             provision.Report{Name: "qm-usage", Kind: provision.DataExport, Bucket: "qm-cur", Prefix: "cur", Region: "us-east-1"},
			UsageAvailableFrom: at.Add(24 * time.Hour), RootInstructions: "Use \"forgot password\".", CompletedAt: at.Add(time.Minute),
		},
		Password: &provision.PasswordView{ID: passwordID, ExpiresAt: now.Add(provision.PasswordLifetime)},
	}
}

func requestFixture() provision.Request {
	return provision.Request{
		Marketplace: "nordic", Environment: provision.Production, OrderMode: provision.OrderModeNewAccount,
		IAMUserName: "anna.berg", ContactName: "Anna Berg", AccountAlias: "berg-logistics",
	}
}

// memoryStore keeps keys, orders, accounts, pools and passwords in memory. Everything else is in the database, in tests that use one.
type memoryStore struct {
	emailTaken string // the root e-mail of an account in stock that is not in accounts
	db         *postgres.DB
	mu         sync.Mutex
	fail       error // every call returns it when set
	keys       map[string]provision.APIKey
	asked      int // how often a key was looked for
	uses       int // how often the use of a key was written
	pools      []provision.Pool
	orders     []provision.OrderView
	accounts   []provision.Account
	passwords  map[string]*memoryPassword
	woken      []provision.OrderKey
	actor      string
	revealTo   string
	limit      int // of the last list
	history    []provision.AccountHistoryEntry
	taken      bool // every action was written down
}

// The aggregates of a memoryStore. What is not in memory is the database's.
type (
	memoryKeys struct {
		*memoryStore
		APIKeys
	}
	memoryPools struct {
		*memoryStore
		Pools
	}
	memoryOrders struct {
		*memoryStore
		Orders
	}
	memoryAccounts  struct{ *memoryStore }
	memoryLeftovers struct{ *memoryStore }
	memoryPasswords struct{ *memoryStore }
)

// noneProtected is a database without protected accounts.
type noneProtected struct{ ProtectedAccounts }

func (noneProtected) Contains(context.Context, string, string) (bool, error) { return false, nil }

// databaseOf is the whole database.
func databaseOf(db *postgres.DB) Database {
	return Database{Accounts: db.Accounts, APIKeys: db.APIKeys, Deliveries: db.Deliveries, Events: db.Events, Imports: db.Imports, Leftovers: db.Leftovers,
		Orders: db.Orders, Passwords: db.Passwords, Pools: db.Pools, ProtectedAccounts: db.ProtectedAccounts, Stock: db.Stock, Webhooks: db.Webhooks,
		Ping: db.Ping}
}

// database is what the store keeps in memory and, for the rest, its database. Without a database the rest answers nothing.
func (s *memoryStore) database() Database {
	rest := databaseOf(postgres.New(nil))
	rest.ProtectedAccounts = noneProtected{}
	if s.db != nil {
		rest = databaseOf(s.db)
	}
	rest.Accounts, rest.Leftovers, rest.Orders, rest.Passwords = memoryAccounts{s}, memoryLeftovers{s}, memoryOrders{s, rest.Orders}, memoryPasswords{s}
	rest.APIKeys, rest.Pools, rest.Ping = memoryKeys{s, rest.APIKeys}, memoryPools{s, rest.Pools}, s.Ping
	return rest
}

type memoryPassword struct {
	expires  time.Time
	used     bool
	revealed provision.RevealedPassword
}

func (s memoryKeys) Find(_ context.Context, id string) (provision.APIKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	key, ok := s.keys[id]
	if !ok {
		return key, fmt.Errorf("API key %s: %w", id, provision.ErrNotFound)
	}
	return key, nil
}

func (s memoryKeys) NoteUse(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := s.keys[id]
	key.LastUsedAt = &now
	s.keys[id] = key
	s.uses++
	return nil
}

func (s memoryPools) Exists(_ context.Context, p provision.Pool) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.pools, p), s.fail
}

func (s memoryOrders) Get(_ context.Context, key provision.OrderKey) (provision.OrderView, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.orders {
		if o.OrderKey == key {
			return o, s.fail
		}
	}
	return provision.OrderView{}, cmp.Or(s.fail, fmt.Errorf("order %s: %w", key, provision.ErrNotFound))
}

func (s memoryOrders) ActionNoted(_ context.Context, _ provision.OrderKey, id string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken && id != "", s.fail
}

func (s memoryOrders) List(_ context.Context, provider string, f provision.OrderFilter) (found []provision.OrderView, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limit = f.Limit
	for _, o := range s.orders {
		switch {
		case o.Provider != provider,
			len(f.States) > 0 && !slices.Contains(f.States, o.State),
			f.Marketplace != "" && f.Marketplace != o.Request.Marketplace,
			f.Environment != "" && f.Environment != o.Request.Environment,
			f.Model != "" && f.Model != o.Request.AccountModel,
			f.AccountID != "" && f.AccountID != o.AccountID,
			!f.CreatedAfter.IsZero() && o.AcceptedAt.Before(f.CreatedAfter),
			!f.CreatedBefore.IsZero() && !o.AcceptedAt.Before(f.CreatedBefore),
			f.After != nil && comparePlace(o.AcceptedAt, o.ID, f.After.CreatedAt, f.After.ID) >= 0:
			continue
		}
		found = append(found, o)
	}
	slices.SortFunc(found, func(a, b provision.OrderView) int { return comparePlace(b.AcceptedAt, b.ID, a.AcceptedAt, a.ID) })
	return found[:min(len(found), f.Limit)], s.fail
}

func (s memoryAccounts) Create(_ context.Context, a provision.Account, actor string) (provision.Account, []provision.OrderKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.actor = actor
	if slices.ContainsFunc(s.accounts, func(known provision.Account) bool { return known.ID == a.ID }) {
		return a, nil, fmt.Errorf("account %s: %w", a.ID, provision.ErrConflict)
	}
	if s.emailTaken != "" && strings.EqualFold(a.RootEmail, s.emailTaken) {
		return a, nil, provision.ErrRootEmailTaken
	}
	if !slices.Contains(s.pools, a.Pool) {
		return a, nil, fmt.Errorf("pool %s: %w", a.Pool, provision.ErrNotFound)
	}
	a.Status, a.Reason, a.ReadyWhenVerified, a.Version = provision.AccountInvalid, provision.AwaitsVerification, true, 1
	a.AddedAt, a.StatusSince, a.VerifyAt = now.Add(time.Duration(len(s.accounts))*time.Second), now, &now
	s.accounts = append(s.accounts, a)
	return a, s.woken, s.fail
}

func (s memoryAccounts) Get(_ context.Context, provider, id string) (provision.Account, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.accounts {
		if a.Provider == provider && a.ID == id {
			return a, s.fail
		}
	}
	return provision.Account{}, cmp.Or(s.fail, fmt.Errorf("account %s: %w", id, provision.ErrNotFound))
}

func (s memoryAccounts) List(_ context.Context, provider string, f provision.AccountFilter) (found []provision.Account, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limit = f.Limit
	for _, a := range s.accounts {
		switch {
		case a.Provider != provider,
			len(f.Statuses) > 0 && !slices.Contains(f.Statuses, a.Status),
			f.Marketplace != "" && f.Marketplace != a.Marketplace,
			f.Environment != "" && f.Environment != a.Environment,
			f.Model != "" && f.Model != a.Model,
			f.After != nil && comparePlace(a.AddedAt, a.ID, f.After.AddedAt, f.After.ID) <= 0:
			continue
		}
		found = append(found, a)
	}
	slices.SortFunc(found, func(a, b provision.Account) int { return comparePlace(a.AddedAt, a.ID, b.AddedAt, b.ID) })
	return found[:min(len(found), f.Limit)], s.fail
}

func comparePlace(t1 time.Time, id1 string, t2 time.Time, id2 string) int {
	return cmp.Or(t1.Compare(t2), cmp.Compare(id1, id2))
}

func (s memoryPasswords) Reveal(_ context.Context, id, to string, open func(provision.RevealedPassword) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	p, ok := s.passwords[id]
	switch {
	case !ok:
		return fmt.Errorf("password link: %w", provision.ErrNotFound)
	case p.used, !now.Before(p.expires):
		return fmt.Errorf("password link: %w", provision.ErrGone)
	}
	if err := open(p.revealed); err != nil {
		return err
	}
	p.used, s.revealTo = true, to
	return nil
}

func (s *memoryStore) Ping(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fail
}

// memoryWorkflows is Workflows in memory, with Temporal's semantics of duplicates: of any number of starts of one id at
// the same time exactly one succeeds, and every other one sees the order of that one.
type memoryWorkflows struct {
	mu        sync.Mutex
	fail      error
	orders    map[provision.OrderKey]startedOrder
	starts    int
	awakened  []provision.OrderKey
	store     *memoryStore                    // whose rows the verbs of actions_test.go change
	questions map[provision.OrderKey][]string // fields that an order asks for, where its failure does not tell all
	asked     int                             // how often anything was wanted of an order, refusals included
	told      []told                          // what was not refused
	webhooks  []provision.WebhookKey          // that were woken
	removals  []provision.LeftoverRemoval
	sweeps    int // how often the verification was started

	imports     []provision.ImportKey // whose workflows were started
	holdImports bool
}

type startedOrder struct {
	order provision.Order
	hash  []byte
}

func (w *memoryWorkflows) StartOrder(_ context.Context, order provision.Order, hash []byte) (bool, *provision.Order, []byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fail != nil {
		return false, nil, nil, w.fail
	}
	if existing, ok := w.orders[order.OrderKey]; ok {
		return false, &existing.order, existing.hash, nil
	}
	w.orders[order.OrderKey] = startedOrder{order, hash}
	w.starts++
	return true, nil, nil, nil
}

func (w *memoryWorkflows) OrderNotYetStored(_ context.Context, key provision.OrderKey) (*provision.Order, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fail != nil {
		return nil, w.fail
	}
	if existing, ok := w.orders[key]; ok {
		return &existing.order, nil
	}
	return nil, fmt.Errorf("workflow of order %s: %w", key, provision.ErrNotFound)
}

func (w *memoryWorkflows) VerifyDue(context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sweeps++
	return w.fail
}

func (w *memoryWorkflows) RemoveLeftovers(_ context.Context, removal provision.LeftoverRemoval) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	removal.By.ID = ""
	w.removals = append(w.removals, removal)
	return w.fail
}

func (w *memoryWorkflows) WakeWebhooks(_ context.Context, keys []provision.WebhookKey) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.webhooks = append(w.webhooks, keys...)
	return w.fail
}

func (w *memoryWorkflows) WakeOrders(_ context.Context, keys []provision.OrderKey) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.awakened = append(w.awakened, keys...)
	return w.fail
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
