package activities

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
)

// memoryStore is the part of the database that these activities use. Everything else is not called here, and panics.
type memoryStore struct {
	Store
	mu        sync.Mutex
	passwords map[string][]byte
	steps     map[provision.Step]provision.StepState
	problems  []string
	protected string // provider/account id
	broken    error  // every call fails with it
}

func (m *memoryStore) protect(account string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.protected = account
}

// IsProtected knows one account of the provider that no configuration names.
func (m *memoryStore) IsProtected(ctx context.Context, provider, accountID string) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return provider+"/"+accountID == m.protected, m.refuses(ctx)
}

func (m *memoryStore) StepStarted(ctx context.Context, _ provision.OrderKey, _ string, step provision.Step, _ int32) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.refuses(ctx); err != nil {
		return err
	}
	m.steps[step] = provision.StepRunning
	return nil
}

func (m *memoryStore) StepEnded(ctx context.Context, _ provision.OrderKey, _ string, step provision.Step, state provision.StepState, problem string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.refuses(ctx); err != nil {
		return err
	}
	m.steps[step] = state
	m.problems = append(m.problems, problem)
	return nil
}

// refuses: a database that is down, or a caller that is.
func (m *memoryStore) refuses(ctx context.Context) error {
	if m.broken != nil {
		return m.broken
	}
	return ctx.Err()
}

func (m *memoryStore) KeepPassword(ctx context.Context, key provision.OrderKey, account string, sealed []byte) ([]byte, error) {
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

func (m *memoryStore) ReplacePassword(ctx context.Context, key provision.OrderKey, account string, sealed []byte) error {
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

func (m *memoryStore) WithdrawPassword(ctx context.Context, key provision.OrderKey, account string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.refuses(ctx); err != nil {
		return err
	}
	delete(m.passwords, key.String()+account)
	return nil
}

// password opens what the store keeps for the order.
func (w *world) password() string {
	w.t.Helper()
	sealed := w.store.passwords[w.w.Order.String()+accountID]
	require.NotEmpty(w.t, sealed)
	opened, err := w.acts.Sealer.Open(sealed, provision.PasswordPurpose(w.w.Order, w.w.Account.ID))
	require.NoError(w.t, err)
	return string(opened)
}
