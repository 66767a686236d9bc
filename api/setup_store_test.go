package api

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"quartermaster/internal/postgres"
	"quartermaster/internal/provision"
)

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

// twoModels is a database with the models of the migrations.
type twoModels struct{}

func (twoModels) List(context.Context) ([]provision.AccountModel, error) {
	return []provision.AccountModel{{ID: provision.ModelSPAM}, {ID: provision.ModelECAM}}, nil
}

// databaseOf is the whole database.
func databaseOf(db *postgres.DB) Database {
	return Database{Accounts: db.Accounts, APIKeys: db.APIKeys, Deliveries: db.Deliveries, Events: db.Events, Imports: db.Imports,
		Leftovers: db.Leftovers, Models: db.Models,
		Orders: db.Orders, Passwords: db.Passwords, Pools: db.Pools, ProtectedAccounts: db.ProtectedAccounts, Stock: db.Stock,
		Webhooks: db.Webhooks,
		Ping:     db.Ping}
}

// database is what the store keeps in memory and, for the rest, its database. Without a database the rest answers nothing.
func (s *memoryStore) database() Database {
	rest := databaseOf(postgres.New(nil))
	rest.ProtectedAccounts = noneProtected{}
	rest.Models = twoModels{}
	if s.db != nil {
		rest = databaseOf(s.db)
	}
	rest.Accounts, rest.Leftovers, rest.Orders, rest.Passwords = memoryAccounts{s}, memoryLeftovers{s}, memoryOrders{s,
		rest.Orders}, memoryPasswords{s}
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

// change is what the store does to an account, by the rules of the real one.
func (s *memoryStore) change(provider, id, actor string, version int64, allowed []provision.AccountStatus,
	do func(*provision.Account)) (provision.Account, []provision.OrderKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.actor = actor
	for i := range s.accounts {
		a := &s.accounts[i]
		if a.Provider != provider || a.ID != id {
			continue
		}
		if version != 0 && version != a.Version {
			return *a, nil, fmt.Errorf("account %s: %w", id, provision.ErrStale)
		}
		for _, status := range allowed {
			if status == a.Status {
				before := *a
				do(a)
				a.Version++
				s.history = append(s.history, provision.AccountHistoryEntry{Seq: int64(len(s.history) + 1), At: now, Actor: actor,
					FromStatus: before.Status, ToStatus: a.Status, Reason: a.Reason})
				return *a, s.woken, s.fail
			}
		}
		return *a, nil, &provision.StateError{Reason: "account " + id + " is " + a.Status.Label()}
	}
	return provision.Account{}, nil, fmt.Errorf("account %s: %w", id, provision.ErrNotFound)
}

const (
	ready   = provision.AccountReady
	invalid = provision.AccountInvalid
	parked  = provision.AccountProvisioningFailed
)

func (s memoryAccounts) Update(
	_ context.Context, actor, provider, id string, version int64, edit provision.AccountUpdate,
) (provision.Account, []provision.OrderKey, error) {
	if edit.RootEmail != nil && strings.EqualFold(*edit.RootEmail, s.emailTaken) {
		return provision.Account{}, nil, provision.ErrRootEmailTaken
	}
	return s.change(provider, id, actor, version, []provision.AccountStatus{ready, invalid}, func(a *provision.Account) {
		*a,
			_ = edit.Apply(*a)
	})
}

func (s memoryAccounts) Delete(_ context.Context, actor, provider, id string, version int64) error {
	_, _, err := s.change(provider, id, actor, version, []provision.AccountStatus{ready, invalid},
		func(a *provision.Account) { a.Status = provision.AccountDeleted })
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accounts = slices.DeleteFunc(s.accounts, func(a provision.Account) bool { return a.Status == provision.AccountDeleted })
	return err
}

func (s memoryAccounts) Invalidate(
	_ context.Context, actor, provider, id string, version int64, reason string,
) (provision.Account, []provision.OrderKey, error) {
	return s.change(provider, id, actor, version, []provision.AccountStatus{ready, parked}, func(a *provision.Account) {
		a.Status,
			a.Reason = invalid, reason
	})
}

func (s memoryAccounts) Return(
	_ context.Context, actor, provider, id string, version int64, _ string,
) (provision.Account, []provision.OrderKey, error) {
	return s.change(provider, id, actor, version, []provision.AccountStatus{invalid, parked},
		func(a *provision.Account) { a.ReadyWhenVerified, a.VerifyAt = true, &now })
}

func (s memoryLeftovers) BeginRemoval(_ context.Context, actor, provider, id, _ string) (provision.Account, error) {
	account, _, err := s.change(provider, id, actor, 0, []provision.AccountStatus{invalid, parked},
		func(a *provision.Account) { a.RemovingSince = &now })
	return account, err
}

func (s memoryAccounts) Verify(_ context.Context, actor, provider, id string) (provision.Account, []provision.OrderKey, error) {
	return s.change(provider, id, actor, 0, []provision.AccountStatus{ready, invalid, parked},
		func(a *provision.Account) { a.VerifyAt = &now })
}

func (s memoryAccounts) History(_ context.Context, provider, id string, after int64, limit int) ([]provision.AccountHistoryEntry, error) {
	if _, err := s.Get(context.Background(), provider, id); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limit = limit
	var found []provision.AccountHistoryEntry
	for _, e := range s.history {
		if e.Seq > after && len(found) < limit {
			found = append(found, e)
		}
	}
	return found, s.fail
}
