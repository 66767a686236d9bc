package workflows

import (
	"fmt"
	"hash/fnv"
	"time"

	"go.temporal.io/sdk/workflow"

	"quartermaster/internal/provision"
)

// lastLook is how long a waiting order relies on signals before it looks for an account itself. New stock sends it a signal at once, and
// WatchStock finds each minute the orders whose signal was lost, all at once. So a waiting order costs nothing.
const lastLook = 24 * time.Hour

// claim waits until the order holds an account, and returns the context of the work in it, which a stop cancels. If it returns an
// error, that is why the order gets no account.
func (r *orderRun) claim(ctx workflow.Context) (work workflow.Context, err error) {
	r.enter(claiming)
	work, r.stopWork = workflow.WithCancel(ctx)
	if r.stopped != nil { // before there was anything to cancel
		return nil, r.stopped
	}
	account, err := r.awaitAccount(work)
	if workflow.IsContinueAsNewError(err) {
		return nil, err
	}
	if err != nil {
		return nil, r.causeOf(ctx, err)
	}
	r.account = account
	r.enter(working)
	return work, nil
}

// awaitAccount claims an account. It waits for stock as long as the pool allows (0 = without a limit).
func (r *orderRun) awaitAccount(ctx workflow.Context) (*held, error) {
	patience := r.settings.WaitDeadline
	stock := workflow.GetSignalChannel(ctx, SignalStock)
	for announced := false; ; announced = true {
		for stock.ReceiveAsync(nil) {
		}
		claim, err := callDatabase(ctx, "Claim account", acts.ClaimAccount, r.order.OrderKey)
		if err != nil {
			return nil, err
		}
		wake(ctx, claim.Woken)
		if claim.Account != nil {
			announceAccount(ctx, *claim.Account)
			return &held{Account: *claim.Account, touched: claim.Touched}, nil
		}
		if !announced {
			announce(ctx, provision.WaitingForAccount, provision.CodeNoAccountReady,
				fmt.Sprintf("Waiting for an account of pool %#q. The order goes on when stock arrives.", r.order.Pool().String()))
		}
		left := lastLook + r.jitter()
		if patience > 0 {
			left = min(left, r.order.AcceptedAt.Add(patience).Sub(workflow.Now(ctx)))
			if left <= 0 {
				return nil, waitedTooLong(patience)
			}
		}
		if workflow.GetInfo(ctx).GetContinueAsNewSuggested() {
			return nil, workflow.NewContinueAsNewError(ctx, ProvisionOrder, r.ordered)
		}
		if err := waitOrSignal(ctx, left, "Look for an account again", stock); err != nil {
			return nil, err
		}
	}
}

// jitter spreads the looks of orders that began to wait together, over a quarter of lastLook. The same order always has the same
// jitter, because a replay needs it.
func (r *orderRun) jitter() time.Duration {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(r.order.String())) // never fails
	return time.Duration(hash.Sum32()%uint32(lastLook/4/time.Second)) * time.Second
}
