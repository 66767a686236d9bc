package stack_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"

	"quartermaster/api/openapi"
	"quartermaster/dev/stack"
	"quartermaster/internal/provision"
	"quartermaster/internal/secrets"
	"quartermaster/workflows"
)

// rotation is a stack whose keys are rotated while orders come in.
type rotation struct {
	*stack.Playground
	k1, k2 string
}

func (r *rotation) restart(ctx context.Context, t *testing.T, part string, index int, keys ...string) {
	t.Helper()
	require.NoError(t, r.RestartWith(ctx, part, index, "QM_SEAL_KEYS="+strings.Join(keys, ",")))
}

// ask runs `quartermaster seal-keys status`.
func (r *rotation) ask(ctx context.Context) (state secrets.Rotation, byID map[string]secrets.KeyStatus, err error) {
	out, err := r.Run(ctx, "seal-keys", "status", "--json")
	if err == nil {
		err = json.Unmarshal([]byte(out), &state)
	}
	byID = map[string]secrets.KeyStatus{}
	for _, k := range state.Keys {
		byID[k.ID] = k
	}
	return state, byID, err
}

func (r *rotation) status(ctx context.Context, t *testing.T) map[string]secrets.KeyStatus {
	t.Helper()
	_, byID, err := r.ask(ctx)
	require.NoError(t, err)
	return byID
}

// until waits until `seal-keys status` shows three processes, of which that many have and seal with each key, and names the next step.
func (r *rotation) until(ctx context.Context, t *testing.T, k1Has, k1Seals, k2Has, k2Seals int, next string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		state, byID, err := r.ask(ctx)
		k1, k2 := byID["k1"], byID["k2"]
		if err == nil && len(state.Processes) == 3 && strings.Contains(state.Next, next) &&
			k1.KnownBy == k1Has && len(k1.SealsIn) == k1Seals &&
			k2.KnownBy == k2Has && len(k2.SealsIn) == k2Seals {
			return
		}
		select {
		case <-ctx.Done():
			require.FailNow(t, "the keys are not so",
				"wanted: %d have k1, %d seal with it, %d have k2, %d seal with it: %q\ngot: %v, %+v",
				k1Has, k1Seals, k2Has, k2Seals, next, err, state)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// TestRollingRotationOfTheKeysLosesNothing rotates the sealing key, one process after the other, while orders come in: first the
// API, then back to the old key, then the workers first, and finally without the old key.
func TestRollingRotationOfTheKeysLosesNothing(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	r := &rotation{k1: secrets.GenerateKey("k1"), k2: secrets.GenerateKey("k2")}
	s, err := stack.Start(ctx, stack.Options{Progress: os.Stderr, Delay: 20 * time.Millisecond, Workers: 2, SealKeys: r.k1,
		Env: []string{"QM_VERIFY_PER_SECOND=0"}})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Stop()) }()
	r.Playground, err = stack.NewPlayground(ctx, s)
	require.NoError(t, err)
	const marketplace = "rotation"
	_, err = r.Stock(ctx, marketplace, provision.ModelSPAM, 60)
	require.NoError(t, err)
	r.until(ctx, t, 3, 3, 0, 0, "k1 is known everywhere and seals.")

	// Orders come in all the time.
	closing, shut := context.WithCancel(ctx)
	defer shut()
	placed := make(chan []string, 1)
	failed := make(chan error, 1)
	var count atomic.Int32
	go func() {
		every := time.NewTicker(time.Second)
		defer every.Stop()
		var ids []string
		for closing.Err() == nil && len(ids) < 59 {
			order := stack.NewOrder(fmt.Sprintf("rotation-%02d", len(ids)), provision.ModelSPAM)
			order.Marketplace = marketplace
			if err := placeInChaos(ctx, r.Playground, order); err != nil {
				failed <- err
				break
			}
			ids = append(ids, order.ID)
			count.Add(1)
			select {
			case <-closing.Done():
			case <-every.C:
			}
		}
		placed <- ids
	}()

	// phase begins a phase of the rotation once an order has come in since the last one began, however fast the machine is.
	var seen int32
	phase := func(name string) {
		require.Eventually(t, func() bool { return len(failed) > 0 || count.Load() > seen }, 20*time.Second, 50*time.Millisecond)
		seen = count.Load()
		t.Log(name)
	}

	phase("forward, the API first")
	r.restart(ctx, t, stack.PartAPI, 0, r.k2, r.k1)
	r.until(ctx, t, 3, 3, 1, 0, "k2 is known by 1 of 3 processes and seals nothing yet: put it in front of QM_SEAL_KEYS of worker ")
	r.restart(ctx, t, stack.PartWorker, 0, r.k2, r.k1)
	r.until(ctx, t, 3, 3, 2, 0, "k2 is known by 2 of 3 processes")
	r.restart(ctx, t, stack.PartWorker, 1, r.k2, r.k1)
	r.until(ctx, t, 3, 0, 3, 3, "k2 is known everywhere and seals. k1 may be removed after ")

	// An order that waits for stock, all of it sealed with the new key.
	require.NoError(t, r.wait(ctx, "rotation-waits"))

	phase("back to the old key alone")
	r.restart(ctx, t, stack.PartAPI, 0, r.k1)
	r.until(ctx, t, 3, 3, 2, 0, "k2 is known by 2 of 3 processes")
	r.restart(ctx, t, stack.PartWorker, 0, r.k1)
	r.restart(ctx, t, stack.PartWorker, 1, r.k1)
	r.until(ctx, t, 3, 3, 0, 0, "k2 is still needed by ")
	require.Eventually(t, func() bool {
		return r.logged(t, "this process lacks a seal key that is still needed", `"key":"k2"`)
	}, 10*time.Second, 100*time.Millisecond)
	_, err = r.Stock(ctx, "rotation-waits", provision.ModelSPAM, 1) // the order is told, and no worker can read its input
	require.NoError(t, err)
	waiting := workflows.OrderWorkflowID(provision.OrderKey{Provider: stack.Provider, ID: "rotation-waits"})
	requireEvent(ctx, t, r.Workflow, waiting, enumspb.EVENT_TYPE_WORKFLOW_TASK_FAILED)

	phase("forward, the workers first")
	r.restart(ctx, t, stack.PartWorker, 0, r.k2, r.k1)
	r.until(ctx, t, 3, 3, 1, 0, "k2 is known by 1 of 3 processes")
	r.restart(ctx, t, stack.PartWorker, 1, r.k2, r.k1)
	r.restart(ctx, t, stack.PartAPI, 0, r.k2, r.k1)
	r.until(ctx, t, 3, 0, 3, 3, "k2 is known everywhere and seals. k1 may be removed after ")

	phase("the last orders")
	shut()
	ids := append(<-placed, "rotation-waits")
	require.Empty(t, failed)
	for _, id := range ids {
		r.requireCompleted(ctx, t, id)
	}

	t.Log("without the old key")
	byID := r.status(ctx, t)
	require.NotZero(t, byID["k1"].Passwords)
	require.Zero(t, byID["k1"].OpenOrders, "all are completed")
	_, err = r.Run(ctx, "seal-keys", "reseal", "--seal-keys="+r.k2+","+r.k1)
	require.NoError(t, err)
	byID = r.status(ctx, t)
	require.Zero(t, byID["k1"].Passwords)
	require.NotNil(t, byID["k1"].RemovableAfter)
	require.True(t, byID["k1"].RemovableAfter.After(time.Now()), "Temporal keeps the closed workflows")
	r.restart(ctx, t, stack.PartWorker, 0, r.k2)
	r.restart(ctx, t, stack.PartAPI, 0, r.k2)
	r.restart(ctx, t, stack.PartWorker, 1, r.k2)
	r.until(ctx, t, 0, 0, 3, 3, "k2 is known everywhere and seals.")
	last := stack.NewOrder("rotation-last", provision.ModelSPAM)
	last.Marketplace = marketplace
	require.NoError(t, r.Place(ctx, last))
	r.requireCompleted(ctx, t, last.ID)

	// The password of the first order was sealed with the old key, and resealed.
	first, err := r.Client.Order(ctx, ids[0])
	require.NoError(t, err)
	_, token, _ := strings.Cut(*first.Result.Password.URL, "#")
	var revealed openapi.RevealedPassword
	_, err = r.Client.Do(ctx, http.MethodPost, "/v1/password-reveals", openapi.PasswordReveal{Token: token}, &revealed)
	require.NoError(t, err)
	account, _ := r.Sim.Account(first.Result.AccountID)
	require.True(t, account.PasswordIs(first.IAMUserName, revealed.Password))

	counted, err := r.Workflow.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{
		Query: "ExecutionStatus IN ('Failed', 'Terminated', 'TimedOut', 'Canceled')",
	})
	require.NoError(t, err)
	require.Zero(t, counted.GetCount(), "no workflow of any kind failed")
	require.Eventually(t, func() bool { err = r.Reconcile(ctx); return err == nil }, 30*time.Second, time.Second,
		"the reconciler finds nothing: %v", err)
}

// wait places an order for an empty pool, and returns when the order waits.
func (r *rotation) wait(ctx context.Context, id string) error {
	if err := r.Pool(ctx, id, provision.DataExport); err != nil {
		return err
	}
	if err := r.Place(ctx, stack.NewOrder(id, provision.ModelSPAM)); err != nil {
		return err
	}
	_, err := r.Until(ctx, id, func(o openapi.Order) bool { return o.State == provision.WaitingForAccount })
	return err
}

func (r *rotation) requireCompleted(ctx context.Context, t *testing.T, id string) {
	t.Helper()
	order, err := r.Ended(ctx, id)
	require.NoError(t, err)
	require.Equal(t, provision.Completed, order.State, "%s: %+v", id, order.Failure)
	requireAsOrderedOn(t, r.Playground, order)
}

// logged reports whether a process has logged a line with all of these words.
func (r *rotation) logged(t *testing.T, words ...string) bool {
	t.Helper()
	for _, part := range []string{stack.PartAPI, stack.PartWorker} {
		text, err := os.ReadFile(filepath.Join(r.Dir, part+".log"))
		require.NoError(t, err)
	lines:
		for line := range strings.Lines(string(text)) {
			for _, word := range words {
				if !strings.Contains(line, word) {
					continue lines
				}
			}
			return true
		}
	}
	return false
}
