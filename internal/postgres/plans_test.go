package postgres_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/postgres"
	"quartermaster/internal/postgres/pgtest"
	"quartermaster/internal/provision"
)

// operation is something that the product often does. It must not read more than so many pages of 8 KiB in one statement.
type operation struct {
	name  string
	run   func(ctx context.Context, store *postgres.DB) error
	pages float64
}

// What a statement may read: the rows that it names, ten accounts or the queue of 10,000 orders, or a page of a list.
const (
	rowsByKey   = 150
	someRows    = 600
	pageOfAList = 2000
)

// lifeOfOrders are the operations of orders, in a sequence in which each finds the state that it needs.
func lifeOfOrders(name string) []operation {
	o := order(name, provision.ModelSPAM)
	key, lost := o.OrderKey, order(name+"-lost", provision.ModelSPAM).OrderKey
	var id, lostID string
	claims := func(key provision.OrderKey, into *string) func(context.Context, *postgres.DB) error {
		return func(ctx context.Context, store *postgres.DB) error {
			claimed, err := store.Orders.Claim(ctx, key)
			if err == nil && claimed.Account != nil {
				*into = claimed.Account.ID
			}
			return err
		}
	}
	cannot := provision.Failure{Code: provision.CodeAccountCannotBeReentered, Step: provision.StepAlias, Reason: "refused"}
	by := provision.Intervention{ID: name, Actor: "jane", Reason: "asked"}
	return []operation{
		{"open", func(ctx context.Context, store *postgres.DB) error { _, err := store.Orders.Open(ctx, o); return err }, rowsByKey},
		{"claim", claims(key, &id), rowsByKey},
		{"claim again", claims(key, &id), rowsByKey},
		{"begin a step", func(ctx context.Context, store *postgres.DB) error {
			_, err := store.Steps.Begin(ctx, key, id, provision.StepAlias, 1)
			return err
		}, rowsByKey},
		{"end a step", func(ctx context.Context, store *postgres.DB) error {
			return store.Steps.End(ctx, key, id, provision.StepAlias, provision.AttemptEnd{State: provision.StepDone})
		}, rowsByKey},
		{"require an action", func(ctx context.Context, store *postgres.DB) error {
			return store.Orders.RequireAction(ctx, key, cannot)
		},
			rowsByKey},
		{"correct", func(ctx context.Context, store *postgres.DB) error {
			return store.Orders.Correct(ctx, key, o.Request, by)
		}, rowsByKey},
		{"resume", func(ctx context.Context, store *postgres.DB) error { return store.Orders.Resume(ctx, key) }, rowsByKey},
		{"keep a password", func(ctx context.Context, store *postgres.DB) error {
			_, err := store.Passwords.Keep(ctx, key, id, []byte("sealed"))
			return err
		}, rowsByKey},
		{"allocate", func(ctx context.Context, store *postgres.DB) error {
			return store.Orders.Allocate(ctx, key, id, provision.Result{AccountID: id})
		}, rowsByKey},
		{"status", func(ctx context.Context, store *postgres.DB) error {
			_, err := store.Orders.Status(ctx, key)
			return err
		}, rowsByKey},
		{"read an order", func(ctx context.Context, store *postgres.DB) error {
			_, err := store.Orders.Get(ctx, key.Tenant(), key.ID)
			return err
		}, rowsByKey},
		{"open another", func(ctx context.Context, store *postgres.DB) error {
			_, err := store.Orders.Open(ctx, order(lost.ID, provision.ModelSPAM))
			return err
		}, rowsByKey},
		{"claim for another", claims(lost, &lostID), rowsByKey},
		{"reject an account", func(ctx context.Context, store *postgres.DB) error {
			_, err := store.Orders.RejectAccount(ctx, lost, lostID, why, false)
			return err
		}, rowsByKey},
		{"claim after that", claims(lost, &lostID), rowsByKey},
		{"stop", func(ctx context.Context, store *postgres.DB) error {
			return store.Orders.Stop(ctx, lost, "cancel", cancelled, by)
		}, rowsByKey},
		{"begin an undo", func(ctx context.Context, store *postgres.DB) error {
			_, _, err := store.Steps.BeginUndo(ctx, lost, lostID, provision.StepAlias, time.Minute)
			return err
		}, rowsByKey},
		{"end an undo", func(ctx context.Context, store *postgres.DB) error {
			return store.Steps.End(ctx, lost, lostID, provision.StepAlias, provision.AttemptEnd{State: provision.StepUndone})
		}, rowsByKey},
		{"close", func(ctx context.Context, store *postgres.DB) error {
			_, err := store.Orders.Close(ctx, provision.OrderClosing{Order: lost, State: provision.Cancelled, Failure: cancelled})
			return err
		}, rowsByKey},
	}
}

// waiting are the operations of orders for which there is no stock, while 10,000 wait.
func waiting(name string) []operation {
	key := order(name+"-waits", provision.ModelECAM).OrderKey
	claim := func(ctx context.Context, store *postgres.DB) error {
		_, err := store.Orders.Claim(ctx, key)
		return err
	}
	return []operation{
		{"open one that waits", func(ctx context.Context, store *postgres.DB) error {
			_, err := store.Orders.Open(ctx, order(key.ID, provision.ModelECAM))
			return err
		}, rowsByKey},
		{"claim without stock", claim, rowsByKey},
		{"claim again without stock", claim, rowsByKey},
		{"read an order that waits", func(ctx context.Context, store *postgres.DB) error {
			_, err := store.Orders.Get(ctx, key.Tenant(), key.ID)
			return err
		}, someRows},
	}
}

// lists are the lists that the API has, by each of their filters.
func lists() (all []operation) {
	day := time.Now().Add(-24 * time.Hour)
	for name, filter := range map[string]provision.OrderFilter{
		"all":           {},
		"by state":      {States: []provision.OrderState{provision.Failed, provision.Cancelled}},
		"that wait":     {States: []provision.OrderState{provision.WaitingForAccount}},
		"of a pool":     {Marketplace: "south", Environment: provision.Production},
		"by model":      {Model: provision.ModelSPAM},
		"of a client":   {CustomerID: "c-7"},
		"of an account": {AccountID: "000000090001"},
		"by time":       {CreatedAfter: &day, CreatedBefore: &day},
		"by an id":      {Search: "SOLD-90001"},
		"by their ids":  {Search: "waiting-"},
		"by alias":      {Search: "alias-sold-9000"},
		"by aliases":    {Search: "alias-", States: []provision.OrderState{provision.Failed}},
		"by their end":  {EndedAfter: &day},
		"by few ends":   {EndedBefore: new(day.Add(-time.Hour))},
		"that ask":      {Asks: provision.AsksCustomer},
		"next page":     {States: []provision.OrderState{provision.Completed}, After: &provision.OrderCursor{CreatedAt: day, ID: "sold-98000"}},
	} {
		filter.Limit = 51
		all = append(all, operation{"orders " + name, func(ctx context.Context, store *postgres.DB) error {
			_, err := store.Orders.List(ctx, provision.Tenant{Provider: "acme"}, filter)
			return err
		}, pageOfAList})
	}
	for name, filter := range map[string]provision.AccountFilter{
		"all":       {},
		"by status": {Statuses: []provision.AccountStatus{provision.AccountProvisioning, provision.AccountInvalid}},
		"of a pool": {Marketplace: "south"},
		"by model":  {Model: provision.ModelECAM},
		"next page": {Model: provision.ModelSPAM, After: &provision.AccountCursor{AddedAt: day, ID: "000000000001"}},

		"by words":            {Search: "acme 97950"},
		"by words in a pool":  {Search: "97950", Marketplace: "south", Statuses: []provision.AccountStatus{provision.AccountAllocated}},
		"by beginning of id":  {Search: "0000000300"},
		"by id":               {Search: "000000030001"},
		"by order":            {Search: "sold-90001"},
		"to verify":           {Awaiting: new(true)},
		"with a finding":      {HasFinding: new(true), Statuses: []provision.AccountStatus{provision.AccountInvalid}, Marketplace: "north"},
		"without a finding":   {HasFinding: new(false), Marketplace: "south"},
		"with one, next page": {HasFinding: new(true), After: &provision.AccountCursor{AddedAt: day.Add(-72 * time.Hour), ID: "000000000001"}},
	} {
		filter.Limit = 51
		all = append(all, operation{"accounts " + name, func(ctx context.Context, store *postgres.DB) error {
			_, err := store.Accounts.List(ctx, "acme", filter)
			return err
		}, pageOfAList})
	}
	for name, filter := range map[string]provision.HistoryFilter{
		"all":         {},
		"of an order": {OrderID: "sold-90001"},
		"by actor":    {Actor: "jane 7"},
	} {
		filter.Limit, filter.Kinds = 51, []provision.HistoryKind{provision.HistoryOfOrders, provision.HistoryOfAccounts}
		all = append(all, operation{"history " + name, func(ctx context.Context, store *postgres.DB) error {
			_, err := store.History.List(ctx, provision.Tenant{Provider: "acme"}, filter)
			return err
		}, pageOfAList})
	}
	all = append(all, operation{"counts of accounts", func(ctx context.Context, store *postgres.DB) error {
		_, err := store.Accounts.Counts(ctx, "acme", provision.AccountFilter{Marketplace: "north"})
		return err
	}, pageOfAList}, operation{"stock of the past", func(ctx context.Context, store *postgres.DB) error {
		_, err := store.Stock.History(ctx, "acme", provision.StockHistoryFilter{Marketplace: "north"})
		return err
	}, rowsByKey}, operation{"stock of the past, all pools", func(ctx context.Context, store *postgres.DB) error {
		_, err := store.Stock.History(ctx, "acme", provision.StockHistoryFilter{Model: provision.ModelSPAM})
		return err
	}, someRows})
	return append(all, operation{"orders of a marketplace's key", func(ctx context.Context, store *postgres.DB) error {
		_, err := store.Orders.List(ctx, provision.Tenant{Provider: "acme", Marketplaces: []string{"south"}}, provision.OrderFilter{Limit: 51})
		return err
	}, pageOfAList}, operation{"orders by their ids, older than 13,000 others", func(ctx context.Context, store *postgres.DB) error {
		_, err := store.Orders.List(ctx, provision.Tenant{Provider: "acme"}, provision.OrderFilter{Search: "sold-", Limit: 51})
		return err
	}, 2 * pageOfAList}, operation{"counts of orders", func(ctx context.Context, store *postgres.DB) error {
		_, err := store.Orders.Tally(ctx, provision.Tenant{Provider: "acme"}, &day)
		return err
	}, pageOfAList}, operation{"history of an order", func(ctx context.Context, store *postgres.DB) error {
		_, err := store.Orders.History(ctx, provision.Tenant{Provider: "acme"}, "sold-90001", 0, 51)
		return err
	}, rowsByKey}, operation{"events", func(ctx context.Context, store *postgres.DB) error {
		_, _, err := store.Events.List(ctx, provision.Tenant{Provider: "acme"}, provision.EventFilter{After: 5000, Limit: 51})
		return err
	}, pageOfAList})
}

// accountWork are the operations of accounts. An order sets the first account aside.
func accountWork(name string, number int) []operation {
	id, aside := fmt.Sprintf("%012d", number), ""
	key := order(name+"-aside", "").OrderKey
	now := time.Now().Add(time.Hour)
	return []operation{
		{"open one more", func(ctx context.Context, store *postgres.DB) error {
			_, err := store.Orders.Open(ctx, order(key.ID, ""))
			return err
		}, rowsByKey},
		{"claim of any model", func(ctx context.Context, store *postgres.DB) error {
			claimed, err := store.Orders.Claim(ctx, key)
			if err == nil {
				aside = claimed.Account.ID
			}
			return err
		}, rowsByKey},
		{"set an account aside", func(ctx context.Context, store *postgres.DB) error {
			_, err := store.Orders.RejectAccount(ctx, key, aside, why, true)
			return err
		}, someRows},
		{"create an account", func(ctx context.Context, store *postgres.DB) error {
			a := account(500_000+number, provision.ModelSPAM)
			a.Status = provision.AccountInvalid
			_, _, err := store.Accounts.Create(ctx, a, "jane")
			return err
		}, rowsByKey},
		{"read an account", func(ctx context.Context, store *postgres.DB) error {
			_, err := store.Accounts.Get(ctx, "acme", id)
			return err
		},
			rowsByKey},
		{"the place of an account", func(ctx context.Context, store *postgres.DB) error {
			_, err := store.Accounts.Place(ctx, "acme", id)
			return err
		}, someRows},
		{"the checks of an account", func(ctx context.Context, store *postgres.DB) error {
			_, err := store.Accounts.Checks(ctx, "acme", id)
			return err
		}, rowsByKey},
		{"the changes in an account", func(ctx context.Context, store *postgres.DB) error {
			_, err := store.Accounts.Changes(ctx, "acme", aside, nil, 51)
			return err
		}, rowsByKey},
		{"verify an account", func(ctx context.Context, store *postgres.DB) error {
			_, _, err := store.Accounts.Verify(ctx, "jane", "acme", id, 0)
			return err
		}, rowsByKey},
		{"what is due", func(ctx context.Context, store *postgres.DB) error {
			_, err := store.Verifications.Due(ctx, 50)
			return err
		},
			pageOfAList},
		{"a verification passed", func(ctx context.Context, store *postgres.DB) error {
			_, err := store.Verifications.Apply(ctx, []provision.VerificationResult{{AccountID: id, LookedAt: &now}})
			return err
		}, rowsByKey},
		{"a verification failed", func(ctx context.Context, store *postgres.DB) error {
			if _, _, err := store.Accounts.Verify(ctx, "jane", "acme", id, 0); err != nil {
				return err
			}
			_, err := store.Verifications.Apply(ctx, []provision.VerificationResult{{AccountID: id, LookedAt: &now, Failure: &why}})
			return err
		}, someRows},
		{"invalidate an account", func(ctx context.Context, store *postgres.DB) error {
			_, _, err := store.Accounts.Invalidate(ctx, "jane", "acme", id, 0, "broken")
			return err
		}, rowsByKey},
	}
}

// Every statement of what the product often does, those of triggers and foreign keys included, reads as many pages with 100,000
// accounts and 80,000 orders as it would with a few, and no large table from beginning to end: with the plan that PostgreSQL makes for
// any arguments, and with the one for the given arguments.
//
//nolint:paralleltest // it keeps the server busy, and other tests of the package measure time
func TestNoStatementReadsMoreBecauseThereAreMoreRows(t *testing.T) {
	address := pgtest.URL(t)
	fillWithManyRows(t, address)
	for i, generic := range []bool{true, false} {
		name := map[bool]string{true: "generic", false: "custom"}[generic]
		store, seen := explained(t, address, generic)
		for _, o := range lifeOfOrders("warm-" + name) { // a new connection reads the catalog for its first plans
			require.NoError(t, o.run(t.Context(), store), o.name)
		}
		seen.take()
		operations := append(lifeOfOrders(name), waiting(name)...)
		operations = append(operations, lists()...)
		operations = append(operations, accountWork(name, 30_001+i)...)
		for _, o := range operations {
			require.NoError(t, o.run(t.Context(), store), "%s, %s", o.name, name)
			plans := seen.take()
			require.NotEmpty(t, plans, o.name)
			for _, p := range plans {
				if tables := scanned(p.Root); len(tables) > 0 {
					t.Errorf("%s, %s plan: reads all of %v: %s", o.name, name, tables, p.Query)
				}
				if read := pagesRead(p.Root); read > o.pages {
					t.Errorf("%s, %s plan: reads %.0f pages: %s", o.name, name, read, p.Query)
				}
			}
		}
	}
}
