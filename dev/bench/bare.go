package bench

import (
	"context"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"quartermaster/dev/stack"
)

// Names in Temporal of what an order is compared with.
const (
	bareQueue    = "bare"
	bare8        = "Bare8"
	bareNothing  = "BareNothing"
	bareActivity = "Nothing"
	bareSteps    = 8
)

// Bare8 runs eight activities that do nothing, one after the other.
func Bare8(ctx workflow.Context) error {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
	for range bareSteps {
		if err := workflow.ExecuteActivity(ctx, bareActivity).Get(ctx, nil); err != nil {
			return err
		}
	}
	return nil
}

// BareWorker runs the worker of Bare8 on the Temporal at address until ctx ends. It seals nothing.
func BareWorker(ctx context.Context, address string) error {
	c, err := client.DialContext(ctx, client.Options{HostPort: address, Logger: stack.Quiet()})
	if err != nil {
		return err
	}
	defer c.Close()
	w := worker.New(c, bareQueue, worker.Options{})
	w.RegisterWorkflowWithOptions(Bare8, workflow.RegisterOptions{Name: bare8})
	w.RegisterWorkflowWithOptions(func(workflow.Context) error { return nil }, workflow.RegisterOptions{Name: bareNothing})
	w.RegisterActivityWithOptions(func(context.Context) error { return nil }, activity.RegisterOptions{Name: bareActivity})
	if err := w.Start(); err != nil {
		return err
	}
	defer w.Stop()
	<-ctx.Done()
	return nil
}
