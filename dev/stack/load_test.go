package stack_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"golang.org/x/sync/errgroup"

	"quartermaster/api/openapi"
	"quartermaster/deploy/iam"
	"quartermaster/dev/stack"
	"quartermaster/internal/awssim"
	"quartermaster/internal/postgres"
	"quartermaster/internal/provision"
	"quartermaster/workflows"
)

// The size of the load test. `make test-load` raises all three values through the environment.
const (
	loadOrders        = 2000
	loadFreezeSeconds = 15
	loadAccounts      = 100
)

const (
	marketplaces = 8                // that send orders at once, each as fast as it is answered
	answerWithin = 20 * time.Second // any answer: longer than the API gives a request
	mostEvents   = 50               // that an outage may add to the history of an order
)

// TestNoAcknowledgedOrderIsLostWhenTheDatabaseIsSlow sends orders to an empty pool as fast as they are accepted, freezes the database
// for some time, and then imports accounts. The oldest orders get them and all others wait: none has failed or is lost, no ended
// order holds an account, and the outage added hardly any events to the workflow histories.
func TestNoAcknowledgedOrderIsLostWhenTheDatabaseIsSlow(t *testing.T) {
	orders, accounts := fromEnv(t, "QM_LOAD_ORDERS", loadOrders), fromEnv(t, "QM_LOAD_ACCOUNTS", loadAccounts)
	freeze := time.Duration(fromEnv(t, "QM_LOAD_FREEZE_SECONDS", loadFreezeSeconds)) * time.Second
	ctx, cancel := context.WithTimeout(t.Context(),
		3*time.Minute+freeze+time.Duration(orders)*100*time.Millisecond+time.Duration(accounts)*time.Second)
	defer cancel()
	s, err := stack.Start(ctx, stack.Options{Progress: os.Stderr, Program: playground.Program, Workers: 2,
		Env: []string{"QM_VERIFY_PER_SECOND=0", "QM_AWS_POLL_EVERY=20ms"}})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Stop()) }()
	p, err := stack.NewPlayground(ctx, s)
	require.NoError(t, err)
	opened, err := postgres.Open(ctx, p.Database)
	require.NoError(t, err)
	defer func() { require.NoError(t, opened.Close()) }()
	db := opened.SQL()
	pool := provision.Pool{Provider: stack.Provider, Marketplace: "rush", Environment: provision.Production}
	require.NoError(t, p.Pool(ctx, pool.Marketplace, provision.DataExport))
	began := time.Now()
	note := func(what string, args ...any) {
		t.Logf("%6.1f s  %s", time.Since(began).Seconds(), fmt.Sprintf(what, args...))
	}

	outage := &outage{
		stack: s, after: int64(orders / 2), length: freeze,
		waiting: func() map[string]int64 { return historyLengths(ctx, t, p, db, 50) },
	}
	var sending errgroup.Group
	sending.Go(func() error { return outage.run(ctx) })
	next := make(chan int)
	sending.Go(func() error {
		defer close(next)
		for i := range orders {
			next <- i
		}
		return nil
	})
	for range marketplaces {
		sending.Go(func() (err error) {
			for i := range next {
				if err == nil { // else the others go on, and the error is told in the end
					order := stack.NewOrder(fmt.Sprintf("rush-%05d", i), provision.ModelECAM)
					order.Marketplace = pool.Marketplace
					err = outage.send(ctx, p, order)
				}
			}
			return err
		})
	}
	require.NoError(t, sending.Wait())
	note("%d orders are acknowledged, the slowest answer took %s; %d requests had to be sent again",
		orders, outage.slowest.Round(time.Millisecond), outage.repeated)

	awaitStates(ctx, t, p, db, map[provision.OrderState]int{provision.WaitingForAccount: orders})
	note("all of them wait")
	after := historyLengths(ctx, t, p, db, 50)
	grown := int64(0)
	for id, length := range outage.before {
		grown = max(grown, after[id]-length)
	}
	note("the outage has added at most %d events to the history of an order that waited", grown)
	require.NotEmpty(t, outage.before)
	require.LessOrEqual(t, grown, int64(mostEvents))

	importStock(ctx, t, p, pool, accounts)
	note("%d accounts are imported", accounts)
	awaitStates(ctx, t, p, db, map[provision.OrderState]int{provision.Completed: accounts, provision.WaitingForAccount: orders - accounts})
	note("%d orders are completed", accounts)

	var overtaken int
	require.NoError(t, db.GetContext(ctx, &overtaken, `SELECT count(*) FROM orders
		WHERE state = 'completed' AND queue_position > (SELECT min(queue_position) FROM orders WHERE state = 'waiting_for_account')`))
	require.Zero(t, overtaken, "first come, first served")
	var statuses []provision.AccountStatus
	require.NoError(t, db.SelectContext(ctx, &statuses, `SELECT DISTINCT status FROM accounts`))
	require.Equal(t, []provision.AccountStatus{provision.AccountAllocated}, statuses)
	runs := map[enumspb.WorkflowExecutionStatus]int{
		enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED: accounts,
		enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING:   orders - accounts,
	}
	for status := range enumspb.WorkflowExecutionStatus_name {
		status := enumspb.WorkflowExecutionStatus(status)
		if status == enumspb.WORKFLOW_EXECUTION_STATUS_UNSPECIFIED {
			continue
		}
		require.Eventually(t, func() bool { return countRuns(ctx, t, p, status) == runs[status] }, time.Minute, time.Second,
			"runs that are %s: %d, not %d", status, countRuns(ctx, t, p, status), runs[status])
	}
	var some []string
	require.NoError(t, db.SelectContext(ctx, &some, `SELECT id FROM orders WHERE state = 'completed' ORDER BY random() LIMIT 20`))
	for _, id := range some {
		order, err := p.Client.Order(ctx, id)
		require.NoError(t, err)
		requireAsOrderedOn(t, p, order)
	}
	require.Eventually(t, func() bool { err = p.Reconcile(ctx); return err == nil }, 30*time.Second, time.Second,
		"the reconciler finds nothing")
	note("nothing is lost")
}

// TestSlowLockFailsNoOrder holds the lock of a pool for longer than an attempt at the database may take, while two orders work in
// their accounts and two come in.
func TestSlowLockFailsNoOrder(t *testing.T) {
	ctx := setup(t)
	const marketplace, held = "slow-lock", 18 * time.Second
	pool := provision.Pool{Provider: stack.Provider, Marketplace: marketplace, Environment: provision.Production}
	ids, err := playground.Stock(ctx, marketplace, provision.ModelECAM, 4)
	require.NoError(t, err)
	opened, err := postgres.Open(ctx, playground.Database)
	require.NoError(t, err)
	defer func() { require.NoError(t, opened.Close()) }()
	db := opened.SQL()
	place := func(i int) {
		order := stack.NewOrder(fmt.Sprintf("%s-%d", marketplace, i), provision.ModelECAM)
		order.Marketplace = marketplace
		require.NoError(t, playground.Place(ctx, order))
	}
	for i, id := range ids[:2] {
		playground.Sim.Inject(awssim.Fault{Service: "account", Operation: "PutContactInformation", AccountID: id, Kind: awssim.Throttle})
		place(i)
		_, err := playground.Until(ctx, fmt.Sprintf("%s-%d", marketplace, i), stack.StepDone(provision.StepAlias))
		require.NoError(t, err)
	}

	lock, err := db.BeginTxx(ctx, nil)
	require.NoError(t, err)
	_, err = lock.ExecContext(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('pool ' || $1, 0))`, pool.String())
	require.NoError(t, err)
	over := time.After(held)
	for _, id := range ids[:2] {
		playground.Sim.ClearFaults(id)
	}
	place(2)
	place(3)
	require.Eventually(t, func() bool {
		var waiting int
		err := db.GetContext(ctx, &waiting, `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted`)
		return err == nil && waiting > 0
	}, held, 20*time.Millisecond, "an attempt waits for the lock")
	<-over
	require.NoError(t, lock.Rollback())
	for i := range ids {
		order, err := playground.Ended(ctx, fmt.Sprintf("%s-%d", marketplace, i))
		require.NoError(t, err)
		require.Equal(t, provision.Completed, order.State, "%+v", order.Failure)
	}
}

// outage freezes the database after some orders were acknowledged.
type outage struct {
	stack   *stack.Stack
	after   int64 // orders
	length  time.Duration
	waiting func() map[string]int64
	before  map[string]int64 // lengths of the histories of orders that waited when it began

	acknowledged atomic.Int64
	mu           sync.Mutex
	slowest      time.Duration
	repeated     int
}

func (o *outage) run(ctx context.Context) error {
	for o.acknowledged.Load() < o.after {
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
	o.before = o.waiting()
	if err := o.stack.Freeze(stack.PartPostgres, 0); err != nil {
		return err
	}
	if err := pause(ctx, o.length); err != nil {
		return err
	}
	return o.stack.Thaw(stack.PartPostgres, 0)
}

// send sends an order until it is acknowledged, as a marketplace does. Every request gets a response in time.
func (o *outage) send(ctx context.Context, p *stack.Playground, order openapi.NewOrder) error {
	for {
		began := time.Now()
		status, err := func() (int, error) {
			ctx, cancel := context.WithTimeout(ctx, answerWithin)
			defer cancel()
			status, _, err := p.Client.PlaceOrder(ctx, order)
			return status, err
		}()
		took := time.Since(began)
		o.mu.Lock()
		o.slowest = max(o.slowest, took)
		o.mu.Unlock()
		switch {
		case status == http.StatusAccepted || status == http.StatusOK:
			o.acknowledged.Add(1)
			return nil
		case status != http.StatusServiceUnavailable:
			return fmt.Errorf("order %s: status %d after %s: %w", order.ID, status, took, err)
		}
		o.mu.Lock()
		o.repeated++
		o.mu.Unlock()
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
}

// historyLengths returns the lengths of the histories of the n orders that have waited longest.
func historyLengths(ctx context.Context, t *testing.T, p *stack.Playground, db *sqlx.DB, n int) map[string]int64 {
	var ids []string
	err := db.SelectContext(ctx, &ids,
		`SELECT id FROM orders WHERE state = 'waiting_for_account' ORDER BY queue_position LIMIT $1`, n)
	if err != nil {
		t.Error(err)
	}
	lengths := map[string]int64{}
	for _, id := range ids {
		run, err := p.Workflow.DescribeWorkflowExecution(ctx, workflowOf(id), "")
		if err != nil {
			t.Error(err)
			continue
		}
		lengths[id] = run.WorkflowExecutionInfo.HistoryLength
	}
	return lengths
}

// awaitStates waits until that many orders are in each state and no order is in another one.
func awaitStates(ctx context.Context, t *testing.T, p *stack.Playground, db *sqlx.DB, want map[provision.OrderState]int) {
	t.Helper()
	for {
		var counts []struct {
			State provision.OrderState `db:"state"`
			Count int                  `db:"count"`
		}
		require.NoError(t, db.SelectContext(ctx, &counts, `SELECT state, count(*) FROM orders GROUP BY state`))
		got := map[provision.OrderState]int{}
		for _, c := range counts {
			got[c.State] = c.Count
		}
		for _, ended := range []provision.OrderState{provision.Failed, provision.Cancelled} {
			require.Zero(t, got[ended], "orders have ended: %v", got)
		}
		if maps.Equal(got, want) {
			return
		}
		select {
		case err := <-p.Failed():
			require.NoError(t, err)
		case <-ctx.Done():
			require.FailNow(t, "the orders did not come so far", "%v, not %v", got, want)
		case <-time.After(500 * time.Millisecond):
		}
	}
}

func countRuns(ctx context.Context, t *testing.T, p *stack.Playground, status enumspb.WorkflowExecutionStatus) int {
	t.Helper()
	counted, err := p.Workflow.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{Namespace: "default",
		Query: fmt.Sprintf("WorkflowType = '%s' AND ExecutionStatus = '%s'", workflows.ProvisionOrderName, status)})
	require.NoError(t, err)
	return int(counted.Count)
}

// importStock imports accounts whose roles already exist. Each role demands the external id that the import generated.
func importStock(ctx context.Context, t *testing.T, p *stack.Playground, pool provision.Pool, n int) {
	t.Helper()
	var file strings.Builder
	file.WriteString("account_id,marketplace,environment,model,name,root_email,role_arn\r\n")
	for i := range n {
		id := fmt.Sprintf("3330%08d", i)
		require.NoError(t, p.Simulate(provision.Account{ID: id, Model: provision.ModelECAM, RootEmail: "aws+" + id + "@acme.example"}))
		require.NoError(t, p.Sim.Edit(id, func(a *awssim.Account) {
			a.Role.TrustPolicy = json.RawMessage(strings.Replace(iam.TrustPolicy(a.Role.TrustedPrincipal, "*"),
				`"StringEquals": { "sts:ExternalId"`, `"ForAnyValue:StringLike": { "sts:ExternalId"`, 1))
		}))
		fmt.Fprintf(&file, "%s,%s,%s,ECAM,Rush %d,aws+%s@acme.example,arn:aws:iam::%s:role/quartermaster\r\n",
			id, pool.Marketplace, pool.Environment, i, id, id)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.Client.Base+"/v1/account-imports", strings.NewReader(file.String()))
	require.NoError(t, err)
	request.Header.Set("Authorization", "Bearer "+p.Client.Key)
	request.Header.Set("Content-Type", "text/csv")
	answer, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer func() { _ = answer.Body.Close() }()
	require.Equal(t, http.StatusAccepted, answer.StatusCode)
	var begun openapi.AccountImport
	require.NoError(t, json.NewDecoder(answer.Body).Decode(&begun))
	require.Eventually(t, func() bool {
		var now openapi.AccountImport
		_, err := p.Client.Do(ctx, http.MethodGet, "/v1/account-imports/"+begun.ID, nil, &now)
		return err == nil && now.State == provision.ImportCompleted && now.Added == n
	}, 2*time.Minute, 100*time.Millisecond, "%d accounts are added", n)
}
