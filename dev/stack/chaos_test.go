package stack_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"quartermaster/api"
	"quartermaster/dev/stack"
	"quartermaster/internal/audit"
	"quartermaster/internal/awssim"
	"quartermaster/internal/provision"
	"quartermaster/workflows"
)

// How hard the chaos test tries. `make test-chaos` raises both by the environment.
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

// TestNothingIsLostWhenEverythingCrashes kills workers, API, Temporal and PostgreSQL, again and again, while orders come in,
// each of them twice. In the end every order has an account of its own that looks as ordered, or waits in the queue.
func TestNothingIsLostWhenEverythingCrashes(t *testing.T) {
	orders, seconds := fromEnv(t, "QM_CHAOS_ORDERS", chaosOrders), fromEnv(t, "QM_CHAOS_SECONDS", chaosSeconds)
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(seconds)*time.Second+10*time.Minute)
	defer cancel()
	s, err := stack.Start(ctx, stack.Options{Progress: os.Stderr, Program: playground.Program, Delay: 20 * time.Millisecond, Workers: 2, Restart: true, Env: []string{"QM_AUDIT_GRACE=10s"}})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Stop()) }()
	p, err := stack.NewPlayground(ctx, s)
	require.NoError(t, err)
	const marketplace = "chaos"
	_, err = p.Stock(ctx, marketplace, provision.ModelSPAM, orders)
	require.NoError(t, err)

	crashing, calm := context.WithTimeout(ctx, time.Duration(seconds)*time.Second)
	defer calm()
	work, ctx := errgroup.WithContext(ctx)
	crashes := map[string]int{}
	work.Go(func() error {
		parts := []string{stack.PartWorker, stack.PartAPI, stack.PartTemporal, stack.PartPostgres}
		every := time.NewTicker(time.Second)
		defer every.Stop()
		for {
			select {
			case <-crashing.Done():
				return nil
			case <-every.C:
				name := parts[rand.N(len(parts))]
				if err := s.Crash(ctx, name); err != nil {
					return err
				}
				crashes[name]++
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
	t.Logf("crashes: %v", crashes)
	require.NotEmpty(t, crashes)
	require.Eventually(t, func() bool { _, err := p.Client.Order(ctx, "chaos-000"); return err == nil }, time.Minute, 100*time.Millisecond, "the API comes back")

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
	require.Eventually(t, func() bool { err = p.Verify(ctx); return err == nil }, 30*time.Second, time.Second, "the auditor finds nothing")

	requireTheLostAreFound(ctx, t, p, holder)
}

// requireTheLostAreFound is the negative control: an auditor that finds nothing must be one that would find something.
func requireTheLostAreFound(ctx context.Context, t *testing.T, p *stack.Playground, holder map[string]string) {
	t.Helper()
	// The user of an Allocated account is lost.
	robbed := slices.Min(slices.Collect(maps.Keys(holder)))
	require.NoError(t, p.Sim.Edit(robbed, func(a *awssim.Account) { clear(a.Users) }))
	require.ErrorContains(t, p.Verify(ctx), string(audit.KindUserMissing))
	require.ErrorContains(t, p.Verify(ctx), robbed)

	// An order is lost in the middle of its work, and its account with it: nobody works on them any more.
	const lost = "chaos-lost"
	ids, err := p.Stock(ctx, lost, provision.ModelSPAM, 1)
	require.NoError(t, err)
	p.Sim.Inject(awssim.Fault{Service: "account", Operation: "PutContactInformation", AccountID: ids[0], Kind: awssim.Throttle})
	require.NoError(t, p.Place(ctx, stack.NewOrder(lost, provision.ModelSPAM)))
	_, err = p.Until(ctx, lost, stack.StepDone(provision.StepAlias))
	require.NoError(t, err)
	require.NoError(t, p.Workflow.TerminateWorkflow(ctx, workflows.OrderWorkflowID(provision.OrderKey{Provider: stack.Provider, ID: lost}), "", "the negative control"))
	require.Eventually(t, func() bool {
		found := p.Verify(ctx)
		return found != nil && strings.Contains(found.Error(), string(audit.KindOrderWithoutWorkflow)+" [stuck] order "+stack.Provider+"/"+lost) &&
			strings.Contains(found.Error(), string(audit.KindAccountWithoutWorkflow)+" [stuck] order "+stack.Provider+"/"+lost+" account "+ids[0])
	}, time.Minute, time.Second)
}

// placeInChaos does what a marketplace does: it sends the order until it gets an answer.
func placeInChaos(ctx context.Context, p *stack.Playground, order api.NewOrder) error {
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
