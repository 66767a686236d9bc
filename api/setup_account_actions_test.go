package api

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"quartermaster/internal/provision"
)

// change is what the store does to an account, by the rules of the real one.
func (s *memoryStore) change(provider, id, actor string, version int64, allowed []provision.AccountStatus, do func(*provision.Account)) (provision.Account, []provision.OrderKey, error) {
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
				s.history = append(s.history, provision.AccountHistoryEntry{Seq: int64(len(s.history) + 1), At: now, Actor: actor, FromStatus: before.Status, ToStatus: a.Status, Reason: a.Reason})
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

func (s memoryAccounts) Update(_ context.Context, actor, provider, id string, version int64, edit provision.AccountUpdate) (provision.Account, []provision.OrderKey, error) {
	if edit.RootEmail != nil && strings.EqualFold(*edit.RootEmail, s.emailTaken) {
		return provision.Account{}, nil, provision.ErrRootEmailTaken
	}
	return s.change(provider, id, actor, version, []provision.AccountStatus{ready, invalid}, func(a *provision.Account) { *a, _ = edit.Apply(*a) })
}

func (s memoryAccounts) Delete(_ context.Context, actor, provider, id string, version int64) error {
	_, _, err := s.change(provider, id, actor, version, []provision.AccountStatus{ready, invalid}, func(a *provision.Account) { a.Status = provision.AccountDeleted })
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accounts = slices.DeleteFunc(s.accounts, func(a provision.Account) bool { return a.Status == provision.AccountDeleted })
	return err
}

func (s memoryAccounts) Invalidate(_ context.Context, actor, provider, id string, version int64, reason string) (provision.Account, []provision.OrderKey, error) {
	return s.change(provider, id, actor, version, []provision.AccountStatus{ready, parked}, func(a *provision.Account) { a.Status, a.Reason = invalid, reason })
}

func (s memoryAccounts) Return(_ context.Context, actor, provider, id string, version int64, _ string) (provision.Account, []provision.OrderKey, error) {
	return s.change(provider, id, actor, version, []provision.AccountStatus{invalid, parked}, func(a *provision.Account) { a.ReadyWhenVerified, a.VerifyAt = true, &now })
}

func (s memoryLeftovers) BeginRemoval(_ context.Context, actor, provider, id, _ string) (provision.Account, error) {
	account, _, err := s.change(provider, id, actor, 0, []provision.AccountStatus{invalid, parked}, func(a *provision.Account) { a.RemovingSince = &now })
	return account, err
}

func (s memoryAccounts) Verify(_ context.Context, actor, provider, id string) (provision.Account, []provision.OrderKey, error) {
	return s.change(provider, id, actor, 0, []provision.AccountStatus{ready, invalid, parked}, func(a *provision.Account) { a.VerifyAt = &now })
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
