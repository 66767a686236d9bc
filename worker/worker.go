package worker

import (
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"quartermaster/activities"
	"quartermaster/workflows"
)

// stopTimeout is how long running activities may take to end when the worker stops. Then their contexts are cancelled, and another
// worker repeats them.
const stopTimeout = 30 * time.Second

const (
	// pollers is how many calls wait for workflow tasks, and how many for activities. With the SDK's two of each, a busy worker
	// polls slower than Temporal hands out tasks: ten raised the throughput by 14 to 29 percent.
	pollers = 10
	// parallelSteps is how many steps of an order run in parallel. Temporal hands all of them to the worker that asked for them, with
	// its answer to the workflow task.
	parallelSteps = 4
)

// Options returns the options of a worker.
func Options(c client.Client, onFatal func(error)) worker.Options {
	eager := parallelSteps
	return worker.Options{
		WorkerStopTimeout:                           stopTimeout,
		OnFatalError:                                onFatal,
		MaxConcurrentWorkflowTaskPollers:            pollers,
		MaxConcurrentActivityTaskPollers:            pollers,
		MaxEagerActivityReservationsPerWorkflowTask: &eager,
		Interceptors:                                []interceptor.WorkerInterceptor{&activities.Heartbeats{Client: c}, activities.NewOutages()},
	}
}

// New returns a worker that runs everything. It calls onFatal with an error after which it cannot go on.
func New(c client.Client, acts *activities.Activities, onFatal func(error)) worker.Worker {
	w := worker.New(c, workflows.TaskQueue, Options(c, onFatal))
	Register(w, acts)
	return w
}

// Register registers every workflow and every activity with a worker or a test environment.
func Register(r worker.Registry, acts *activities.Activities) {
	RegisterWorkflows(r)
	r.RegisterActivity(acts)
}

// RegisterWorkflows registers every workflow with a worker or a replayer.
func RegisterWorkflows(r worker.WorkflowRegistry) {
	r.RegisterWorkflowWithOptions(workflows.ProvisionOrder, workflow.RegisterOptions{Name: workflows.ProvisionOrderName})
	r.RegisterWorkflowWithOptions(workflows.RemoveLeftovers, workflow.RegisterOptions{Name: workflows.RemoveLeftoversName})
	r.RegisterWorkflowWithOptions(workflows.IssuePassword, workflow.RegisterOptions{Name: workflows.IssuePasswordName})
	r.RegisterWorkflowWithOptions(workflows.ImportAccounts, workflow.RegisterOptions{Name: workflows.ImportAccountsName})
	r.RegisterWorkflowWithOptions(workflows.RunBatch, workflow.RegisterOptions{Name: workflows.RunBatchName})
	r.RegisterWorkflowWithOptions(workflows.VerifyAccounts, workflow.RegisterOptions{Name: workflows.VerifyAccountsName})
	r.RegisterWorkflowWithOptions(workflows.WatchStock, workflow.RegisterOptions{Name: workflows.WatchStockName})
	r.RegisterWorkflowWithOptions(workflows.Reconcile, workflow.RegisterOptions{Name: workflows.ReconcileName})
	r.RegisterWorkflowWithOptions(workflows.DeliverWebhooks, workflow.RegisterOptions{Name: workflows.DeliverWebhooksName})
	r.RegisterWorkflowWithOptions(workflows.SweepWebhooks, workflow.RegisterOptions{Name: workflows.SweepWebhooksName})
}

// Run runs a worker until interrupted is closed or the worker fails.
func Run(c client.Client, acts *activities.Activities, interrupted <-chan any) error {
	failed := make(chan error, 1)
	w := New(c, acts, func(err error) { failed <- err })
	if err := w.Start(); err != nil {
		return err
	}
	defer w.Stop()
	select {
	case <-interrupted:
		return nil
	case err := <-failed:
		return err
	}
}
