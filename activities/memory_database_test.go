package activities

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
)

// memoryDatabase is the part of the database that these activities use: Steps, Passwords, ProtectedAccounts
// and the reading of Verifications. The
// tests call nothing else of Verifications; it would panic.
type memoryDatabase struct {
	Verifications
	mu        sync.Mutex
	passwords map[string][]byte
	steps     map[provision.Step]provision.StepState
	open      map[provision.Step]int // attempts that have not said how they ended
	problems  []string
	refused   map[provision.Step]refusal
	protected string // provider/account id
	broken    error  // every call fails with it

	holder provision.OrderKey // the order that the account's row names
	status provision.AccountStatus
	state  provision.OrderState

	asked   func()          // is called while the database answers whether the order holds the account; nil: nothing
	caller  context.Context //nolint:containedctx // the context of the worker process: a dead one calls no database
	patient time.Duration   // how long an undo is told to wait instead of a lease, when it must wait
}

// refusal is what AWS refuses, and since when.
type refusal struct {
	code  provision.Code
	since time.Time
}

func newMemoryDatabase(order provision.OrderKey) *memoryDatabase {
	return &memoryDatabase{passwords: map[string][]byte{}, steps: map[provision.Step]provision.StepState{}, open: map[provision.Step]int{},
		refused: map[provision.Step]refusal{},
		holder:  order, status: provision.AccountProvisioning, state: provision.Provisioning, patient: time.Millisecond}
}

// database is a Database that consists of m.
func (m *memoryDatabase) database() Database {
	return Database{Steps: m, Passwords: m, ProtectedAccounts: m, Verifications: m}
}

// forgetSteps deletes every step: the account is another order's, or the same one's for the first time.
func (m *memoryDatabase) forgetSteps() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.steps)
	clear(m.open)
}

func (m *memoryDatabase) protect(account string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.protected = account
}

// Contains knows one account of the provider that no configuration names.
func (m *memoryDatabase) Contains(ctx context.Context, provider, accountID string) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return provider+"/"+accountID == m.protected, m.refuses(ctx)
}

// holds reports whether the order holds the account in one of the states.
func (m *memoryDatabase) holds(key provision.OrderKey, account string, states ...provision.OrderState) bool {
	if m.asked != nil {
		m.asked()
	}
	return key == m.holder && account == accountID && m.status == provision.AccountProvisioning && slices.Contains(states, m.state)
}

var errNotInProgress = &provision.Failure{Code: provision.CodeOrderNotInProgress,
	Reason: "the order does not hold the account in a state that this needs"}

func (m *memoryDatabase) Begin(ctx context.Context, key provision.OrderKey, account string, step provision.Step, attempt int32) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.refuses(ctx); err != nil {
		return err
	}
	states := []provision.OrderState{provision.Provisioning, provision.ActionRequired}
	if step == provision.StepCompare {
		states = append(states, provision.Compensating)
	}
	if !m.holds(key, account, states...) || m.steps[step] == provision.StepUndoing || m.steps[step] == provision.StepUndone {
		return errNotInProgress
	}
	m.steps[step] = provision.StepRunning
	m.open[step]++
	if attempt == 1 {
		delete(m.refused, step)
	}
	return nil
}

func (m *memoryDatabase) NoteRefusal(ctx context.Context, _ provision.OrderKey, _ string, step provision.Step,
	code provision.Code) (time.Duration, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.refuses(ctx); err != nil {
		return 0, err
	}
	if m.refused[step].code != code {
		m.refused[step] = refusal{code, time.Now()}
	}
	return time.Since(m.refused[step].since), nil
}

func (m *memoryDatabase) BeginUndo(ctx context.Context, key provision.OrderKey, account string, step provision.Step,
	lease time.Duration) (time.Duration, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.refuses(ctx); err != nil {
		return 0, err
	}
	if !m.holds(key, account, provision.Provisioning, provision.ActionRequired, provision.Compensating) {
		return 0, errNotInProgress
	}
	if m.steps[step] != provision.StepUndoing {
		delete(m.refused, step)
	}
	m.steps[step] = provision.StepUndoing
	if m.open[step]++; m.open[step] == 1 {
		return 0, nil
	}
	return min(lease, m.patient), nil
}

func (m *memoryDatabase) End(ctx context.Context, _ provision.OrderKey, _ string, step provision.Step, state provision.StepState,
	problem string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.refuses(ctx); err != nil {
		return err
	}
	m.open[step]--
	m.problems = append(m.problems, problem)
	undo := state == provision.StepUndoing || state == provision.StepUndone
	if fenced := m.steps[step] == provision.StepUndoing || m.steps[step] == provision.StepUndone; undo || !fenced {
		m.steps[step] = state
	}
	return nil
}

// sinceRefusal sets the beginning of what AWS refuses back.
func (m *memoryDatabase) sinceRefusal(step provision.Step, ago time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refused[step] = refusal{m.refused[step].code, time.Now().Add(-ago)}
}

// breakWith makes every call fail from now on.
func (m *memoryDatabase) breakWith(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.broken = err
}

// stepState is the state of the step's row.
func (m *memoryDatabase) stepState(step provision.Step) provision.StepState {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.steps[step]
}

// refuses: a database that is down, or a caller that is.
func (m *memoryDatabase) refuses(ctx context.Context) error {
	switch {
	case m.broken != nil:
		return m.broken
	case m.caller != nil && m.caller.Err() != nil:
		return m.caller.Err()
	}
	return ctx.Err()
}

func (m *memoryDatabase) Keep(ctx context.Context, key provision.OrderKey, account string, sealed []byte) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.refuses(ctx); err != nil {
		return nil, err
	}
	if _, kept := m.passwords[key.String()+account]; !kept {
		m.passwords[key.String()+account] = slices.Clone(sealed)
	}
	return m.passwords[key.String()+account], nil
}

func (m *memoryDatabase) Replace(ctx context.Context, key provision.OrderKey, account string, sealed []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.refuses(ctx); err != nil {
		return err
	}
	if m.passwords[key.String()+account] == nil {
		return errors.New("no password is kept")
	}
	m.passwords[key.String()+account] = slices.Clone(sealed)
	return nil
}

func (m *memoryDatabase) Withdraw(ctx context.Context, key provision.OrderKey, account string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.refuses(ctx); err != nil {
		return err
	}
	delete(m.passwords, key.String()+account)
	return nil
}

// password opens what the store keeps for the order.
func (w *fixture) password() string {
	w.t.Helper()
	sealed := w.store.passwords[w.w.Order.String()+accountID]
	require.NotEmpty(w.t, sealed)
	opened, err := w.acts.Sealer.Open(sealed, provision.PasswordPurpose(w.w.Order, w.w.Account.ID))
	require.NoError(w.t, err)
	return string(opened)
}
