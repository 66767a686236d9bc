package api

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"quartermaster/internal/postgres"
	"quartermaster/internal/provision"
)

// memoryStore keeps keys, orders and passwords in memory. Everything else is in the database, in tests that use one. Tests without
// a database have the pools of the two providers.
type memoryStore struct {
	db        *postgres.DB
	mu        sync.Mutex
	fail      error // every call returns it when set
	keys      map[string]provision.APIKey
	asked     int // how often a key was looked for
	uses      int // how often the use of a key was written
	orders    []provision.OrderView
	passwords map[string]*memoryPassword
	revealTo  string
	limit     int  // of the last list
	taken     bool // every action was written down
}

// The aggregates of a memoryStore. What is not in memory is in the database.
type (
	memoryKeys struct {
		*memoryStore
		APIKeys
	}
	memoryOrders struct {
		*memoryStore
		Orders
	}
	memoryPasswords struct{ *memoryStore }
)

// twoProviders are the pools of a test without a database.
type twoProviders struct{ Pools }

func (twoProviders) Exists(_ context.Context, p provision.Pool) (bool, error) {
	return slices.Contains(pools, p), nil
}

// noneProtected are the protected accounts of a test without a database.
type noneProtected struct{ ProtectedAccounts }

func (noneProtected) Contains(context.Context, string, string) (bool, error) { return false, nil }

// twoModels are the models of the migrations, in a test without a database.
type twoModels struct{}

func (twoModels) List(context.Context) ([]provision.AccountModel, error) {
	return []provision.AccountModel{{ID: provision.ModelSPAM}, {ID: provision.ModelECAM}}, nil
}

// databaseOf returns the whole database.
func databaseOf(db *postgres.DB) Database {
	return Database{
		Accounts: db.Accounts, APIKeys: db.APIKeys, Deliveries: db.Deliveries, Events: db.Events, Imports: db.Imports,
		Leftovers: db.Leftovers, Models: db.Models, Orders: db.Orders, Passwords: db.Passwords, Pools: db.Pools,
		ProtectedAccounts: db.ProtectedAccounts, Stock: db.Stock, Webhooks: db.Webhooks, Ping: db.Ping,
	}
}

// database returns the database of the test, with keys, orders and passwords in memory.
func (s *memoryStore) database() Database {
	var d Database
	if s.db != nil {
		d = databaseOf(s.db)
	} else {
		d = databaseOf(postgres.New(nil))
		d.Models, d.Pools, d.ProtectedAccounts = twoModels{}, twoProviders{}, noneProtected{}
	}
	d.APIKeys, d.Orders, d.Passwords, d.Ping = memoryKeys{s, d.APIKeys}, memoryOrders{s, d.Orders}, memoryPasswords{s}, s.Ping
	return d
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
