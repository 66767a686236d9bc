package control

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	updatepb "go.temporal.io/api/update/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/protobuf/proto"

	"quartermaster/internal/provision"
	"quartermaster/workflows"
)

// refuse makes every update fail with the error, sealed as the worker seals it.
func (f *frontend) refuse(err error) {
	f.Outcome = &updatepb.Outcome{Value: &updatepb.Outcome_Failure{Failure: f.failures.ErrorToFailure(err)}}
}

// refusalOf is the error of a workflow's validator.
func refusalOf(f provision.Failure) error {
	return temporal.NewApplicationErrorWithOptions(f.Error(), string(f.Code), temporal.ApplicationErrorOptions{NonRetryable: true,
		Details: []any{f}})
}

// setupRunning has the workflow of order acme/MP-1 running, and taking every update.
func setupRunning(t *testing.T) (*frontend, *Temporal) {
	f, temporal := setupOrders(t)
	_, _, _, err := temporal.StartOrder(t.Context(), orderFixture(), []byte("hash"))
	require.NoError(t, err)
	f.Outcome = &updatepb.Outcome{Value: &updatepb.Outcome_Success{}}
	return f, temporal
}

// verbs are the updates that carry nothing but a reason.
var verbs = []string{workflows.UpdateCancel, workflows.UpdateRetry, workflows.UpdateFail, workflows.UpdateSwap}

var because = provision.Intervention{Actor: "key k1", Reason: "Anna Berg called"}

func TestUpdatesReachTheWorkflowSealed(t *testing.T) {
	t.Parallel()
	for _, lazy := range []bool{false, true} {
		f, temporal := setupRunning(t)
		f.Accepts = lazy
		alias := "berg-eu"
		require.NoError(t, temporal.Correct(t.Context(), orderFixture().OrderKey, provision.Correction{AccountAlias: &alias}, because))
		for _, verb := range verbs {
			require.NoError(t, temporal.Act(t.Context(), orderFixture().OrderKey, verb, because))
		}
		require.Len(t, f.Updates, 1+len(verbs))
		ids := map[string]bool{}
		for i, name := range append([]string{"correct"}, verbs...) {
			r := f.Updates[i]
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
		require.Len(t, ids, len(f.Updates), "each has an id of its own, so that none is taken for another's repeat")

		var correction workflows.Correction
		require.NoError(t, f.data.FromPayloads(f.Updates[0].Request.Input.Args, &correction))
		require.Equal(t, workflows.Correction{Fields: provision.Correction{AccountAlias: &alias}, By: because}, correction)
		var action provision.Intervention
		require.NoError(t, f.data.FromPayloads(f.Updates[1].Request.Input.Args, &action))
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
			f.Accepts = lazy
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
	_, temporal := setupOrders(t)
	var got *provision.Failure
	require.ErrorAs(t, temporal.Act(t.Context(), orderFixture().OrderKey, workflows.UpdateFail, because), &got)
	require.Equal(t, provision.Failure{Code: provision.CodeTooLate,
		Reason: `the work on order "MP-1" is over: read it to see how it ended`}, *got)
}

func TestUpdatesWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*frontend){
		"no worker":             func(f *frontend) { f.NoWorker = true },
		"unavailable":           func(f *frontend) { f.Fail = serviceerror.NewUnavailable("no") },
		"a failing worker":      func(f *frontend) { f.Fail = serviceerror.NewWorkflowNotReady("workflow task failed") },
		"terminated in between": func(f *frontend) { f.refuse(temporal.NewApplicationError("closed", acceptedThenClosed)) },
		"left by the worker":    func(f *frontend) { f.refuse(temporal.NewApplicationError("left", notProcessed)) },
		"cancelled in Temporal": func(f *frontend) { f.refuse(temporal.NewCanceledError()) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, temporal := setupRunning(t)
			spoil(f)
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond) // the SDK repeats until then
			defer cancel()
			require.ErrorIs(t, temporal.Act(ctx, orderFixture().OrderKey, workflows.UpdateCancel, because), provision.ErrUnavailable)
		})
	}
	for name, spoil := range map[string]func(*frontend){
		"not allowed":    func(f *frontend) { f.Fail = serviceerror.NewPermissionDenied("no", "") },
		"an old worker":  func(f *frontend) { f.refuse(errors.New("unknown update cancel")) },
		"a foreign type": func(f *frontend) { f.refuse(temporal.NewApplicationError("x", string(provision.CodeTooLate))) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, temporal := setupRunning(t)
			spoil(f)
			err := temporal.Act(t.Context(), orderFixture().OrderKey, workflows.UpdateCancel, because)
			require.ErrorContains(t, err, `update "cancel" of order acme/MP-1`)
			require.NotErrorIs(t, err, provision.ErrUnavailable, "an error on our side does not go away by repeating the call")
			var failure *provision.Failure
			require.NotErrorAs(t, err, &failure)
		})
	}
}

// A worker that does not answer must not take all the time of the request: the API still has to write its problem.
func TestAnUpdateLeavesTimeToAnswer(t *testing.T) {
	t.Parallel()
	deadline := make(chan time.Duration, 1)
	c := deadlineClient{asked: deadline}
	require.ErrorIs(t, New(c, client.Options{}).Act(t.Context(), orderFixture().OrderKey, workflows.UpdateCancel, because),
		provision.ErrUnavailable)
	left := <-deadline
	require.Positive(t, left)
	require.LessOrEqual(t, left, UpdateTimeout)
}

// deadlineClient records how long an update may take, and lets it time out.
type deadlineClient struct {
	client.Client
	asked chan<- time.Duration
}

func (c deadlineClient) UpdateWorkflow(ctx context.Context, _ client.UpdateWorkflowOptions) (client.WorkflowUpdateHandle, error) {
	deadline, _ := ctx.Deadline()
	c.asked <- time.Until(deadline)
	return nil, client.NewWorkflowUpdateServiceTimeoutOrCanceledError(context.DeadlineExceeded)
}
