package api

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	updatepb "go.temporal.io/api/update/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/protobuf/proto"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
	"quartermaster/workflows"
)

// UpdateWorkflowExecution answers as the frontend does: with the outcome, or, when the worker is slow, with no more than
// that the update was accepted, or not at all.
func (f *frontend) UpdateWorkflowExecution(ctx context.Context, r *workflowservice.UpdateWorkflowExecutionRequest) (*workflowservice.UpdateWorkflowExecutionResponse, error) {
	if f.idle {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		return nil, serviceerror.ToStatus(f.fail).Err()
	}
	if _, ok := f.started[r.WorkflowExecution.WorkflowId]; !ok {
		return nil, serviceerror.ToStatus(serviceerror.NewNotFound("workflow execution already completed")).Err()
	}
	f.updates = append(f.updates, r)
	answer := &workflowservice.UpdateWorkflowExecutionResponse{
		UpdateRef: &updatepb.UpdateRef{
			WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: r.WorkflowExecution.WorkflowId, RunId: "run-1"},
			UpdateId:          r.Request.Meta.UpdateId,
		},
		Stage:   enumspb.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_COMPLETED,
		Outcome: f.outcome,
	}
	if f.lazy {
		answer.Stage, answer.Outcome = enumspb.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ACCEPTED, nil
	}
	return answer, nil
}

// PollWorkflowExecutionUpdate has the outcome of an update that was only accepted.
func (f *frontend) PollWorkflowExecutionUpdate(_ context.Context, r *workflowservice.PollWorkflowExecutionUpdateRequest) (*workflowservice.PollWorkflowExecutionUpdateResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return &workflowservice.PollWorkflowExecutionUpdateResponse{
		UpdateRef: r.UpdateRef, Stage: enumspb.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_COMPLETED, Outcome: f.outcome,
	}, nil
}

// refuse makes every update fail with the error, sealed as the worker seals it.
func (f *frontend) refuse(err error) {
	f.outcome = &updatepb.Outcome{Value: &updatepb.Outcome_Failure{Failure: f.failures.ErrorToFailure(err)}}
}

// refusalOf is the error of a workflow's validator.
func refusalOf(f provision.Failure) error {
	return temporal.NewApplicationErrorWithOptions(f.Error(), string(f.Code), temporal.ApplicationErrorOptions{NonRetryable: true, Details: []any{f}})
}

// setupRunning has the workflow of order acme/MP-1 running, and taking every update.
func setupRunning(t *testing.T) (*frontend, Workflows) {
	f, temporal := setupTemporal(t)
	_, _, _, err := temporal.StartOrder(t.Context(), orderFixture(), []byte("hash"))
	require.NoError(t, err)
	f.outcome = &updatepb.Outcome{Value: &updatepb.Outcome_Success{}}
	return f, temporal
}

var because = provision.Action{Actor: "key k1", Reason: "Anna Berg called"}

func TestUpdatesReachTheWorkflowSealed(t *testing.T) {
	t.Parallel()
	for _, lazy := range []bool{false, true} {
		f, temporal := setupRunning(t)
		f.lazy = lazy
		alias := "berg-eu"
		require.NoError(t, temporal.Correct(t.Context(), orderFixture().OrderKey, provision.Correction{AccountAlias: &alias}, because))
		for _, verb := range verbs {
			require.NoError(t, temporal.Act(t.Context(), orderFixture().OrderKey, verb, because))
		}
		require.Len(t, f.updates, 1+len(verbs))
		ids := map[string]bool{}
		for i, name := range append([]string{"correct"}, verbs...) {
			r := f.updates[i]
			require.Equal(t, "order/acme/MP-1", r.WorkflowExecution.WorkflowId)
			require.Equal(t, name, r.Request.Input.Name)
			require.Equal(t, enumspb.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_COMPLETED, r.WaitPolicy.LifecycleStage)
			ids[r.Request.Meta.UpdateId] = true
			wire, err := proto.Marshal(r)
			require.NoError(t, err)
			for _, never := range []string{"Anna Berg", "berg-eu", "called"} {
				require.NotContains(t, string(wire), never)
			}
		}
		require.Len(t, ids, len(f.updates), "each has an id of its own, so that none is taken for another's repeat")

		var correction workflows.Correction
		require.NoError(t, f.data.FromPayloads(f.updates[0].Request.Input.Args, &correction))
		require.Equal(t, workflows.Correction{Fields: provision.Correction{AccountAlias: &alias}, By: because}, correction)
		var action provision.Action
		require.NoError(t, f.data.FromPayloads(f.updates[1].Request.Input.Args, &action))
		require.Equal(t, because, action)
	}
}

func TestRefusalsOfTheWorkflowComeBackWhole(t *testing.T) {
	t.Parallel()
	for _, want := range []provision.Failure{
		{Code: provision.CodeNotAsked, Field: "iam_user_name", Reason: "the order asks for aws_account_alias only"},
		{Code: provision.CodeTooLate, Reason: "the order is being undone already"},
		{Code: provision.CodeInputRefused, Field: "aws_account_alias", Reason: `"Anna--Berg" is not an account alias`},
	} {
		for _, lazy := range []bool{false, true} {
			f, temporal := setupRunning(t)
			f.lazy = lazy
			f.refuse(refusalOf(want))
			var got *provision.Failure
			require.ErrorAs(t, temporal.Act(t.Context(), orderFixture().OrderKey, workflows.UpdateCancel, because), &got)
			require.Equal(t, want, *got)
			require.ErrorAs(t, temporal.Correct(t.Context(), orderFixture().OrderKey, provision.Correction{}, because), &got)
			require.Equal(t, want, *got)
		}
	}
}

func TestAClosedWorkflowIsTooLate(t *testing.T) {
	t.Parallel()
	_, temporal := setupTemporal(t)
	var got *provision.Failure
	require.ErrorAs(t, temporal.Act(t.Context(), orderFixture().OrderKey, workflows.UpdateFail, because), &got)
	require.Equal(t, provision.Failure{Code: provision.CodeTooLate, Reason: `the work on order "MP-1" is over: read it to see how it ended`}, *got)
}

func TestUpdatesWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*frontend){
		"no worker":             func(f *frontend) { f.idle = true },
		"unavailable":           func(f *frontend) { f.fail = serviceerror.NewUnavailable("no") },
		"a failing worker":      func(f *frontend) { f.fail = serviceerror.NewWorkflowNotReady("workflow task failed") },
		"terminated meanwhile":  func(f *frontend) { f.refuse(temporal.NewApplicationError("closed", acceptedThenClosed)) },
		"left by the worker":    func(f *frontend) { f.refuse(temporal.NewApplicationError("left", notProcessed)) },
		"cancelled in Temporal": func(f *frontend) { f.refuse(temporal.NewCanceledError()) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, temporal := setupRunning(t)
			spoil(f)
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond) // the SDK repeats until then
			defer cancel()
			require.ErrorIs(t, temporal.Act(ctx, orderFixture().OrderKey, workflows.UpdateCancel, because), ErrUnavailable)
		})
	}
	for name, spoil := range map[string]func(*frontend){
		"not allowed":    func(f *frontend) { f.fail = serviceerror.NewPermissionDenied("no", "") },
		"an old worker":  func(f *frontend) { f.refuse(errors.New("unknown update cancel")) },
		"a foreign type": func(f *frontend) { f.refuse(temporal.NewApplicationError("x", string(provision.CodeTooLate))) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, temporal := setupRunning(t)
			spoil(f)
			err := temporal.Act(t.Context(), orderFixture().OrderKey, workflows.UpdateCancel, because)
			require.ErrorContains(t, err, `update "cancel" of order acme/MP-1`)
			require.NotErrorIs(t, err, ErrUnavailable, "a fault of ours does not go away by repeating")
			var failure *provision.Failure
			require.NotErrorAs(t, err, &failure)
		})
	}
}

// A worker that does not answer must not take all the time of the request: its problem is to be written, too.
func TestAnUpdateLeavesTimeToAnswer(t *testing.T) {
	t.Parallel()
	deadline := make(chan time.Duration, 1)
	c := deadlineClient{asked: deadline}
	require.ErrorIs(t, NewWorkflows(c).Act(t.Context(), orderFixture().OrderKey, workflows.UpdateCancel, because), ErrUnavailable)
	left := <-deadline
	require.Positive(t, left)
	require.LessOrEqual(t, left, requestTimeout-5*time.Second)
}

// deadlineClient tells how long an update may take, and lets it time out.
type deadlineClient struct {
	client.Client
	asked chan<- time.Duration
}

func (c deadlineClient) UpdateWorkflow(ctx context.Context, _ client.UpdateWorkflowOptions) (client.WorkflowUpdateHandle, error) {
	deadline, _ := ctx.Deadline()
	c.asked <- time.Until(deadline)
	return nil, client.NewWorkflowUpdateServiceTimeoutOrCanceledError(context.DeadlineExceeded)
}

// From the HTTP request to the wire of Temporal and back.
func TestVerbsOverHTTPAndTemporal(t *testing.T) {
	t.Parallel()
	f, temporal := setupRunning(t)
	w := setup(t, func(c *Config) { c.Workflows = temporal })
	w.orderIn(provision.ActionRequired, "use_existing_cur")
	read[openapi.Order](t, w.patch("/v1/orders/MP-1", map[string]any{"use_existing_cur": nil}), http.StatusOK)
	var correction workflows.Correction
	require.NoError(t, f.data.FromPayloads(f.updates[0].Request.Input.Args, &correction))
	require.Empty(t, *correction.Fields.UseExistingCUR, "null arrives as: a new report")
	require.Equal(t, f.updates[0].Request.Meta.UpdateId, correction.By.ID, "the workflow writes it down under the id of the update")
	correction.By.ID = ""
	require.Equal(t, provision.Action{Actor: "key " + w.keyID()}, correction.By)
	for _, verb := range verbs {
		read[openapi.Order](t, w.post("/v1/orders/MP-1/"+verb, said(verb, "because")), http.StatusAccepted)
	}
	require.Len(t, f.updates, 1+len(verbs))

	f.refuse(refusalOf(provision.Failure{Code: provision.CodeNotAsked, Field: "iam_user_name", Reason: "the order asks for use_existing_cur only"}))
	p := readProblem(t, w.patch("/v1/orders/MP-1", map[string]any{"iam_user_name": "anna"}), http.StatusConflict, provision.CodeNotAsked)
	require.Equal(t, map[string]string{"iam_user_name": "the order asks for use_existing_cur only"}, fieldsOf(p))
	f.refuse(refusalOf(provision.Failure{Code: provision.CodeTooLate, Reason: "the order is being undone already"}))
	readProblem(t, w.post("/v1/orders/MP-1/cancel", ""), http.StatusConflict, provision.CodeTooLate)
	clear(f.started)
	readProblem(t, w.post("/v1/orders/MP-1/fail", map[string]any{"reason": "because"}), http.StatusConflict, provision.CodeTooLate)

	sent := len(f.updates)
	readProblem(t, w.send(w.otherKey, http.MethodPost, "/v1/orders/MP-1/cancel", ""), http.StatusNotFound, codeNotFound)
	require.Len(t, f.updates, sent, "nothing was sent about another provider's order")
	require.False(t, bytes.Contains([]byte(w.log.String()), []byte("because")))
}
