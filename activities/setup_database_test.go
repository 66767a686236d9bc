package activities

import (
	"context"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/postgres"
	"quartermaster/internal/postgres/pgtest"
	"quartermaster/internal/provision"
)

// store is the product's database with the fixture's order and account. A test can make its calls fail.
type store struct {
	*postgres.DB
	mu       sync.Mutex
	broken   error                       // every call fails with it
	caller   context.Context             //nolint:containedctx // the context of the worker process: a killed process calls no database
	assigned func() provision.Assignment // the fixture's
	asked    func()                      // is called after the database has said that the order holds the account
	lease    time.Duration               // how long an undo waits for an attempt that has not recorded its end
	problems []string                    // of all attempts
}

// openStore creates the pool and the account, and opens the order, which claims the account.
func (w *fixture) openStore(shared *sqlx.DB) {
	w.t.Helper()
	ctx, db := w.t.Context(), shared
	if db == nil {
		db = pgtest.New(w.t)
	} else {
		pgtest.Clear(w.t, db)
	}
	w.store = &store{DB: postgres.New(db), lease: time.Millisecond,
		assigned: func() provision.Assignment { return provision.Assignment(w.w) }}
	require.NoError(w.t, w.store.Providers.Create(ctx, testPool.Provider, "Acme"))
	_, err := w.store.Pools.Create(ctx, "test", provision.DefaultPool(testPool))
	require.NoError(w.t, err)
	account := w.w.Account // whose assignment may be wrong in ways that the schema refuses
	account.ExternalID, account.RoleARN = externalID, "arn:aws:iam::"+accountID+":role/quartermaster"
	_, _, err = w.store.Accounts.Create(ctx, account, "test")
	require.NoError(w.t, err)
	w.openOrder(w.w.Order)
	if claimed := w.claim(w.w.Order); w.w.Request.AccountModel == "" {
		require.Equal(w.t, accountID, claimed.ID)
	} else {
		require.Nil(w.t, claimed)
	}
}

func (w *fixture) openOrder(key provision.OrderKey) {
	w.t.Helper()
	order := provision.Order{OrderKey: key, Nonce: w.w.Nonce, AcceptedAt: time.Now(), Request: w.w.Request}
	_, err := w.store.Orders.Open(w.t.Context(), order)
	require.NoError(w.t, err)
}

func (w *fixture) claim(key provision.OrderKey) *provision.Account {
	w.t.Helper()
	got, err := w.store.Orders.Claim(w.t.Context(), key)
	require.NoError(w.t, err)
	return got.Account
}

// database returns what the activities call.
func (s *store) database() Database {
	return Database{Orders: s.Orders, Steps: failingSteps{s.Steps, s}, Passwords: failingPasswords{s.Passwords, s}, Leftovers: s.Leftovers,
		Verifications: s.Verifications, ProtectedAccounts: s.ProtectedAccounts, Stock: s.Stock, Imports: s.Imports}
}

// calledBy makes every call fail when the process has ended.
func (s *store) calledBy(process context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.caller = process
}

// breakWith makes every call fail from now on.
func (s *store) breakWith(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = err
}

// fails returns the error of a database that is down, or of a process that was killed.
func (s *store) fails() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return s.broken
	}
	return s.caller.Err()
}

// failingSteps are the steps of the database. They fail on demand.
type failingSteps struct {
	postgres.Steps
	store *store
}

func (s failingSteps) Begin(ctx context.Context, key provision.OrderKey, account string, step provision.Step,
	attempt int32) (now provision.Assignment, err error) {
	if err := s.store.fails(); err != nil {
		return now, err
	}
	now, err = s.Steps.Begin(ctx, key, account, step, attempt)
	if err == nil && s.store.asked != nil {
		s.store.asked()
	}
	return s.store.asInTheFixture(now), err
}

// asInTheFixture returns the assignment as the fixture has it. It may be wrong in ways that the schema refuses.
func (s *store) asInTheFixture(now provision.Assignment) provision.Assignment {
	if wanted := s.assigned(); now.Order == wanted.Order {
		return wanted
	}
	return now
}

func (s failingSteps) BeginUndo(ctx context.Context, key provision.OrderKey, account string, step provision.Step,
	lease time.Duration) (now provision.Assignment, wait time.Duration, err error) {
	if err := s.store.fails(); err != nil {
		return now, 0, err
	}
	now, wait, err = s.Steps.BeginUndo(ctx, key, account, step, min(lease, s.store.lease))
	if err == nil && s.store.asked != nil {
		s.store.asked()
	}
	return s.store.asInTheFixture(now), wait, err
}

func (s failingSteps) End(ctx context.Context, key provision.OrderKey, account string, step provision.Step,
	end provision.AttemptEnd) error {
	if err := s.store.fails(); err != nil {
		return err
	}
	s.store.mu.Lock()
	s.store.problems = append(s.store.problems, end.Problem)
	s.store.mu.Unlock()
	return s.Steps.End(ctx, key, account, step, end)
}

func (s failingSteps) NoteRefusal(ctx context.Context, key provision.OrderKey, account string, step provision.Step,
	code provision.Code) (time.Duration, error) {
	if err := s.store.fails(); err != nil {
		return 0, err
	}
	return s.Steps.NoteRefusal(ctx, key, account, step, code)
}

// failingPasswords are the passwords of the database. They fail on demand.
type failingPasswords struct {
	postgres.Passwords
	store *store
}

func (p failingPasswords) Keep(ctx context.Context, key provision.OrderKey, account string, sealed []byte) ([]byte, error) {
	if err := p.store.fails(); err != nil {
		return nil, err
	}
	return p.Passwords.Keep(ctx, key, account, sealed)
}

func (p failingPasswords) Replace(ctx context.Context, key provision.OrderKey, account string, sealed []byte) error {
	if err := p.store.fails(); err != nil {
		return err
	}
	return p.Passwords.Replace(ctx, key, account, sealed)
}

func (p failingPasswords) Withdraw(ctx context.Context, key provision.OrderKey, account string) error {
	if err := p.store.fails(); err != nil {
		return err
	}
	return p.Passwords.Withdraw(ctx, key, account)
}

func (p failingPasswords) KeepNew(ctx context.Context, key provision.OrderKey, account string, by provision.Intervention, sealed []byte,
	replace bool) ([]byte, error) {
	if err := p.store.fails(); err != nil {
		return nil, err
	}
	return p.Passwords.KeepNew(ctx, key, account, by, sealed, replace)
}

// stepRow is the row of a step.
type stepRow struct {
	Step         provision.Step      `db:"step"`
	State        provision.StepState `db:"state"`
	Problem      string              `db:"problem"`
	AttemptsOpen int                 `db:"attempts_open"` // attempts that have not recorded their end
	UndosOpen    int                 `db:"undos_open"`
}

// stepRows reads the steps of the order.
func (w *fixture) stepRows() (rows []stepRow) {
	w.t.Helper()
	require.NoError(w.t, w.store.SQL().Select(&rows, `SELECT step, state, problem, attempts_open, undos_open FROM order_steps
		WHERE provider = $1 AND order_id = $2`, w.w.Order.Provider, w.w.Order.ID))
	return rows
}

// stepRow reads a step; a step that has not begun is empty.
func (w *fixture) stepRow(step provision.Step) stepRow {
	w.t.Helper()
	for _, row := range w.stepRows() {
		if row.Step == step {
			return row
		}
	}
	return stepRow{}
}

// forgetSteps deletes the steps, as if none had begun.
func (w *fixture) forgetSteps() {
	w.t.Helper()
	_, err := w.store.SQL().Exec(`DELETE FROM order_steps`)
	require.NoError(w.t, err)
}

// refusedAgo makes AWS's refusal of the step appear to have begun earlier.
func (w *fixture) refusedAgo(step provision.Step, ago time.Duration) {
	w.t.Helper()
	_, err := w.store.SQL().Exec(`UPDATE order_steps SET refused_since = refused_since - $2 * interval '1 second' WHERE step = $1`,
		step, ago.Seconds())
	require.NoError(w.t, err)
}

// sealedPasswords reads the kept passwords.
func (w *fixture) sealedPasswords() (sealed [][]byte) {
	w.t.Helper()
	require.NoError(w.t, w.store.SQL().Select(&sealed, `SELECT sealed FROM order_passwords WHERE sealed IS NOT NULL`))
	return sealed
}

// password opens the kept password of the order.
func (w *fixture) password() string {
	w.t.Helper()
	sealed := w.sealedPasswords()
	require.Len(w.t, sealed, 1, "the sealed passwords")
	opened, err := w.acts.Sealer.Open(sealed[0], provision.PasswordPurpose(w.w.Order, w.w.Account.ID))
	require.NoError(w.t, err)
	return string(opened)
}
