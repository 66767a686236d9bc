package bench

import (
	"context"
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"

	"quartermaster/dev/stack"
	"quartermaster/internal/awssim"
	"quartermaster/internal/provision"
	"quartermaster/workflows"
)

// concurrency is how many orders are in flight at a time: more only wait for each other on these machines.
const concurrency = 50

// throughput is what the rounds of one kind of work took together.
type throughput struct {
	units  int
	rates  []float64 // units a second of each round
	cpu    cpu
	writes writes
}

func (t *throughput) add(units int, all time.Duration, used cpu, written writes) {
	t.units += units
	t.rates = append(t.rates, float64(units)/all.Seconds())
	t.cpu = t.cpu.plus(used)
	t.writes = t.writes.plus(written)
}

// measureOrders runs rounds of orders and of Bare8 in turns, and returns what an order costs.
func measureOrders(ctx context.Context, s *servers, o Options) ([]Figure, error) {
	const marketplace = "throughput"
	if err := s.stock(ctx, marketplace, o.Rounds*o.Orders+concurrency); err != nil {
		return nil, err
	}
	if err := s.warmUp(ctx, marketplace); err != nil {
		return nil, err
	}
	calls := len(s.Sim.Requests())
	statements, err := s.resetStatements(ctx, o)
	if err != nil {
		return nil, err
	}
	var orders, bare throughput
	for round := range o.Rounds {
		o.say("round %d of %d: %d × Bare8, then %d orders, %d at a time", round+1, o.Rounds, o.Orders, o.Orders, concurrency)
		if err := s.round(ctx, &bare, o.Orders, func(ctx context.Context, i int) error {
			return s.runBare8(ctx, fmt.Sprintf("bare-%d-%d", round, i))
		}); err != nil {
			return nil, err
		}
		stop := o.profileParts(ctx, s, round)
		if err := s.round(ctx, &orders, o.Orders, func(ctx context.Context, i int) error {
			return s.runOrder(ctx, marketplace, fmt.Sprintf("t-%d-%d", round, i))
		}); err != nil {
			return nil, err
		}
		if err := stop(); err != nil {
			return nil, err
		}
	}
	if err := s.completed(ctx, marketplace, orders.units+concurrency); err != nil {
		return nil, err
	}
	if err := statements(orders.units); err != nil {
		return nil, err
	}
	requests := s.Sim.Requests()[calls:]
	all, different := callsPerOrder(requests)
	s.costs = orders.costs(requests, all)
	figures := []Figure{{
		Name: fmt.Sprintf("orders/s at %d in flight, Temporal on PostgreSQL", concurrency), Unit: "/s",
		Value: median(orders.rates), Limit: median(bare.rates), LimitIs: "Bare8", Target: ratioAtLeast(1),
	}, {
		Name: "CPU an order, simulator excluded", Unit: "ms",
		Value: milliseconds(orders.cpu.sum()) / float64(orders.units), Limit: milliseconds(bare.cpu.sum()) / float64(bare.units),
		LimitIs: "Bare8: " + bare.cpu.perUnit(bare.units), Detail: orders.cpu.perUnit(orders.units), Target: ratioAtMost(1),
	}, {
		Name: "AWS calls an order", Value: all, Limit: different, LimitIs: "different calls", Target: atMost(35), Count: true,
	}, {
		Name: "transactions an order that write to our database", Value: orders.writes.ours.transactions / float64(orders.units), Count: true,
	}, {
		Name: "log that an order makes PostgreSQL write", Unit: "kB", Value: orders.writes.total() / float64(orders.units) / 1000,
		Limit: bare.writes.total() / float64(bare.units) / 1000, LimitIs: "Bare8",
		Count: true, Detail: fmt.Sprintf("ours %.0f kB", orders.writes.ours.bytes/float64(orders.units)/1000),
	}}
	history, err := s.historyFigures(ctx, min(o.Orders, 30))
	if err != nil {
		return nil, err
	}
	s.costs.Tasks, err = s.tasks(ctx)
	return append(figures, history...), err
}

// costs returns what an order costs.
func (t *throughput) costs(requests []awssim.Request, calls float64) Costs {
	n := float64(t.units)
	c := Costs{
		CPU: map[string]float64{}, Writes: t.writes.ours.transactions / n, TemporalWrites: t.writes.temporal.transactions / n,
		Log: t.writes.total() / n / 1000, Calls: calls,
	}
	for part, used := range t.cpu {
		c.CPU[part] = milliseconds(used) / n
	}
	for _, r := range requests {
		if r.Service == "sts" {
			c.STSCalls += 1 / n
		}
	}
	return c
}

// tasks returns how many workflow and activity tasks an order has.
func (s *servers) tasks(ctx context.Context) (n float64, err error) {
	id := workflows.OrderWorkflowID(provision.OrderKey{Provider: stack.Provider, ID: "t-0-0"})
	events := s.Workflow.GetWorkflowHistory(ctx, id, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		if err != nil {
			return 0, err
		}
		switch event.GetEventType() { //nolint:exhaustive // the others are no tasks
		case enumspb.EVENT_TYPE_WORKFLOW_TASK_STARTED, enumspb.EVENT_TYPE_ACTIVITY_TASK_STARTED:
			n++
		}
	}
	return n, nil
}

// warmUp fills caches and connection pools.
func (s *servers) warmUp(ctx context.Context, marketplace string) error {
	if _, err := inFlight(ctx, concurrency, concurrency, func(ctx context.Context, i int) error {
		return s.runBare8(ctx, fmt.Sprintf("bare-warm-%d", i))
	}); err != nil {
		return err
	}
	_, err := inFlight(ctx, concurrency, concurrency, func(ctx context.Context, i int) error {
		return s.runOrder(ctx, marketplace, fmt.Sprintf("t-warm-%d", i))
	})
	return err
}

// round runs n units of work and adds what they cost.
func (s *servers) round(ctx context.Context, t *throughput, n int, job func(context.Context, int) error) error {
	before, err := s.cpuNow()
	if err != nil {
		return err
	}
	wal, err := s.walPosition(ctx)
	if err != nil {
		return err
	}
	all, err := inFlight(ctx, n, concurrency, job)
	if err != nil {
		return err
	}
	after, err := s.cpuNow()
	if err != nil {
		return err
	}
	written, err := s.writesSince(ctx, wal)
	if err != nil {
		return err
	}
	t.add(n, all, after.minus(before), written)
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// callsPerOrder returns the medians of the AWS calls of an order, all and without repetitions. Each account has one order.
func callsPerOrder(requests []awssim.Request) (all, different float64) {
	type call struct{ service, operation, input string }
	calls := map[string]map[call]int{}
	for _, r := range requests {
		if calls[r.AccountID] == nil {
			calls[r.AccountID] = map[call]int{}
		}
		calls[r.AccountID][call{r.Service, r.Operation, r.Input}]++
	}
	var totals, distinct []int
	for _, of := range calls {
		total := 0
		for _, n := range of {
			total += n
		}
		totals, distinct = append(totals, total), append(distinct, len(of))
	}
	return float64(median(totals)), float64(median(distinct))
}

// historyFigures returns the size of the history of an order and of Bare8, in the middle of those of a round.
func (s *servers) historyFigures(ctx context.Context, n int) ([]Figure, error) {
	var events, size, bareEvents, bareSize []int64
	for i := range n {
		order := workflows.OrderWorkflowID(provision.OrderKey{Provider: stack.Provider, ID: fmt.Sprintf("t-0-%d", i)})
		described, err := s.Workflow.DescribeWorkflowExecution(ctx, order, "")
		if err != nil {
			return nil, err
		}
		bare, err := s.bareClient.DescribeWorkflowExecution(ctx, fmt.Sprintf("bare-0-%d", i), "")
		if err != nil {
			return nil, err
		}
		ours, theirs := described.GetWorkflowExecutionInfo(), bare.GetWorkflowExecutionInfo()
		events, size = append(events, ours.GetHistoryLength()), append(size, ours.GetHistorySizeBytes())
		bareEvents, bareSize = append(bareEvents, theirs.GetHistoryLength()), append(bareSize, theirs.GetHistorySizeBytes())
	}
	return []Figure{{
		Name: "history of an order, events", Value: float64(median(events)), Limit: float64(median(bareEvents)), LimitIs: "Bare8", Count: true,
	}, {
		Name: "history of an order, size", Unit: "kB", Value: float64(median(size)) / 1000, Limit: float64(median(bareSize)) / 1000,
		LimitIs: "Bare8", Target: atMost(10), Count: true,
	}}, nil
}
