package workflows_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/activities"
	"quartermaster/internal/postgres"
	"quartermaster/internal/postgres/pgtest"
	"quartermaster/internal/provision"
	"quartermaster/workflows"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const (
	comparedOrders = 80
	callsPerOrder  = 25
)

// The property test runs orders against a model of the database, because it needs thousands of them. Here the model and PostgreSQL get
// the same random calls, and must give the same answers and end in the same states.
func TestTheModelOfTheDatabaseAnswersLikePostgreSQL(t *testing.T) {
	t.Parallel()
	db := postgres.New(pgtest.New(t))
	random := rand.New(rand.NewPCG(20261122, 1))
	ends, calls, began := map[provision.OrderState]int{}, 0, time.Now()
	for n := range comparedOrders {
		model, key := modelledOrder(t, db, n)
		orders := map[string]activities.Orders{"model": databaseModel{w: model}, "PostgreSQL": db.Orders}
		var trace []string
		for i := range callsPerOrder {
			name, call := randomCall(t.Context(), random, model, key, fmt.Sprintf("action-%d", i))
			answers := map[string]string{}
			for side, store := range orders {
				answers[side] = answerOf(call(store))
				status, err := store.Status(t.Context(), key)
				require.NoError(t, err)
				answers[side] += "; " + statusText(status)
			}
			trace = append(trace, name+": "+answers["PostgreSQL"])
			require.Equal(t, answers["PostgreSQL"], answers["model"], "after %s of order %d:\n%v", name, n, trace)
			for _, a := range model.accounts {
				row, err := db.Accounts.Get(t.Context(), key.Provider, a.row.ID)
				require.NoError(t, err)
				require.Equal(t, row.Status, a.row.Status, "account %s after %s of order %d:\n%v", a.row.ID, name, n, trace)
			}
			calls++
		}
		require.Empty(t, model.violations)
		ends[model.order.state]++
	}
	for _, end := range []provision.OrderState{provision.Completed, provision.Failed, provision.Cancelled} {
		require.NotZero(t, ends[end], "no random calls lead to %s: %v", end, ends)
	}
	t.Logf("%d calls, %s each on average: %v", calls, time.Since(began)/time.Duration(calls), ends)
}

// modelledOrder opens an order in the model and in PostgreSQL, each with the same two Ready accounts.
func modelledOrder(t *testing.T, db *postgres.DB, n int) (*orderModel, provision.OrderKey) {
	t.Helper()
	ctx, provider := t.Context(), fmt.Sprintf("provider-%d", n)
	model := &orderModel{plan: &orderPlan{}, settings: provision.PoolSettings{}}
	model.ordered = theOrder
	model.ordered.Provider, model.ordered.Nonce = provider, modelNonce
	require.NoError(t, db.Providers.Create(ctx, provider, provider))
	_, err := db.Pools.Create(ctx, "test", provision.DefaultPool(model.ordered.Pool()))
	require.NoError(t, err)
	for range 2 {
		a := model.createAccount(false)
		a.row.ID = fmt.Sprintf("%d%011d", len(model.accounts), n)
		_, _, err := db.Accounts.Create(ctx, provision.Account{
			ID: a.row.ID, Pool: model.ordered.Pool(), Model: provision.ModelECAM, Status: provision.AccountReady,
			Name: "a", RootEmail: a.row.ID + "@acme.test", RoleARN: "arn:aws:iam::" + a.row.ID + ":role/quartermaster",
			ExternalID: provision.NewExternalID(),
		}, "test")
		require.NoError(t, err)
	}
	for _, store := range []activities.Orders{databaseModel{w: model}, db.Orders} {
		_, err := store.Open(ctx, model.ordered)
		require.NoError(t, err)
	}
	return model, model.ordered.OrderKey
}

// randomCall returns a call that a run of the workflow can make in the state that the order has, or could make when the row is ahead
// of the run.
func randomCall(ctx context.Context, random *rand.Rand, model *orderModel, key provision.OrderKey, actionID string) (name string,
	call func(activities.Orders) error) {
	why := provision.Failure{Code: provision.CodeAliasTaken, Step: provision.StepAlias, Field: "aws_account_alias", Value: "blue-sky",
		Reason: "the alias is taken"}
	by := provision.Intervention{ID: actionID, Actor: "operator", Reason: "a test"}
	accountID := model.accounts[random.IntN(2)].row.ID
	if a := model.held(); a != nil {
		accountID = a.row.ID
	}
	stop := provision.Failure{Code: provision.CodeOrderCancelled, Reason: "the order was cancelled"}
	verb := workflows.UpdateCancel
	if random.IntN(2) == 0 {
		stop, verb = provision.Failure{Code: provision.CodeFailedByOperator, Reason: "an operator ended the order"}, workflows.UpdateFail
	}
	corrected := theOrder.Request
	corrected.AccountAlias = "alias-" + actionID
	closing := provision.OrderClosing{Order: key, State: provision.Failed, Failure: why}
	if a := model.held(); a != nil {
		closing.AccountID = a.row.ID
	}
	if random.IntN(2) == 0 {
		closing.Leftovers = []string{"the alias is not the earlier one"}
	}
	calls := []struct {
		name string
		call func(activities.Orders) error
		odds int
	}{
		{"Claim", func(o activities.Orders) error { _, err := o.Claim(ctx, key); return err }, 6},
		{"RequireAction", func(o activities.Orders) error { return o.RequireAction(ctx, key, why) }, 3},
		{"Resume", func(o activities.Orders) error { return o.Resume(ctx, key) }, 3},
		{"Correct", func(o activities.Orders) error { return o.Correct(ctx, key, corrected, by) }, 1},
		{"RejectAccount", func(o activities.Orders) error {
			_, err := o.RejectAccount(ctx, key, accountID, why, false)
			return err
		}, 1},
		{"Stop", func(o activities.Orders) error { return o.Stop(ctx, key, verb, stop, by) }, 1},
		{"BeginUndo", func(o activities.Orders) error { return o.BeginUndo(ctx, key, why) }, 1},
		{"Close", func(o activities.Orders) error { _, err := o.Close(ctx, closing); return err }, 1},
		{"Allocate", func(o activities.Orders) error {
			return o.Allocate(ctx, key, accountID, provision.Result{AccountID: accountID, IAMUserName: "customer"})
		}, 1},
	}
	all := 0
	for _, c := range calls {
		all += c.odds
	}
	pick := random.IntN(all)
	for _, c := range calls {
		if pick -= c.odds; pick < 0 {
			return c.name, c.call
		}
	}
	panic("unreachable")
}

func answerOf(err error) string {
	if err == nil {
		return "ok"
	}
	if failure, ok := errors.AsType[*provision.Failure](err); ok {
		return string(failure.Code)
	}
	return err.Error()
}

func statusText(s provision.OrderStatus) string {
	code := provision.Code("")
	if s.Failure != nil {
		code = s.Failure.Code
	}
	return fmt.Sprintf("%s %s account %s", s.State, code, s.AccountID)
}
