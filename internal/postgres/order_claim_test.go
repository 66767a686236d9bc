package postgres_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"quartermaster/internal/postgres"
	"quartermaster/internal/postgres/pgtest"
	"quartermaster/internal/provision"
	"quartermaster/internal/reconcile"
)

// sessionsWait waits until so many sessions of the test's database wait for a lock in a statement that begins like this.
func sessionsWait(t *testing.T, db *sqlx.DB, statement string, count int) {
	t.Helper()
	require.Eventually(t, func() bool {
		var waiting int
		require.NoError(t, db.GetContext(t.Context(), &waiting, `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock' AND ltrim(query, E' \n') LIKE $1 || '%'`, statement))
		return waiting >= count
	}, 20*time.Second, 10*time.Millisecond, "%d sessions wait in %s", count, statement)
}

// An order that drew its place first is served first, even if it is so slow that the next one could be served before.
func TestAPlaceThatWasDrawnEarlierIsServedEarlier(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	first, second := open(t, store, "first", ""), open(t, store, "second", "")
	createAccounts(t, store, provision.ModelSPAM, 1, 1)
	slow, err := db.BeginTxx(ctx, nil)
	require.NoError(t, err)
	defer func() { _ = slow.Rollback() }()
	_, err = slow.ExecContext(ctx, `SELECT 1 FROM orders WHERE id = 'first' FOR UPDATE`)
	require.NoError(t, err)

	claims := map[provision.OrderKey]chan provision.Claim{first: make(chan provision.Claim, 1), second: make(chan provision.Claim, 1)}
	begin := func(key provision.OrderKey) {
		go func() {
			claim, err := store.Orders.Claim(ctx, key)
			if err != nil {
				t.Error(err)
			}
			claims[key] <- claim
		}()
	}
	begin(first)
	sessionsWait(t, db, "UPDATE orders", 1) // it has its place, and cannot finish
	begin(second)
	sessionsWait(t, db, "SELECT pg_advisory_xact_lock(", 1)
	require.NoError(t, slow.Rollback())
	require.Equal(t, account1, (<-claims[first]).Account.ID)
	require.Nil(t, (<-claims[second]).Account)
}

func TestNoOrderOvertakesWhileAllComeAtOnce(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	var race errgroup.Group
	race.SetLimit(8)
	for i := range 60 {
		o := order(fmt.Sprintf("o-%d", i), "")
		race.Go(func() error {
			if _, err := store.Orders.Open(ctx, o); err != nil {
				return err
			}
			_, err := store.Orders.Claim(ctx, o.OrderKey)
			return err
		})
		if i%2 == 1 {
			race.Go(func() error {
				_, _, err := store.Accounts.Create(ctx, account(i, provision.ModelSPAM), "test")
				return err
			})
		}
	}
	require.NoError(t, race.Wait())
	var places []int64
	require.NoError(t, db.SelectContext(ctx, &places,
		`SELECT o.queue_position FROM order_history e JOIN orders o ON o.provider = e.provider AND o.id = e.order_id
		WHERE e.to_state = 'provisioning' ORDER BY e.seq`))
	require.Len(t, places, 30)
	require.IsIncreasing(t, places)
}

// touched counts the rows that a plan read, those that it threw away included.
func touched(plan map[string]any) (rows float64) {
	loops, _ := plan["Actual Loops"].(float64)
	for _, what := range []string{"Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck", "Rows Removed by Join Filter"} {
		n, _ := plan[what].(float64)
		rows += n * loops
	}
	children, _ := plan["Plans"].([]any)
	for _, child := range children {
		below, _ := child.(map[string]any)
		rows += touched(below)
	}
	return rows
}

func TestAClaimCostsTheSameHoweverManyOrdersWait(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	cost := func() float64 {
		var text []byte
		require.NoError(t, db.GetContext(ctx, &text, `EXPLAIN (ANALYZE, FORMAT JSON) `+postgres.QueueHeadSQL,
			pool.Provider, pool.Marketplace, pool.Environment))
		var plans []map[string]any
		require.NoError(t, json.Unmarshal(text, &plans))
		plan, ok := plans[0]["Plan"].(map[string]any)
		require.True(t, ok)
		return touched(plan)
	}
	const few = 40
	queue(t, db, "ecam", provision.ModelECAM, 10_000)
	require.LessOrEqual(t, cost(), float64(few), "nothing is in stock")
	db.MustExec(`SELECT set_config('qm.actor', 'test', false);
		INSERT INTO accounts (id, provider, marketplace, environment, model, name, root_email, role_arn, external_id, status, reason)
		SELECT to_char(i, 'FM000000000000'), 'acme', 'north', 'production', 'ECAM', '', i || '@acme.test', 'arn:aws:iam::' || to_char(i,
    'FM000000000000') || ':role/r', 'external-id-of-' || i, 'invalid', 'sold'
		FROM generate_series(1001, 3000) i`)
	createAccounts(t, store, provision.ModelSPAM, 1, 200)
	db.MustExec(`ANALYZE`) // as PostgreSQL does by itself; until then it may look at every Ready account, but at no other
	require.LessOrEqual(t, cost(), float64(few), "accounts are Ready, and all orders want another model")

	patient := open(t, store, "patient", "")
	claimed := claim(t, store, patient)
	require.Equal(t, account1, claimed.Account.ID, "the orders ahead of it wait for another model")
	require.Empty(t, claimed.Woken)
	queue(t, db, "spam", provision.ModelSPAM, 300)
	require.Len(t, claim(t, store, open(t, store, "last", "")).Woken, 199)
	queue(t, db, "any", "", 10_000)
	require.LessOrEqual(t, cost(), float64(few), "nothing is in stock again")
}

// While the lock of one pool is held, its claims wait without connections, and the claims of another pool go through.
func TestABusyPoolLeavesConnectionsToOthers(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	quiet := provision.Pool{Provider: "acme", Marketplace: "south", Environment: provision.Production}
	_, err := store.Pools.Create(ctx, "test", provision.DefaultPool(quiet))
	require.NoError(t, err)
	const crowd = 40
	keys := make([]provision.OrderKey, crowd)
	for i := range keys {
		keys[i] = open(t, store, fmt.Sprintf("busy-%d", i), "")
	}
	others := make([]provision.OrderKey, 20)
	for i := range others {
		o := order(fmt.Sprintf("quiet-%d", i), "")
		o.Request.Marketplace = quiet.Marketplace
		_, err := store.Orders.Open(ctx, o)
		require.NoError(t, err)
		others[i] = o.OrderKey
	}
	holder, err := db.BeginTxx(ctx, nil)
	require.NoError(t, err)
	defer func() { _ = holder.Rollback() }()
	_, err = holder.ExecContext(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('pool ' || $1, 0))`, pool.String())
	require.NoError(t, err)

	impatient, giveUp := context.WithCancel(ctx)
	defer giveUp()
	results := make(chan error, crowd)
	for i, key := range keys {
		ctx := ctx
		if i%2 == 1 {
			ctx = impatient
		}
		go func() {
			_, err := store.Orders.Claim(ctx, key)
			results <- err
		}()
	}
	sessionsWait(t, db, "SELECT pg_advisory_xact_lock_shared(", 2)
	soon, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for _, key := range others {
		_, err := store.Orders.Claim(soon, key)
		require.NoError(t, err)
	}
	require.LessOrEqual(t, db.Stats().InUse, 3, "the holder, and two that wait")

	giveUp()
	for range crowd / 2 {
		require.ErrorIs(t, <-results, context.Canceled, "who gives up does not wait for the lock")
	}
	require.NoError(t, holder.Rollback())
	for range crowd / 2 {
		require.NoError(t, <-results)
	}
}

// A claim that finds an account is one transaction, so that it waits for one commit.
func TestAClaimThatFindsAnAccountIsOneTransaction(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 1)
	require.NotNil(t, claim(t, store, open(t, store, "one", "")).Account)
	var states, transactions int
	require.NoError(t, db.QueryRowContext(ctx, `SELECT count(*), count(DISTINCT xmin::text) FROM order_history
		WHERE to_state IN ('waiting_for_account', 'provisioning')`).Scan(&states, &transactions))
	require.Equal(t, 2, states)
	require.Equal(t, 1, transactions)
}

// Claims without stock go through while another transaction shares the pool's lock, so they do not take it alone.
func TestClaimsWithoutStockDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	createAccounts(t, store, provision.ModelECAM, 1, 1)
	first, second := open(t, store, "first", provision.ModelSPAM), open(t, store, "second", provision.ModelSPAM)
	holder, err := db.BeginTxx(ctx, nil)
	require.NoError(t, err)
	defer func() { _ = holder.Rollback() }()
	_, err = holder.ExecContext(ctx, `SELECT pg_advisory_xact_lock_shared(hashtextextended('pool ' || $1, 0))`, pool.String())
	require.NoError(t, err)
	for _, key := range []provision.OrderKey{first, second, first} {
		require.Nil(t, claim(t, store, key).Account)
	}
}

// unexpected is an error that does not only say that something may not be done now.
func unexpected(err error) error {
	_, isFailure := errors.AsType[*provision.Failure](err)
	_, isForbidden := errors.AsType[*provision.StateError](err)
	if isFailure || isForbidden {
		return nil
	}
	return err
}

// Everything that changes who holds an account, all at once: nothing blocks the other, and nothing contradicts itself.
func TestEverythingAtOnceNeitherDeadlocksNorContradictsItself(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 6)
	const orders = 12
	work := func(i int) error {
		o := order(fmt.Sprintf("o-%d", i%orders), "")
		o.AcceptedAt = time.Unix(1, 0).UTC()
		key := o.OrderKey
		if _, err := store.Orders.Open(ctx, o); err != nil {
			return err
		}
		id := account(1+rand.IntN(6), "").ID
		claimed, err := store.Orders.Claim(ctx, key)
		if claimed.Account != nil {
			id = claimed.Account.ID
		}
		if unexpected(err) != nil {
			return err
		}
		switch rand.IntN(14) {
		case 0:
			_, err = store.Orders.RejectAccount(ctx, key, id, why, rand.IntN(2) == 0)
		case 1:
			_, err = store.Orders.Close(ctx, provision.OrderClosing{Order: key, State: provision.Failed, Failure: why})
		case 2:
			err = store.Orders.Stop(ctx, key, "cancel", cancelled, provision.Intervention{Actor: "test", Reason: "why not"})
		case 3:
			_, _, err = store.Steps.BeginUndo(ctx, key, id, provision.StepAlias, lease)
		case 4:
			_, err = store.Passwords.Keep(ctx, key, id, []byte("sealed"))
		case 5:
			_, _, err = store.Accounts.Invalidate(ctx, "operator", "acme", id, 0, "why not")
		case 6, 7:
			_, _, err = store.Accounts.Return(ctx, "operator", "acme", id, 0, "why not")
		case 8, 9:
			now := time.Now()
			_, err = store.Verifications.Apply(ctx, []provision.VerificationResult{{AccountID: id, LookedAt: &now}})
		case 10:
			err = store.Orders.RequireAction(ctx, key, why)
		case 11:
			err = store.Orders.Resume(ctx, key)
		case 12:
			_, _, err = store.Accounts.Verify(ctx, "operator", "acme", id, 0)
		default:
			err = pgtest.Err(store.Steps.Begin(ctx, key, id, provision.StepAlias, 1))
		}
		return unexpected(err)
	}
	var race errgroup.Group
	race.SetLimit(9)
	for i := range 600 {
		race.Go(func() error { return work(i) })
	}
	require.NoError(t, race.Wait())
	for _, finding := range contradictions(t, store, reconcile.Bounds{Accepted: time.Hour, Provisioning: time.Hour,
		Compensating: time.Hour, Deadlines: time.Hour, Grace: 0}) {
		// No workflow runs here that could learn about its account or its stop.
		require.Contains(t, []reconcile.Kind{reconcile.KindOrderNotWoken, reconcile.KindStopNotHeard, reconcile.KindClaimsSuspended},
			finding.Kind, finding.What)
	}
	var states []string
	require.NoError(t, db.SelectContext(ctx, &states, `SELECT DISTINCT state FROM orders`))
	t.Log("orders ended as", strings.Join(states, ", "))
}

func TestClaimTakesTheOldestAndARepeatTheSame(t *testing.T) {
	t.Parallel()
	_, store, _ := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 2)
	createAccounts(t, store, provision.ModelECAM, 3, 4)

	anyModel := open(t, store, "any", "")
	require.Equal(t, "000000000001", claim(t, store, anyModel).Account.ID)
	require.Equal(t, "000000000001", claim(t, store, anyModel).Account.ID, "a repeat returns the same account")

	ecam := open(t, store, "ecam", provision.ModelECAM)
	got := claim(t, store, ecam).Account
	require.Equal(t, "000000000003", got.ID, "the oldest of the model")
	require.True(t, got.RootAccess)
	require.Equal(t, provision.AccountProvisioning, got.Status)
}

func TestTwoHundredOrdersRaceForAHundredAccounts(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	createAccounts(t, store, provision.ModelECAM, 1, 10) // older, but of the wrong model
	createAccounts(t, store, provision.ModelSPAM, 101, 200)

	// Every order claims three times at once, as attempts do that do not know of each other.
	var mu sync.Mutex
	holder := map[string]string{}
	waiting := 0
	var race errgroup.Group
	race.SetLimit(32)
	for i := range 200 {
		o := order(fmt.Sprintf("race-%03d", i), provision.ModelSPAM)
		race.Go(func() error {
			if _, err := store.Orders.Open(ctx, o); err != nil {
				return err
			}
			var repeats errgroup.Group
			answers := make([]provision.Claim, 3)
			for n := range answers {
				repeats.Go(func() (err error) {
					answers[n], err = store.Orders.Claim(ctx, o.OrderKey)
					return err
				})
			}
			if err := repeats.Wait(); err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			for _, answer := range answers {
				switch {
				case answer.Account == nil && answers[0].Account != nil:
					return fmt.Errorf("order %s holds %s for one attempt and nothing for another", o.ID, answers[0].Account.ID)
				case answer.Account == nil:
					continue
				}
				if other, taken := holder[answer.Account.ID]; taken && other != o.ID {
					return fmt.Errorf("account %s went to %s and %s", answer.Account.ID, other, o.ID)
				}
				holder[answer.Account.ID] = o.ID
			}
			if answers[0].Account == nil {
				waiting++
			}
			return nil
		})
	}
	require.NoError(t, race.Wait())
	require.Len(t, holder, 100)
	require.Equal(t, 100, waiting)
	for i := 101; i <= 200; i++ {
		require.Contains(t, holder, fmt.Sprintf("%012d", i))
	}
	var inQueue, orders int
	require.NoError(t, db.GetContext(ctx, &inQueue, `SELECT count(*) FROM orders WHERE state = 'waiting_for_account'`))
	require.NoError(t, db.GetContext(ctx, &orders, `SELECT count(DISTINCT order_id) FROM accounts WHERE status = 'provisioning'`))
	require.Equal(t, 100, inQueue)
	require.Equal(t, 100, orders, "no order holds two accounts")
}

func TestNaiveClaimHandsOneAccountToTwo(t *testing.T) {
	t.Parallel()
	ctx, _, db := setup(t)
	_, err := db.ExecContext(ctx,
		`CREATE TABLE naive (id int PRIMARY KEY, holder int); INSERT INTO naive SELECT i FROM generate_series(1, 50) i`)
	require.NoError(t, err)
	var mu sync.Mutex
	holders := map[int]int{}
	var race errgroup.Group
	race.SetLimit(16)
	for order := range 50 {
		race.Go(func() error {
			var id int
			if err := db.GetContext(ctx, &id, `SELECT id FROM naive WHERE holder IS NULL ORDER BY id LIMIT 1`); err != nil {
				return err
			}
			if _, err := db.ExecContext(ctx, `UPDATE naive SET holder = $1 WHERE id = $2`, order, id); err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			holders[id]++
			return nil
		})
	}
	require.NoError(t, race.Wait())
	require.Less(t, len(holders), 50, "without a lock some account is handed out twice")
}

func TestFirstComeFirstServed(t *testing.T) {
	t.Parallel()
	_, store, _ := setup(t)
	first, ecam, second := open(t, store, "first", ""), open(t, store, "ecam", provision.ModelECAM), open(t, store, "second", "")
	require.Equal(t, 1, place(t, store, first))
	require.Equal(t, 2, place(t, store, ecam))
	require.Equal(t, 3, place(t, store, second))

	woken := createAccounts(t, store, provision.ModelSPAM, 1, 1)
	require.Equal(t, []provision.OrderKey{first}, woken)
	late := open(t, store, "late", "")
	require.Equal(t, 3, place(t, store, late), "a newer order does not overtake")

	woken = createAccounts(t, store, provision.ModelSPAM, 2, 2)
	require.Equal(t, []provision.OrderKey{second}, woken, "the order for another model waits on, those behind it do not")
	woken = createAccounts(t, store, provision.ModelECAM, 3, 3)
	require.Equal(t, []provision.OrderKey{ecam}, woken)
	require.Equal(t, "000000000003", claim(t, store, ecam).Account.ID)
}

func TestAnEndedOrderClaimsNothing(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	key := open(t, store, "gone", "")
	_, err := store.Orders.Close(ctx,
		provision.OrderClosing{Order: key, State: provision.Cancelled,
			Failure: provision.Failure{Code: provision.CodeOrderCancelled, Reason: "x"}})
	require.NoError(t, err)
	createAccounts(t, store, provision.ModelSPAM, 1, 1)
	_, err = store.Orders.Claim(ctx, key)
	var failure *provision.Failure
	require.ErrorAs(t, err, &failure)
	require.Equal(t, provision.CodeOrderNotInProgress, failure.Code)
	a, err := store.Accounts.Get(ctx, "acme", "000000000001")
	require.NoError(t, err)
	require.Equal(t, provision.AccountReady, a.Status)
}
