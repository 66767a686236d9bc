package reconcile_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/postgres"
	"quartermaster/internal/postgres/pgtest"
	"quartermaster/internal/provision"
	"quartermaster/internal/reconcile"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

var pool = provision.Pool{Provider: "acme", Marketplace: "north", Environment: provision.Production}

func account(i int) string { return fmt.Sprintf("%012d", i) }

func key(id string) provision.OrderKey { return provision.OrderKey{Provider: "acme", ID: id} }

func order(id string, model provision.Model) provision.Order {
	return provision.Order{
		OrderKey:   key(id),
		AcceptedAt: time.Now().UTC().Truncate(time.Microsecond),
		Request: provision.Request{Marketplace: pool.Marketplace, Environment: pool.Environment, OrderMode: provision.OrderModeNewAccount,
			AccountModel: model, IAMUserName: "customer", ContactName: "Jane Roe", AccountAlias: "alias-" + id},
	}
}

// orders is a database with an order in every state, and what Temporal returns about their workflows.
type orders struct {
	*reconcile.Reconciler
	t        *testing.T
	db       *sqlx.DB
	store    *postgres.DB
	temporal *temporalFake
}

// setup creates these orders, which all agree with their workflows:
//
//	order  state                account
//	gone   failed               1, returned clean
//	done   completed            1
//	work   provisioning         2, its alias is being set
//	asked  action_required      3, inspected only
//	undo   compensating         4
//	fresh  accepted
//	waits  waiting_for_account  wants an ECAM; account 5 is Ready, but SPAM
func setup(t *testing.T) *orders {
	t.Helper()
	ctx := t.Context()
	db := pgtest.New(t)
	store := postgres.New(db)
	temporal := &temporalFake{
		open:    map[provision.OrderKey]time.Time{},
		runs:    map[provision.OrderKey]reconcile.Run{},
		earlier: map[provision.OrderKey]reconcile.Run{},
		stories: map[provision.OrderKey]reconcile.Story{},
		unread:  map[provision.OrderKey]error{},
	}
	w := &orders{t: t, db: db, store: store, temporal: temporal,
		Reconciler: &reconcile.Reconciler{Reconciliation: store.Reconciliation, Accounts: store.Accounts, Orders: store.Orders,
			Workflows: temporal, Bounds: reconcile.DefaultBounds(), All: true}}
	require.NoError(t, store.Providers.Create(ctx, "acme", "Acme"))
	_, err := store.Pools.Create(ctx, "test", provision.DefaultPool(pool))
	require.NoError(t, err)
	for i := 1; i <= 5; i++ {
		_, _, err := store.Accounts.Create(ctx, provision.Account{
			ID:         account(i),
			Pool:       pool,
			Model:      provision.ModelSPAM,
			Status:     provision.AccountReady,
			Name:       "a",
			RootEmail:  account(i) + "@acme.test",
			RoleARN:    "arn:aws:iam::" + account(i) + ":role/quartermaster",
			ExternalID: provision.NewExternalID(),
		}, "test")
		require.NoError(t, err)
	}
	step := func(id string, account string, step provision.Step) {
		require.NoError(t, pgtest.Err(store.Steps.Begin(ctx, key(id), account, step, 1)))
	}
	failure := provision.Failure{Code: provision.CodeAliasTaken, Step: provision.StepAlias, Field: "aws_account_alias", Reason: "taken"}

	w.place("gone", "")
	_, err = store.Passwords.Keep(ctx, key("gone"), account(1), []byte("sealed"))
	require.NoError(t, err)
	require.NoError(t, store.Passwords.Withdraw(ctx, key("gone"), account(1)))
	_, err = store.Orders.Close(ctx, provision.OrderClosing{
		Order:     key("gone"),
		State:     provision.Failed,
		Failure:   failure,
		AccountID: account(1),
	})
	require.NoError(t, err)
	w.place("done", "")
	_, err = store.Passwords.Keep(ctx, key("done"), account(1), []byte("sealed"))
	require.NoError(t, err)
	result := provision.Result{AccountID: account(1), IAMUserName: "customer"}
	require.NoError(t, store.Orders.Allocate(ctx, key("done"), account(1), result))
	w.place("work", "")
	step("work", account(2), provision.StepInspect)
	step("work", account(2), provision.StepAlias)
	w.place("asked", "")
	step("asked", account(3), provision.StepInspect)
	require.NoError(t, store.Orders.RequireAction(ctx, key("asked"), failure))
	w.place("undo", "")
	step("undo", account(4), provision.StepAlias)
	require.NoError(t, store.Orders.BeginUndo(ctx, key("undo"), failure))
	w.place("waits", provision.ModelECAM)
	_, err = store.Orders.Open(ctx, order("fresh", ""))
	require.NoError(t, err)

	for _, id := range []string{"work", "asked", "undo", "waits", "fresh"} {
		w.runs(id)
	}
	w.closed("gone", "Failed", time.Hour)
	w.closed("done", "Completed", time.Hour)
	return w
}

// place opens an order and lets it claim an account.
func (w *orders) place(id string, model provision.Model) {
	w.t.Helper()
	_, err := w.store.Orders.Open(w.t.Context(), order(id, model))
	require.NoError(w.t, err)
	_, err = w.store.Orders.Claim(w.t.Context(), key(id))
	require.NoError(w.t, err)
}

// runs makes the order's workflow run since two hours ago.
func (w *orders) runs(id string) {
	started := time.Now().Add(-2 * time.Hour)
	w.temporal.open[key(id)] = started
	w.temporal.runs[key(id)] = reconcile.Run{ID: "run of " + id, Open: true, Status: "Running", Started: started}
}

// closed makes the newest run of the order's workflow one that closed some time ago.
func (w *orders) closed(id, status string, ago time.Duration) {
	delete(w.temporal.open, key(id))
	w.temporal.runs[key(id)] = reconcile.Run{
		ID:       "run of " + id,
		Status:   status,
		Started:  time.Now().Add(-2 * time.Hour),
		ClosedAt: time.Now().Add(-ago),
	}
}

// forgotten makes Temporal know nothing of the order.
func (w *orders) forgotten(id string) {
	delete(w.temporal.open, key(id))
	delete(w.temporal.runs, key(id))
}

// violate writes around every trigger of the schema, except those that count.
func (w *orders) violate(statements string) {
	w.t.Helper()
	w.violateCounts(statements)
	require.NoError(w.t, w.store.Reconciliation.RepairCounts(w.t.Context()))
}

func (w *orders) violateCounts(statements string) {
	w.t.Helper()
	_, err := w.db.ExecContext(w.t.Context(), `BEGIN; SET LOCAL session_replication_role = replica; `+statements+`; COMMIT`)
	require.NoError(w.t, err)
}

// found is what the reconciler finds, as "kind whose".
func (w *orders) found() (short []string) {
	w.t.Helper()
	findings, err := w.Find(w.t.Context())
	require.NoError(w.t, err)
	return shorten(w.t, findings)
}

func shorten(t *testing.T, findings []reconcile.Finding) (short []string) {
	t.Helper()
	for _, f := range findings {
		whose := f.Order.ID
		if whose == "" {
			whose = f.Account
		}
		short = append(short, string(f.Kind)+" "+whose)
		require.NotEmpty(t, f.Severity, f)
		require.NotEmpty(t, f.What, f)
		require.NotEmpty(t, f.Do, f)
		require.False(t, f.Since.IsZero(), f)
	}
	slices.Sort(short)
	return short
}

// temporalFake is Temporal: what it returns about the workflows, and what it was asked to do.
type temporalFake struct {
	open       map[provision.OrderKey]time.Time     // visibility, which may lag
	runs       map[provision.OrderKey]reconcile.Run // the truth
	earlier    map[provision.OrderKey]reconcile.Run // runs before the newest that completed
	stories    map[provision.OrderKey]reconcile.Story
	looking    func(provision.OrderKey) // called before Run answers
	listed     []time.Time              // the times for which Open and Closed were called, one after the other
	describing sync.Mutex
	described  int // how often Run was called
	down       error
	unread     map[provision.OrderKey]error // why Run does not answer
	restarted  []provision.Order
	continued  []string
	woken      []provision.OrderKey
}

func (f *temporalFake) Open(_ context.Context, after time.Time) (map[provision.OrderKey]reconcile.Run, error) {
	f.listed = append(f.listed, after)
	open := map[provision.OrderKey]reconcile.Run{}
	for key, started := range f.open {
		if started.After(after) {
			open[key] = reconcile.Run{Open: true, Started: started}
		}
	}
	return open, f.down
}

func (f *temporalFake) Closed(_ context.Context, after time.Time) (map[provision.OrderKey]reconcile.Run, error) {
	f.listed = append(f.listed, after)
	closed := map[provision.OrderKey]reconcile.Run{}
	for key, run := range f.runs {
		if run.ClosedAt.After(after) {
			closed[key] = run
		}
	}
	return closed, f.down
}

func (f *temporalFake) Run(_ context.Context, key provision.OrderKey) (reconcile.Run, error) {
	f.describing.Lock()
	f.described++
	f.describing.Unlock()
	if f.looking != nil {
		f.looking(key)
	}
	return f.runs[key], cmp.Or(f.unread[key], f.down)
}

func (f *temporalFake) Completed(_ context.Context, key provision.OrderKey) (reconcile.Run, error) {
	return f.earlier[key], f.down
}

func (f *temporalFake) Story(_ context.Context, key provision.OrderKey, _ reconcile.Run) (reconcile.Story, error) {
	story, told := f.stories[key]
	if !told {
		return story, reconcile.ErrSealed
	}
	return story, nil
}

// Restart refuses, as Temporal does, while a run is open.
func (f *temporalFake) Restart(_ context.Context, order provision.Order) (bool, error) {
	if f.runs[order.OrderKey].Open {
		return false, nil
	}
	f.restarted = append(f.restarted, order)
	f.runs[order.OrderKey] = reconcile.Run{ID: "second run of " + order.ID, Open: true, Status: "Running", Started: time.Now()}
	return true, nil
}

func (f *temporalFake) Continue(_ context.Context, key provision.OrderKey, run reconcile.Run, _ string) (bool, error) {
	if f.runs[key] != run {
		return false, nil
	}
	f.continued = append(f.continued, run.ID)
	f.runs[key] = reconcile.Run{ID: "second run of " + key.ID, Open: true, Status: "Running", Started: time.Now()}
	return true, nil
}

func (f *temporalFake) WakeOrders(_ context.Context, keys []provision.OrderKey) error {
	f.woken = append(f.woken, keys...)
	return f.down
}
