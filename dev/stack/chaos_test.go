package stack_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"quartermaster/api/openapi"
	"quartermaster/dev/stack"
	"quartermaster/internal/awssim"
	"quartermaster/internal/postgres/pgtest"
	"quartermaster/internal/provision"
	"quartermaster/internal/reconcile"
	"quartermaster/workflows"
)

// The size of the chaos test. `make test-chaos` raises both values through the environment.
const (
	chaosOrders  = 60
	chaosSeconds = 60
)

func fromEnv(t *testing.T, name string, usual int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err, "%s", name)
	return n
}

// TestNothingIsLostWhenEverythingCrashes kills workers, API, Temporal and PostgreSQL, slows, stalls and cuts the connections to the
// last two, and pauses workers repeatedly, while every order is placed twice. In the end every order has its own account, which looks
// as ordered, or waits in the queue.
func TestNothingIsLostWhenEverythingCrashes(t *testing.T) {
	orders, seconds := fromEnv(t, "QM_CHAOS_ORDERS", chaosOrders), fromEnv(t, "QM_CHAOS_SECONDS", chaosSeconds)
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(seconds)*time.Second+10*time.Minute)
	defer cancel()
	s, err := stack.Start(ctx, stack.Options{
		Progress: os.Stderr, Program: playground.Program, Delay: 20 * time.Millisecond,
		Workers: 2, Restart: true, Proxies: true, Env: []string{"QM_RECONCILE_GRACE=10s"},
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Stop()) }()
	p, err := stack.NewPlayground(ctx, s)
	require.NoError(t, err)
	const marketplace = "chaos"
	_, err = p.Stock(ctx, marketplace, provision.ModelSPAM, orders)
	require.NoError(t, err)

	stormy, calm := context.WithTimeout(ctx, time.Duration(seconds)*time.Second)
	defer calm()
	work, ctx := errgroup.WithContext(ctx)
	troubles := map[string]int{}
	work.Go(func() error {
		every := time.NewTicker(time.Second)
		defer every.Stop()
		crashes, slow := crashesOf(s), slownessOf(s)
		for {
			select {
			case <-stormy.Done():
				return nil
			case <-every.C:
			}
			crash := crashes[rand.N(len(crashes))]
			if err := crash.make(ctx); err != nil {
				return err
			}
			troubles[crash.name]++
			if trouble := slow[rand.N(len(slow))]; trouble.target.TryLock() { // else it has trouble already
				troubles[trouble.name]++
				work.Go(func() error {
					defer trouble.target.Unlock()
					return trouble.make(stormy)
				})
			}
		}
	})
	for i := range orders {
		order := stack.NewOrder(fmt.Sprintf("chaos-%03d", i), provision.ModelSPAM)
		order.Marketplace = marketplace
		for range 2 {
			work.Go(func() error { return placeInChaos(ctx, p, order) })
		}
	}
	require.NoError(t, work.Wait())
	ctx, cancel = context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	t.Logf("troubles: %v", troubles)
	require.NotEmpty(t, troubles)
	require.Eventually(t, func() bool { _, err := p.Client.Order(ctx, "chaos-000"); return err == nil }, time.Minute, 100*time.Millisecond,
		"the API comes back")

	holder := map[string]string{}
	for i := range orders {
		id := fmt.Sprintf("chaos-%03d", i)
		order, err := p.Ended(ctx, id)
		require.NoError(t, err)
		require.Equal(t, provision.Completed, order.State, "%s: %+v", id, order.Failure)
		require.NotContains(t, holder, order.Result.AccountID, "%s and %s hold one account", id, holder[order.Result.AccountID])
		holder[order.Result.AccountID] = id
		requireAsOrderedOn(t, p, order)
	}
	require.Len(t, holder, orders)
	require.Eventually(t, func() bool { err = p.Reconcile(ctx); return err == nil }, 30*time.Second, time.Second,
		"the reconciler finds nothing")

	requireTheLostAreFound(ctx, t, p, holder)
}

// trouble is a fault of a part of the stack.
type trouble struct {
	name   string
	target *sync.Mutex                 // a target has one trouble at a time
	make   func(context.Context) error // returns when the trouble is over, at the latest with the context
}

// crashesOf returns troubles that kill a part and start it again.
func crashesOf(s *stack.Stack) (all []trouble) {
	for _, name := range []string{stack.PartWorker, stack.PartAPI, stack.PartTemporal, stack.PartPostgres} {
		all = append(all, trouble{name: name + " crashes", make: func(ctx context.Context) error { return s.Crash(ctx, name) }})
	}
	return all
}

// slownessOf returns troubles that make connections slow, silent or broken, and that pause workers.
func slownessOf(s *stack.Stack) (all []trouble) {
	for name, proxy := range map[string]*pgtest.Proxy{stack.PartPostgres: s.DatabaseProxy, stack.PartTemporal: s.TemporalProxy} {
		var target sync.Mutex
		all = append(all,
			trouble{name + " is slow", &target, func(ctx context.Context) error {
				proxy.Delay(between(200*time.Millisecond, 2*time.Second))
				_ = pause(ctx, between(2*time.Second, 6*time.Second))
				proxy.Delay(0)
				return nil
			}},
			trouble{name + " is silent", &target, func(ctx context.Context) error {
				proxy.Stall()
				_ = pause(ctx, between(2*time.Second, 12*time.Second))
				proxy.Resume()
				return nil
			}},
			trouble{name + " is cut off", &target, func(context.Context) error {
				proxy.Cut()
				return nil
			}})
	}
	for nth := range 2 {
		all = append(all, trouble{fmt.Sprintf("worker %d pauses", nth), new(sync.Mutex), func(ctx context.Context) error {
			// The worker may just have ended.
			if err := s.Freeze(stack.PartWorker, nth); err != nil && !errors.Is(err, os.ErrProcessDone) {
				return err
			}
			_ = pause(ctx, between(3*time.Second, 20*time.Second))
			return s.Thaw(stack.PartWorker, nth)
		}})
	}
	return all
}

func between(least, most time.Duration) time.Duration { return least + rand.N(most-least) }

// requireTheLostAreFound is the negative control: it checks that the reconciler finds inconsistencies when there are some.
func requireTheLostAreFound(ctx context.Context, t *testing.T, p *stack.Playground, holder map[string]string) {
	t.Helper()
	// The user of an Allocated account is lost.
	robbed := slices.Min(slices.Collect(maps.Keys(holder)))
	require.NoError(t, p.Sim.Edit(robbed, func(a *awssim.Account) { clear(a.Users) }))
	require.ErrorContains(t, p.Reconcile(ctx), string(reconcile.KindUserMissing))
	require.ErrorContains(t, p.Reconcile(ctx), robbed)

	// An order is lost in the middle of its work, together with its account: nothing works on them any more.
	const lost = "chaos-lost"
	ids, err := p.Stock(ctx, lost, provision.ModelSPAM, 1)
	require.NoError(t, err)
	p.Sim.Inject(awssim.Fault{Service: "account", Operation: "PutContactInformation", AccountID: ids[0], Kind: awssim.Throttle})
	require.NoError(t, p.Place(ctx, stack.NewOrder(lost, provision.ModelSPAM)))
	_, err = p.Until(ctx, lost, stack.StepDone(provision.StepAlias))
	require.NoError(t, err)
	lostWorkflow := workflows.OrderWorkflowID(provision.OrderKey{Provider: stack.Provider, ID: lost})
	require.NoError(t, p.Workflow.TerminateWorkflow(ctx, lostWorkflow, "", "the negative control"))
	require.Eventually(t, func() bool {
		found := p.Reconcile(ctx)
		if found == nil {
			return false
		}
		order := " [stuck] order " + stack.Provider + "/" + lost
		return strings.Contains(found.Error(), string(reconcile.KindOrderWithoutWorkflow)+order) &&
			strings.Contains(found.Error(), string(reconcile.KindAccountWithoutWorkflow)+order+" account "+ids[0])
	}, time.Minute, time.Second)
}

// placeInChaos sends an order until it gets a response, as a marketplace does.
func placeInChaos(ctx context.Context, p *stack.Playground, order openapi.NewOrder) error {
	for {
		status, _, err := p.Client.PlaceOrder(ctx, order)
		switch {
		case err == nil && (status == http.StatusAccepted || status == http.StatusOK):
			return nil
		case status >= 400 && status < 500:
			return fmt.Errorf("order %s: %w", order.ID, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("order %s was never answered: %w", order.ID, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
