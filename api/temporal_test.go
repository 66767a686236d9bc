package api

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	updatepb "go.temporal.io/api/update/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
	"quartermaster/internal/secrets"
	"quartermaster/workflows"
)

// frontend is a Temporal frontend on the loopback that knows starts, descriptions, signals and updates, and refuses a
// second workflow of an id as Temporal does.
type frontend struct {
	workflowservice.UnimplementedWorkflowServiceServer
	mu        sync.Mutex
	fail      error
	forgetful bool // describes nothing
	started   map[string]*workflowservice.StartWorkflowExecutionRequest
	signals   []*workflowservice.SignalWorkflowExecutionRequest
	updates   []*workflowservice.UpdateWorkflowExecutionRequest
	outcome   *updatepb.Outcome // of every update
	lazy      bool              // an update is only accepted; its outcome must be polled for
	idle      bool              // no worker answers updates
	data      converter.DataConverter
	failures  converter.FailureConverter
}

func (f *frontend) GetSystemInfo(context.Context, *workflowservice.GetSystemInfoRequest) (*workflowservice.GetSystemInfoResponse, error) {
	return &workflowservice.GetSystemInfoResponse{Capabilities: &workflowservice.GetSystemInfoResponse_Capabilities{}}, nil
}

func (f *frontend) StartWorkflowExecution(_ context.Context, r *workflowservice.StartWorkflowExecutionRequest) (*workflowservice.StartWorkflowExecutionResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		return nil, serviceerror.ToStatus(f.fail).Err()
	}
	if before, ok := f.started[r.WorkflowId]; ok {
		return nil, serviceerror.ToStatus(serviceerror.NewWorkflowExecutionAlreadyStarted("started", before.RequestId, "run-1")).Err()
	}
	f.started[r.WorkflowId] = r
	return &workflowservice.StartWorkflowExecutionResponse{RunId: "run-1", Started: true}, nil
}

func (f *frontend) DescribeWorkflowExecution(_ context.Context, r *workflowservice.DescribeWorkflowExecutionRequest) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	start, ok := f.started[r.Execution.WorkflowId]
	if f.fail != nil || f.forgetful || !ok {
		if f.fail != nil {
			return nil, serviceerror.ToStatus(f.fail).Err()
		}
		return nil, serviceerror.ToStatus(serviceerror.NewNotFound("workflow not found")).Err()
	}
	return &workflowservice.DescribeWorkflowExecutionResponse{WorkflowExecutionInfo: &workflowpb.WorkflowExecutionInfo{
		Execution: &commonpb.WorkflowExecution{WorkflowId: start.WorkflowId, RunId: "run-1"}, Type: start.WorkflowType, Memo: start.Memo, SearchAttributes: start.SearchAttributes,
	}}, nil
}

func (f *frontend) SignalWorkflowExecution(_ context.Context, r *workflowservice.SignalWorkflowExecutionRequest) (*workflowservice.SignalWorkflowExecutionResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.started[r.WorkflowExecution.WorkflowId]; !ok {
		return nil, serviceerror.ToStatus(serviceerror.NewNotFound("workflow not found")).Err()
	}
	if f.fail != nil {
		return nil, serviceerror.ToStatus(f.fail).Err()
	}
	f.signals = append(f.signals, r)
	return &workflowservice.SignalWorkflowExecutionResponse{}, nil
}

func setupTemporal(t *testing.T) (*frontend, Workflows) {
	f := &frontend{started: map[string]*workflowservice.StartWorkflowExecutionRequest{}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	grpcServer := grpc.NewServer()
	workflowservice.RegisterWorkflowServiceServer(grpcServer, f)
	go func() { _ = grpcServer.Serve(listener) }()
	t.Cleanup(grpcServer.Stop)
	ring, err := secrets.NewRing(secrets.Key{ID: "k1", Secret: bytes.Repeat([]byte{7}, secrets.KeySize)})
	require.NoError(t, err)
	f.data, f.failures = secrets.Converters(ring)
	c, err := client.Dial(client.Options{HostPort: listener.Addr().String(), DataConverter: f.data, FailureConverter: f.failures})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return f, NewWorkflows(c)
}

// What was sealed with a key that this process does not have is not there for it yet: no fault, and no answer.
func TestWhatAnotherKeySealedIsUnavailable(t *testing.T) {
	t.Parallel()
	f, temporal := setupTemporal(t)
	_, _, _, err := temporal.StartOrder(t.Context(), orderFixture(), []byte("hash"))
	require.NoError(t, err)
	_, err = temporal.OrderNotYetStored(t.Context(), orderFixture().OrderKey)
	require.NoError(t, err)

	data, failures := secrets.Converters(ringOf(t, secrets.GenerateKey("k2")))
	start := f.started[workflows.OrderWorkflowID(orderFixture().OrderKey)]
	start.Memo.Fields[workflows.MemoOrder], err = data.ToPayload(orderFixture())
	require.NoError(t, err)
	_, err = temporal.OrderNotYetStored(t.Context(), orderFixture().OrderKey)
	require.ErrorIs(t, err, ErrUnavailable)
	require.ErrorIs(t, err, secrets.ErrUnknownKey)
	_, _, _, err = temporal.StartOrder(t.Context(), orderFixture(), []byte("hash"))
	require.ErrorIs(t, err, ErrUnavailable, "it is not known what was placed under this id")

	f.failures = failures // of the worker that answers
	f.refuse(refusalOf(provision.Failure{Code: provision.CodeTooLate, Reason: "too late"}))
	require.ErrorIs(t, temporal.Act(t.Context(), orderFixture().OrderKey, workflows.UpdateCancel, because), ErrUnavailable)
}

func orderFixture() provision.Order {
	request := requestFixture()
	request.AccountModel = provision.ModelECAM
	return provision.Order{OrderKey: provision.OrderKey{Provider: "acme", ID: "MP-1"}, Request: request, AcceptedAt: now}
}

func TestStartingAnOrder(t *testing.T) {
	t.Parallel()
	f, temporal := setupTemporal(t)
	order := orderFixture()
	started, existing, _, err := temporal.StartOrder(t.Context(), order, []byte("hash"))
	require.NoError(t, err)
	require.True(t, started)
	require.Nil(t, existing)

	r := f.started["order/acme/MP-1"]
	require.NotNil(t, r)
	require.Equal(t, workflows.ProvisionOrderName, r.WorkflowType.Name)
	require.Equal(t, workflows.TaskQueue, r.TaskQueue.Name)
	require.Equal(t, enumspb.WORKFLOW_ID_CONFLICT_POLICY_FAIL, r.WorkflowIdConflictPolicy)
	require.Equal(t, enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE, r.WorkflowIdReusePolicy)
	require.Equal(t, "acme", r.Priority.FairnessKey)
	require.Zero(t, r.WorkflowExecutionTimeout.AsDuration(), "a workflow that is timed out undoes nothing")
	attributes := map[string]string{}
	for name, payload := range r.SearchAttributes.IndexedFields {
		var v string
		require.NoError(t, converter.GetDefaultDataConverter().FromPayload(payload, &v))
		attributes[name] = v
	}
	require.Equal(t, map[string]string{"OrderID": "MP-1", "Provider": "acme", "Marketplace": "nordic", "Model": "ECAM", "Step": "accepted"}, attributes)

	// Nothing of the customer's leaves in clear: not in the input, the memo, or what the Web UI shows.
	wire, err := proto.Marshal(r)
	require.NoError(t, err)
	for _, never := range []string{"Anna Berg", "anna.berg", "berg-logistics"} {
		require.NotContains(t, string(wire), never)
	}
	require.Equal(t, "binary/encrypted", string(r.UserMetadata.Summary.Metadata["encoding"]))
}

func TestStartingAnOrderAgain(t *testing.T) {
	t.Parallel()
	f, temporal := setupTemporal(t)
	order := orderFixture()
	_, _, _, err := temporal.StartOrder(t.Context(), order, []byte("hash"))
	require.NoError(t, err)
	later := order
	later.AcceptedAt = now.Add(time.Hour)
	started, existing, hash, err := temporal.StartOrder(t.Context(), later, []byte("other"))
	require.NoError(t, err)
	require.False(t, started)
	require.Equal(t, order, *existing, "the first one, with its time")
	require.Equal(t, []byte("hash"), hash)

	read, err := temporal.OrderNotYetStored(t.Context(), order.OrderKey)
	require.NoError(t, err)
	require.Equal(t, order, *read)
	_, err = temporal.OrderNotYetStored(t.Context(), provision.OrderKey{Provider: "globex", ID: "MP-1"})
	require.ErrorIs(t, err, provision.ErrNotFound)

	f.forgetful = true // deleted between the refusal and the look at it
	_, _, _, err = temporal.StartOrder(t.Context(), order, []byte("hash"))
	require.ErrorIs(t, err, ErrUnavailable)
}

func TestFiftyIdenticalOrdersAtOnceAreOneWorkflow(t *testing.T) {
	t.Parallel()
	f, temporal := setupTemporal(t)
	w := setup(t, func(c *Config) { c.Workflows = temporal })
	statuses := make(chan int, 50)
	var done sync.WaitGroup
	for range 50 {
		done.Go(func() { statuses <- w.post("/v1/orders", orderForm("MP-50")).Code })
	}
	done.Wait()
	close(statuses)
	counts := map[int]int{}
	for status := range statuses {
		counts[status]++
	}
	require.Equal(t, map[int]int{http.StatusAccepted: 1, http.StatusOK: 49}, counts)
	require.Len(t, f.started, 1)
	readProblem(t, w.post("/v1/orders", orderForm("MP-50", map[string]any{"aws_account_alias": "other"})), http.StatusConflict, provision.CodeOrderIDReused)
	require.Equal(t, provision.Accepted, read[openapi.Order](t, w.get("/v1/orders/MP-50"), http.StatusOK).State)
}

func TestTemporalIsDown(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]error{
		"unavailable": serviceerror.NewUnavailable("no"),
		"busy":        &serviceerror.ResourceExhausted{Cause: enumspb.RESOURCE_EXHAUSTED_CAUSE_RPS_LIMIT, Message: "slow down"},
		"too late":    serviceerror.NewDeadlineExceeded("late"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, temporal := setupTemporal(t)
			f.fail = fail
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond) // the SDK repeats until then
			defer cancel()
			_, _, _, err := temporal.StartOrder(ctx, orderFixture(), []byte("hash"))
			require.ErrorIs(t, err, ErrUnavailable)
			_, err = temporal.OrderNotYetStored(ctx, orderFixture().OrderKey)
			require.ErrorIs(t, err, ErrUnavailable)
		})
	}
	f, temporal := setupTemporal(t)
	f.fail = serviceerror.NewPermissionDenied("no", "")
	_, _, _, err := temporal.StartOrder(t.Context(), orderFixture(), []byte("hash"))
	require.Error(t, err)
	require.NotErrorIs(t, err, ErrUnavailable, "a fault of ours does not go away by repeating")
}

// What Temporal answers as long as its namespace is not set up, or is moved, is no fault of the caller and none that a repeat does not mend.
func TestANamespaceThatIsNotReadyIsUnavailable(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]error{
		"missing":                      serviceerror.NewNamespaceNotFound("shop"),
		"without a search attribute":   serviceerror.NewInvalidArgument("Namespace shop has no mapping defined for search attribute OrderID"),
		"search attribute not defined": serviceerror.NewInvalidArgument("search attribute OrderID is not defined"),
		"in handover":                  serviceerror.NewNamespaceUnavailable("shop"),
		"in another state":             serviceerror.NewNamespaceInvalidState("shop", enumspb.NAMESPACE_STATE_UNSPECIFIED, []enumspb.NamespaceState{enumspb.NAMESPACE_STATE_REGISTERED}),
		"active elsewhere":             serviceerror.NewNamespaceNotActive("shop", "here", "there"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, temporal := setupTemporal(t)
			f.fail = fail
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond) // the SDK repeats some of them until then
			defer cancel()
			key := orderFixture().OrderKey
			_, _, _, err := temporal.StartOrder(ctx, orderFixture(), []byte("hash"))
			require.ErrorIs(t, err, ErrUnavailable)
			_, err = temporal.OrderNotYetStored(ctx, key)
			require.ErrorIs(t, err, ErrUnavailable)
			require.ErrorIs(t, temporal.Act(ctx, key, workflows.UpdateCancel, because), ErrUnavailable)
			require.ErrorIs(t, temporal.StartImport(ctx, provision.ImportKey{Provider: "acme", ID: "one"}), ErrUnavailable)
		})
	}
	f, temporal := setupTemporal(t)
	w := setup(t, func(c *Config) { c.Workflows = temporal })
	f.fail = serviceerror.NewNamespaceNotFound("shop")
	answer := w.post("/v1/orders", orderForm("MP-1"))
	readProblem(t, answer, http.StatusServiceUnavailable, codeUnavailable)
	require.NotEmpty(t, answer.Header().Get("Retry-After"))
	readProblem(t, w.get("/v1/orders/MP-1"), http.StatusServiceUnavailable, codeUnavailable)
	f.fail = nil
	require.Equal(t, http.StatusAccepted, w.post("/v1/orders", orderForm("MP-1")).Code)

	f.fail = serviceerror.NewInvalidArgument("the workflow's id is too long")
	_, _, _, err := temporal.StartOrder(t.Context(), orderFixture(), []byte("hash"))
	require.NotErrorIs(t, err, ErrUnavailable, "a fault of ours does not go away by repeating")
}

func TestWakingOrders(t *testing.T) {
	t.Parallel()
	f, temporal := setupTemporal(t)
	order := orderFixture()
	_, _, _, err := temporal.StartOrder(t.Context(), order, []byte("hash"))
	require.NoError(t, err)
	gone := provision.OrderKey{Provider: "acme", ID: "gone"}
	require.NoError(t, temporal.WakeOrders(t.Context(), []provision.OrderKey{gone, order.OrderKey}), "one that has ended needs no waking")
	require.Len(t, f.signals, 1)
	require.Equal(t, "order/acme/MP-1", f.signals[0].WorkflowExecution.WorkflowId)
	require.Equal(t, workflows.SignalStock, f.signals[0].SignalName)

	f.fail = serviceerror.NewPermissionDenied("no", "")
	require.ErrorContains(t, temporal.WakeOrders(t.Context(), []provision.OrderKey{order.OrderKey}), fmt.Sprintf("waking order %s", order.OrderKey))
}

func TestStartingAnImport(t *testing.T) {
	t.Parallel()
	f, temporal := setupTemporal(t)
	key := provision.ImportKey{Provider: "acme", ID: "6f0a9a0e-5f0c-4a43-9a53-0d5b0b7d3c11"}
	require.Error(t, temporal.ImportKept(t.Context(), key), "there is none yet")
	require.NoError(t, temporal.StartImport(t.Context(), key))
	id := "import/acme/" + key.ID
	require.Equal(t, workflows.ImportAccountsName, f.started[id].WorkflowType.Name)
	require.Equal(t, workflows.TaskQueue, f.started[id].TaskQueue.Name)
	require.NoError(t, temporal.ImportKept(t.Context(), key))
	require.Equal(t, id, f.signals[0].WorkflowExecution.WorkflowId)
	require.Equal(t, workflows.SignalImportKept, f.signals[0].SignalName)

	f.fail = serviceerror.NewUnavailable("no")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, temporal.StartImport(ctx, provision.ImportKey{Provider: "acme", ID: "other"}), ErrUnavailable)
}
