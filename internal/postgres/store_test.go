package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"quartermaster/internal/postgres"
	"quartermaster/internal/postgres/pgtest"
	"quartermaster/internal/provision"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

var pool = provision.Pool{Provider: "acme", Marketplace: "north", Environment: provision.Production}

func setup(t *testing.T) (context.Context, *postgres.DB, *sqlx.DB) {
	t.Helper()
	ctx := t.Context()
	db := pgtest.New(t)
	store := postgres.New(db)
	require.NoError(t, store.Providers.Create(ctx, "acme", "Acme"))
	require.NoError(t, store.Providers.Create(ctx, "other", "Other"))
	_, err := store.Pools.Create(ctx, "test", provision.DefaultPool(pool))
	require.NoError(t, err)
	return ctx, store, db
}

func createAccounts(t *testing.T, store *postgres.DB, model provision.Model, from, to int) (woken []provision.OrderKey) {
	t.Helper()
	for i := from; i <= to; i++ {
		_, orders, err := store.Accounts.Create(t.Context(), account(i, model), "test")
		require.NoError(t, err)
		woken = append(woken, orders...)
	}
	return woken
}

func account(i int, model provision.Model) provision.Account {
	id := fmt.Sprintf("%012d", i)
	return provision.Account{ID: id, Pool: pool, Model: model, Status: provision.AccountReady, Name: "account " + id, RootEmail: "root+" + id + "@acme.test",
		RoleARN: "arn:aws:iam::" + id + ":role/quartermaster", ExternalID: provision.NewExternalID()}
}

func order(id string, model provision.Model) provision.Order {
	return provision.Order{
		OrderKey:   provision.OrderKey{Provider: "acme", ID: id},
		AcceptedAt: time.Now().UTC().Truncate(time.Microsecond),
		Request: provision.Request{Marketplace: pool.Marketplace, Environment: pool.Environment, OrderMode: provision.OrderModeNewAccount,
			AccountModel: model, IAMUserName: "customer", ContactName: "Jane Roe", AccountAlias: "alias-" + id},
	}
}

func open(t *testing.T, store *postgres.DB, id string, model provision.Model) provision.OrderKey {
	t.Helper()
	o := order(id, model)
	_, err := store.Orders.Open(t.Context(), o)
	require.NoError(t, err)
	return o.OrderKey
}

func claim(t *testing.T, store *postgres.DB, key provision.OrderKey) provision.Claim {
	t.Helper()
	c, err := store.Orders.Claim(t.Context(), key)
	require.NoError(t, err)
	return c
}

// place is the order's place in the queue after it has asked for an account.
func place(t *testing.T, store *postgres.DB, key provision.OrderKey) int {
	t.Helper()
	require.Nil(t, claim(t, store, key).Account)
	view, err := store.Orders.Get(t.Context(), key)
	require.NoError(t, err)
	return view.Waiting.Place
}

func TestClaimTakesTheOldestAndARepeatTheSame(t *testing.T) {
	t.Parallel()
	_, store, _ := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 2)
	createAccounts(t, store, provision.ModelECAM, 3, 4)

	whichever := open(t, store, "any", "")
	require.Equal(t, "000000000001", claim(t, store, whichever).Account.ID)
	require.Equal(t, "000000000001", claim(t, store, whichever).Account.ID, "a repeat returns the same account")

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

// The negative control: the claim that everybody writes first. If the test above could not see a double claim, neither
// could this one.
func TestNaiveClaimHandsOneAccountToTwo(t *testing.T) {
	t.Parallel()
	ctx, _, db := setup(t)
	_, err := db.ExecContext(ctx, `CREATE TABLE naive (id int PRIMARY KEY, holder int); INSERT INTO naive SELECT i FROM generate_series(1, 50) i`)
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

func TestTheReasonOfWaitingIsInNumbers(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	key := open(t, store, "w0", "")
	claim(t, store, key)
	view, err := store.Orders.Get(ctx, key)
	require.NoError(t, err)
	require.Equal(t, &provision.QueuePlace{Place: 1, Why: "the pool has no accounts"}, view.Waiting)

	createAccounts(t, store, provision.ModelSPAM, 1, 3) // w0 takes the first
	completed := open(t, store, "done", "")
	accountID := claim(t, store, completed).Account.ID
	require.NoError(t, store.Orders.Allocate(ctx, completed, accountID, provision.Result{AccountID: accountID}))
	waiting := open(t, store, "w1", provision.ModelECAM)
	claim(t, store, waiting)
	view, err = store.Orders.Get(ctx, waiting)
	require.NoError(t, err)
	require.Equal(t, "0 of 3 accounts match: 3 other model", view.Waiting.Why)

	third := open(t, store, "third", "")
	claim(t, store, third)
	spam := open(t, store, "w2", provision.ModelSPAM)
	claim(t, store, spam)
	view, err = store.Orders.Get(ctx, spam)
	require.NoError(t, err)
	require.Equal(t, 2, view.Waiting.Place)
	require.Equal(t, "0 of 3 accounts match: 1 allocated, 2 with other orders", view.Waiting.Why)
}

func TestAnEndedOrderClaimsNothing(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	key := open(t, store, "gone", "")
	_, err := store.Orders.Close(ctx, provision.OrderClosing{Order: key, State: provision.Cancelled, Failure: provision.Failure{Code: provision.CodeOrderCancelled, Reason: "x"}})
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

func TestReleaseGivesTheAccountToTheNextInTheQueue(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 1)
	first, second := open(t, store, "first", ""), open(t, store, "second", "")
	claim(t, store, first)
	claim(t, store, second)
	closing := provision.OrderClosing{Order: first, State: provision.Failed, AccountID: "000000000001",
		Failure: provision.Failure{Code: provision.CodeAliasTaken, Field: "aws_account_alias", Value: "alias-first", Reason: "taken"}}
	woken, err := store.Orders.Close(ctx, closing)
	require.NoError(t, err)
	require.Equal(t, []provision.OrderKey{second}, woken)
	woken, err = store.Orders.Close(ctx, closing)
	require.NoError(t, err, "a repeat changes nothing")
	require.Empty(t, woken)

	events, err := store.Accounts.History(ctx, "acme", "000000000001", 0, 10)
	require.NoError(t, err)
	for i := range events {
		require.Positive(t, events[i].Seq)
		require.WithinDuration(t, time.Now(), events[i].At, time.Minute)
		events[i].Seq, events[i].At = 0, time.Time{}
	}
	require.Equal(t, []provision.AccountHistoryEntry{
		{Actor: "test", ToStatus: "ready"},
		{Actor: "order acme/first", FromStatus: "ready", ToStatus: "provisioning", OrderID: "first"},
		{Actor: "order acme/first", FromStatus: "provisioning", ToStatus: "ready", Reason: "returned clean by order first", OrderID: "first"},
		{Actor: "order acme/first", FromStatus: "ready", ToStatus: "provisioning", OrderID: "second"},
	}, events)
}

func TestLeftoversAndParkingKeepTheAccountOutOfThePool(t *testing.T) {
	t.Parallel()
	for name, closing := range map[string]provision.OrderClosing{
		"leftovers": {Leftovers: []string{"the IAM user is still there"}},
		"park":      {Park: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, store, _ := setup(t)
			createAccounts(t, store, provision.ModelSPAM, 1, 1)
			closing.Order, closing.State = open(t, store, "o", ""), provision.Failed
			closing.Failure = provision.Failure{Code: provision.CodeQuotaReached, Reason: "five reports"}
			claim(t, store, closing.Order)
			_, err := store.Orders.Close(ctx, closing)
			require.NoError(t, err)
			a, err := store.Accounts.Get(ctx, "acme", "000000000001")
			require.NoError(t, err)
			require.Equal(t, provision.AccountProvisioningFailed, a.Status)
			require.NotEmpty(t, a.Reason)
			view, err := store.Orders.Get(ctx, closing.Order)
			require.NoError(t, err)
			require.Equal(t, provision.Failed, view.State)
			require.Equal(t, a.ID, view.AccountID)
			require.Len(t, view.Leftovers, len(closing.Leftovers))
		})
	}
}

func TestAnUnusableAccountIsInvalidAndTheOrderKeepsItsPlace(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 1)
	first, second := open(t, store, "first", ""), open(t, store, "second", "")
	claim(t, store, first)
	claim(t, store, second)
	_, err := store.Orders.RejectAccount(ctx, first, "000000000001", provision.Failure{Code: provision.CodeAccountCannotBeEntered, AWSCode: "AccessDenied", Reason: "the role cannot be assumed"}, false)
	require.NoError(t, err)
	_, err = store.Orders.RejectAccount(ctx, first, "000000000001", provision.Failure{Code: provision.CodeAccountCannotBeEntered, Reason: "AccessDenied"}, false)
	require.NoError(t, err, "a repeat changes nothing")
	require.Equal(t, 1, place(t, store, first), "the order is ahead of the one that came later")
	require.Equal(t, []provision.OrderKey{first}, createAccounts(t, store, provision.ModelSPAM, 2, 2))
	a, err := store.Accounts.Get(ctx, "acme", "000000000001")
	require.NoError(t, err)
	require.Equal(t, provision.AccountInvalid, a.Status)
	require.Contains(t, a.Reason, "AWS answered AccessDenied")
}

func TestAllocateIsOneTransactionAndRepeatable(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	createAccounts(t, store, provision.ModelECAM, 1, 1)
	key := open(t, store, "o", "")
	claim(t, store, key)
	sealed, err := store.Passwords.Keep(ctx, key, "000000000001", []byte("first"))
	require.NoError(t, err)
	require.Equal(t, "first", string(sealed))
	sealed, err = store.Passwords.Keep(ctx, key, "000000000001", []byte("second"))
	require.NoError(t, err)
	require.Equal(t, "first", string(sealed), "a repeat gets the kept one")

	result := provision.Result{AccountID: "000000000001", IAMUserName: "customer", SignInURL: "https://a.signin.aws.amazon.com/console/"}
	require.NoError(t, store.Orders.Allocate(ctx, key, "000000000001", result))
	require.NoError(t, store.Orders.Allocate(ctx, key, "000000000001", result))
	view, err := store.Orders.Get(ctx, key)
	require.NoError(t, err)
	require.Equal(t, provision.Completed, view.State)
	require.Equal(t, &result, view.Result)
	require.WithinDuration(t, time.Now().Add(provision.PasswordLifetime), view.Password.ExpiresAt, time.Minute)

	_, err = store.Orders.Close(ctx, provision.OrderClosing{Order: key, State: provision.Cancelled, Failure: provision.Failure{Code: provision.CodeOrderCancelled, Reason: "x"}})
	require.NoError(t, err)
	view, err = store.Orders.Get(ctx, key)
	require.NoError(t, err)
	require.Equal(t, provision.Completed, view.State, "there is no way back past Allocate")

	// What cannot be opened is not used up.
	broken := errors.New("no such key")
	require.ErrorIs(t, store.Passwords.Reveal(ctx, view.Password.ID, "x", func(provision.RevealedPassword) error { return broken }), broken)

	// Many readers at once: one gets the password.
	var mu sync.Mutex
	revealed, gone := 0, 0
	var race errgroup.Group
	for range 8 {
		race.Go(func() error {
			var secret provision.RevealedPassword
			err := store.Passwords.Reveal(ctx, view.Password.ID, "192.0.2.1", func(r provision.RevealedPassword) error { secret = r; return nil })
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				gone++
				return nil
			}
			revealed++
			if string(secret.Sealed) != "first" || secret.UserName != "customer" {
				return fmt.Errorf("revealed %q for %q", secret.Sealed, secret.UserName)
			}
			return nil
		})
	}
	require.NoError(t, race.Wait())
	require.Equal(t, 1, revealed)
	require.Equal(t, 7, gone)
	never := func(provision.RevealedPassword) error { return errors.New("opened") }
	require.ErrorIs(t, store.Passwords.Reveal(ctx, view.Password.ID, "x", never), provision.ErrGone)
	require.ErrorIs(t, store.Passwords.Reveal(ctx, "00000000-0000-0000-0000-000000000000", "x", never), provision.ErrNotFound)
}

func TestOneIDOneRequest(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	o := order("o", "")
	first, err := store.Orders.Open(ctx, o)
	require.NoError(t, err)
	again, err := store.Orders.Open(ctx, o)
	require.NoError(t, err)
	require.Equal(t, first, again)
	o.Request.AccountAlias = "another"
	_, err = store.Orders.Open(ctx, o)
	var failure *provision.Failure
	require.ErrorAs(t, err, &failure)
	require.Equal(t, provision.CodeOrderIDReused, failure.Code)
}

func TestTheSchemaRefusesWhatTheTextForbids(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 3)
	key := open(t, store, "o", "")
	claim(t, store, key) // account 1
	other := open(t, store, "p", "")
	claim(t, store, other) // account 2
	for name, test := range map[string]struct{ statement, constraint string }{
		"a transition that is none":        {`UPDATE accounts SET status = 'allocated', order_id = 'o' WHERE id = '000000000003'`, "accounts_transition_allowed"},
		"allocated is the end":             {`UPDATE accounts SET status = 'allocated' WHERE id = '000000000001'; UPDATE orders SET state = 'completed', result = '{}' WHERE id = 'o'; UPDATE accounts SET status = 'ready', order_id = NULL WHERE id = '000000000001'`, "accounts_transition_allowed"},
		"a second account for one order":   {`UPDATE accounts SET status = 'provisioning', order_id = 'o' WHERE id = '000000000003'`, "accounts_one_per_order"},
		"completed without its account":    {`UPDATE orders SET state = 'completed', result = '{}' WHERE id = 'o'`, "account_and_order_agree"},
		"allocated without its order":      {`UPDATE accounts SET status = 'allocated' WHERE id = '000000000001'`, "account_and_order_agree"},
		"failed and still holding":         {`UPDATE orders SET state = 'compensating' WHERE id = 'o'; UPDATE orders SET state = 'failed', failure = '{}' WHERE id = 'o'`, "account_and_order_agree"},
		"held by nobody":                   {`UPDATE accounts SET status = 'provisioning' WHERE id = '000000000003'`, "accounts_held_by_an_order"},
		"unusable without a reason":        {`UPDATE accounts SET status = 'invalid' WHERE id = '000000000003'`, "accounts_unusable_says_why"},
		"another age":                      {`UPDATE accounts SET added_at = now() - interval '1 year' WHERE id = '000000000003'`, "accounts_identity_is_fixed"},
		"deleting an account in progress":  {`DELETE FROM accounts WHERE id = '000000000001'`, "accounts_transition_allowed"},
		"another provider's order":         {`INSERT INTO pools (provider, marketplace, environment) VALUES ('other', 'north', 'production'); UPDATE accounts SET provider = 'other' WHERE id = '000000000003'`, "accounts_identity_is_fixed"},
		"rewriting the audit":              {`UPDATE account_history SET actor = 'nobody'`, "history_is_append_only"},
		"failing an order without an undo": {`UPDATE orders SET state = 'failed', failure = '{}' WHERE id = 'o'`, "orders_transition_allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			tx, err := db.BeginTxx(ctx, nil)
			require.NoError(t, err)
			defer func() { _ = tx.Rollback() }()
			_, err = tx.ExecContext(ctx, `SELECT set_config('qm.actor', 'test', true)`)
			require.NoError(t, err)
			if _, err = tx.ExecContext(ctx, test.statement); err == nil {
				err = tx.Commit()
			}
			refused := pq.As(err)
			require.NotNil(t, refused, "the database accepted it: %v", err)
			require.Equal(t, test.constraint, refused.Constraint, refused.Message)
		})
	}
	_, err := db.ExecContext(ctx, `UPDATE accounts SET status = 'invalid', reason = 'x' WHERE id = '000000000003'`)
	refused := pq.As(err)
	require.NotNil(t, refused)
	require.Equal(t, "history_names_the_actor", refused.Constraint)
}

func TestProvidersSeeOnlyTheirOwn(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 2)
	key := open(t, store, "o", "")
	claim(t, store, key)

	_, err := store.Accounts.Get(ctx, "other", "000000000001")
	require.ErrorIs(t, err, provision.ErrNotFound)
	_, err = store.Orders.Get(ctx, provision.OrderKey{Provider: "other", ID: "o"})
	require.ErrorIs(t, err, provision.ErrNotFound)
	accounts, err := store.Accounts.List(ctx, "other", provision.AccountFilter{Limit: 10})
	require.NoError(t, err)
	require.Empty(t, accounts)

	stolen := account(1, provision.ModelSPAM)
	stolen.Provider = "other"
	_, err = store.Pools.Create(ctx, "test", provision.DefaultPool(stolen.Pool))
	require.NoError(t, err)
	_, _, err = store.Accounts.Create(ctx, stolen, "test")
	require.ErrorIs(t, err, provision.ErrConflict)

	// The same order id of another provider is another order, and draws from another pool.
	o := order("o", "")
	o.Provider = "other"
	_, err = store.Orders.Open(ctx, o)
	require.NoError(t, err)
	require.Nil(t, claim(t, store, o.OrderKey).Account)
}

func TestListsFilterAndPage(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 5)
	for i := range 7 {
		key := open(t, store, fmt.Sprintf("o%d", i), "")
		claim(t, store, key)
	}
	waiting, err := store.Orders.List(ctx, "acme", provision.OrderFilter{States: []provision.OrderState{provision.WaitingForAccount}, Limit: 10})
	require.NoError(t, err)
	require.Len(t, waiting, 2)
	require.Equal(t, "o6", waiting[0].ID, "newest first")

	var ids []string
	filter := provision.OrderFilter{Limit: 3}
	for {
		page, err := store.Orders.List(ctx, "acme", filter)
		require.NoError(t, err)
		for _, v := range page {
			ids = append(ids, v.ID)
		}
		if len(page) < filter.Limit {
			break
		}
		last := page[len(page)-1]
		filter.After = &provision.OrderCursor{CreatedAt: last.AcceptedAt, ID: last.ID}
	}
	require.Equal(t, []string{"o6", "o5", "o4", "o3", "o2", "o1", "o0"}, ids)

	byAccount, err := store.Orders.List(ctx, "acme", provision.OrderFilter{AccountID: "000000000003", Limit: 10})
	require.NoError(t, err)
	require.Len(t, byAccount, 1)
	require.Equal(t, "o2", byAccount[0].ID)

	held, err := store.Accounts.List(ctx, "acme", provision.AccountFilter{Statuses: []provision.AccountStatus{provision.AccountProvisioning}, Model: provision.ModelSPAM, Limit: 3})
	require.NoError(t, err)
	require.Len(t, held, 3)
	next, err := store.Accounts.List(ctx, "acme", provision.AccountFilter{Limit: 3, After: &provision.AccountCursor{AddedAt: held[2].AddedAt, ID: held[2].ID}})
	require.NoError(t, err)
	require.Len(t, next, 2)
}

func TestStepsAreVisible(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 1)
	key := open(t, store, "o", "")
	claim(t, store, key)
	require.NoError(t, store.Steps.Begin(ctx, key, "000000000001", provision.StepAlias, 1))
	require.NoError(t, store.Steps.End(ctx, key, "000000000001", provision.StepAlias, provision.StepRetrying, "Throttled"))
	require.NoError(t, store.Steps.Begin(ctx, key, "000000000001", provision.StepAlias, 2))
	view, err := store.Orders.Get(ctx, key)
	require.NoError(t, err)
	require.Equal(t, provision.StepAlias, view.Step)
	require.Len(t, view.Steps, 1)
	require.Equal(t, 2, view.Steps[0].Attempt)
	require.Equal(t, "running", view.Steps[0].State)
	require.NoError(t, store.Steps.End(ctx, key, "000000000001", provision.StepAlias, provision.StepDone, ""))
	require.NoError(t, store.Steps.Begin(ctx, key, "000000000001", provision.StepAlias, 3))
	view, err = store.Orders.Get(ctx, key)
	require.NoError(t, err)
	require.Equal(t, "done", view.Steps[0].State, "a step that is done stays done, whoever wakes up late")
	require.NotNil(t, view.Steps[0].FinishedAt)
}

func TestNoPasswordIsKeptOfAnAccountThatWasNotHandedOver(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 2)
	kept := func() (n int) {
		require.NoError(t, db.GetContext(ctx, &n, `SELECT count(*) FROM order_passwords WHERE sealed IS NOT NULL`))
		return n
	}
	failure := provision.Failure{Code: provision.CodeAccountCannotBeEntered, Reason: "x"}
	refused := func(key provision.OrderKey, account string) {
		_, err := store.Passwords.Keep(ctx, key, account, []byte("late"))
		var failure *provision.Failure
		require.ErrorAs(t, err, &failure)
		require.Equal(t, provision.CodeOrderNotInProgress, failure.Code)
		require.Zero(t, kept())
	}

	key := open(t, store, "o", "")
	claim(t, store, key)
	_, err := store.Passwords.Keep(ctx, key, "000000000001", []byte("sealed"))
	require.NoError(t, err)
	_, err = store.Orders.RejectAccount(ctx, key, "000000000001", failure, false)
	require.NoError(t, err)
	refused(key, "000000000001") // an attempt that woke up late

	require.Equal(t, "000000000002", claim(t, store, key).Account.ID)
	_, err = store.Passwords.Keep(ctx, key, "000000000002", []byte("sealed"))
	require.NoError(t, err)
	require.Equal(t, 1, kept())
	_, err = store.Orders.Close(ctx, provision.OrderClosing{Order: key, State: provision.Failed, Failure: failure, AccountID: "000000000002"})
	require.NoError(t, err)
	refused(key, "000000000002")
}

func TestOpeningAnOrderSaysWhereItStands(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 1)
	o := order("o", "")
	o.Nonce = "7f0d9c1e-5a34-4c58-9a53-2f1f7f0a9b11"
	opened, err := store.Orders.Open(ctx, o)
	require.NoError(t, err)
	require.Equal(t, o.Nonce, opened.Nonce, "an order whose row was lost knows its own things in AWS")
	require.Equal(t, provision.OrderStatus{State: provision.Accepted}, opened.OrderStatus)
	other := open(t, store, "other", "")
	drawn, err := store.Orders.Open(ctx, order("other", ""))
	require.NoError(t, err)
	require.NotEmpty(t, drawn.Nonce, "an order that brings none gets one")
	require.NotEqual(t, o.Nonce, drawn.Nonce)

	stands := func(key provision.OrderKey, want provision.OrderStatus) {
		t.Helper()
		again := order(key.ID, "")
		again.Nonce = "00000000-0000-4000-8000-000000000000"
		opened, err := store.Orders.Open(ctx, again)
		require.NoError(t, err)
		require.Equal(t, want, opened.OrderStatus)
		require.NotEqual(t, again.Nonce, opened.Nonce, "the first one counts")
		status, err := store.Orders.Status(ctx, key)
		require.NoError(t, err)
		require.Equal(t, want, status)
	}
	claim(t, store, o.OrderKey)
	stands(o.OrderKey, provision.OrderStatus{State: provision.Provisioning, AccountID: account1})
	require.NoError(t, store.Orders.RequireAction(ctx, o.OrderKey, why))
	stands(o.OrderKey, provision.OrderStatus{State: provision.ActionRequired, AccountID: account1, Failure: &why})
	require.NoError(t, store.Orders.Resume(ctx, o.OrderKey))
	result := provision.Result{AccountID: account1, IAMUserName: "customer"}
	require.NoError(t, store.Orders.Allocate(ctx, o.OrderKey, account1, result))
	stands(o.OrderKey, provision.OrderStatus{State: provision.Completed, AccountID: account1, Result: &result})

	claim(t, store, other)
	stands(other, provision.OrderStatus{State: provision.WaitingForAccount})
	failure := provision.Failure{Code: provision.CodeWaitDeadlinePassed, Reason: "it waited too long"}
	_, err = store.Orders.Close(ctx, provision.OrderClosing{Order: other, State: provision.Failed, Failure: failure})
	require.NoError(t, err)
	stands(other, provision.OrderStatus{State: provision.Failed, Failure: &failure})
	_, err = store.Orders.Status(ctx, provision.OrderKey{Provider: "other", ID: "o"})
	require.ErrorIs(t, err, provision.ErrNotFound)
}

func TestAllocateNeedsTheAccountAndAnOrderInProgress(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 2)
	key, other := open(t, store, "o", ""), open(t, store, "p", "")
	result := provision.Result{AccountID: account1}
	refusedAs(t, store.Orders.Allocate(ctx, key, account1, result), provision.CodeOrderNotInProgress)
	claim(t, store, key)
	claim(t, store, other)
	refusedAs(t, store.Orders.Allocate(ctx, other, account1, result), provision.CodeOrderNotInProgress)
	require.NoError(t, store.Orders.RequireAction(ctx, key, why))
	refusedAs(t, store.Orders.Allocate(ctx, key, account1, result), provision.CodeOrderNotInProgress)
	require.NoError(t, store.Orders.Resume(ctx, key))
	require.NoError(t, store.Orders.Allocate(ctx, key, account1, result))
	require.NoError(t, store.Orders.Allocate(ctx, key, account1, result), "a repeat changes nothing")
	refusedAs(t, store.Orders.Allocate(ctx, key, account2, result), provision.CodeOrderNotInProgress)
	require.NoError(t, store.Orders.BeginUndo(ctx, other, why))
	refusedAs(t, store.Orders.Allocate(ctx, other, account2, result), provision.CodeOrderNotInProgress)
}

func TestALateAttemptTouchesNoPasswordOfACustomer(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 1)
	key := open(t, store, "o", "")
	claim(t, store, key)
	_, err := store.Passwords.Keep(ctx, key, account1, []byte("first"))
	require.NoError(t, err)
	require.NoError(t, store.Passwords.Replace(ctx, key, account1, []byte("second")))
	require.NoError(t, store.Orders.Allocate(ctx, key, account1, provision.Result{AccountID: account1}))

	refusedAs(t, store.Passwords.Replace(ctx, key, account1, []byte("late")), provision.CodeOrderNotInProgress)
	require.NoError(t, store.Passwords.Withdraw(ctx, key, account1))
	var sealed []byte
	require.NoError(t, db.GetContext(ctx, &sealed, `SELECT sealed FROM order_passwords`))
	require.Equal(t, "second", string(sealed))
}
