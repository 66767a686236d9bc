package control

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/proto"

	"quartermaster/internal/provision"
	"quartermaster/internal/secrets"
	"quartermaster/workflows"
	"quartermaster/workflows/control/controltest"
)

// frontend is a frontend and the converters with which its client and its worker seal.
type frontend struct {
	*controltest.Frontend
	data     converter.DataConverter
	failures converter.FailureConverter
}

// setupOrders returns a frontend without workflows, and its namespace with a client that seals.
func setupOrders(t *testing.T) (*frontend, *Temporal) {
	t.Helper()
	served, address := controltest.Serve(t)
	f := &frontend{Frontend: served}
	f.data, f.failures = secrets.Converters(ringOf(t, secrets.GenerateKey("k1")))
	options := client.Options{HostPort: address, DataConverter: f.data, FailureConverter: f.failures}
	c, err := client.Dial(options)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return f, New(c, options)
}

func ringOf(t *testing.T, key string) *secrets.Ring {
	t.Helper()
	ring, err := secrets.ParseRing(key)
	require.NoError(t, err)
	return ring
}

// What was sealed with a key that this process does not have is not there for it yet: no fault, and no answer.
func TestWhatAnotherKeySealedIsUnavailable(t *testing.T) {
	t.Parallel()
	f, temporal := setupOrders(t)
	_, _, _, err := temporal.StartOrder(t.Context(), orderFixture(), []byte("hash"))
	require.NoError(t, err)
	_, err = temporal.OrderNotYetStored(t.Context(), provision.Tenant{Provider: "acme"}, orderFixture().ID)
	require.NoError(t, err)

	data, failures := secrets.Converters(ringOf(t, secrets.GenerateKey("k2")))
	start := f.Newest[workflows.OrderWorkflowID(orderFixture().OrderKey)]
	start.Memo.Fields[workflows.MemoOrder], err = data.ToPayload(orderFixture())
	require.NoError(t, err)
	_, err = temporal.OrderNotYetStored(t.Context(), provision.Tenant{Provider: "acme"}, orderFixture().ID)
	require.ErrorIs(t, err, provision.ErrUnavailable)
	require.ErrorIs(t, err, secrets.ErrUnknownKey)
	_, _, _, err = temporal.StartOrder(t.Context(), orderFixture(), []byte("hash"))
	require.ErrorIs(t, err, provision.ErrUnavailable, "it is not known what was placed under this id")

	f.failures = failures // of the worker that answers
	f.refuse(refusalOf(provision.Failure{Code: provision.CodeTooLate, Reason: "too late"}))
	require.ErrorIs(t, temporal.Act(t.Context(), orderFixture().OrderKey, workflows.UpdateCancel, because), provision.ErrUnavailable)
}

func TestTheDetailsOfAnOrdersWorkflowLinkToTheConsole(t *testing.T) {
	t.Parallel()
	order := orderFixture()
	const link = " [Open it in the console](https://aws.provider.example/qm/console/acme/orders/MP-1)."
	require.NotContains(t, startOptions(order, nil, "").StaticDetails, "console", "the URL is not known")
	for _, publicURL := range []string{"https://aws.provider.example/qm", "https://aws.provider.example/qm/"} {
		require.Contains(t, startOptions(order, nil, publicURL).StaticDetails, link)
		require.Contains(t, RestartOptions(order, publicURL).StaticDetails, link)
	}
}

// The details are sealed, as everything is that the workflow gets.
func TestAStartedWorkflowHasTheLink(t *testing.T) {
	t.Parallel()
	f, temporal := setupOrders(t)
	temporal.LinkTo("https://aws.provider.example")
	_, _, _, err := temporal.StartOrder(t.Context(), orderFixture(), []byte("hash"))
	require.NoError(t, err)
	var details string
	sealed := f.Starts[0].GetUserMetadata().GetDetails()
	require.NotContains(t, string(sealed.GetData()), "console")
	require.NoError(t, f.data.FromPayload(sealed, &details))
	require.Contains(t, details, "(https://aws.provider.example/console/acme/orders/MP-1)")
}

func orderFixture() provision.Order {
	return provision.Order{OrderKey: provision.OrderKey{Provider: "acme", ID: "MP-1"}, AcceptedAt: controltest.StartedAt,
		Request: provision.Request{
			Marketplace: "nordic", Environment: provision.Production, OrderMode: provision.OrderModeNewAccount,
			AccountModel: provision.ModelECAM,
			IAMUserName:  "anna.berg", ContactName: "Anna Berg", AccountAlias: "berg-logistics",
		}}
}

func TestStartingAnOrder(t *testing.T) {
	t.Parallel()
	f, temporal := setupOrders(t)
	order := orderFixture()
	started, existing, _, err := temporal.StartOrder(t.Context(), order, []byte("hash"))
	require.NoError(t, err)
	require.True(t, started)
	require.Nil(t, existing)

	require.Len(t, f.Starts, 1)
	r := f.Starts[0]
	require.Equal(t, "order/acme/MP-1", r.WorkflowId)
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
	require.Equal(t, map[string]string{"OrderID": "MP-1", "Provider": "acme", "Marketplace": "nordic", "Model": "ECAM",
		"State": "accepted"}, attributes)

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
	f, temporal := setupOrders(t)
	order := orderFixture()
	_, _, _, err := temporal.StartOrder(t.Context(), order, []byte("hash"))
	require.NoError(t, err)
	later := order
	later.AcceptedAt = order.AcceptedAt.Add(time.Hour)
	started, existing, hash, err := temporal.StartOrder(t.Context(), later, []byte("other"))
	require.NoError(t, err)
	require.False(t, started)
	require.Equal(t, order, *existing, "the first one, with its time")
	require.Equal(t, []byte("hash"), hash)

	read, err := temporal.OrderNotYetStored(t.Context(), order.Tenant(), order.ID)
	require.NoError(t, err)
	require.Equal(t, order, *read)
	for _, foreign := range []provision.Tenant{{Provider: "globex"}, {Provider: "acme", Marketplaces: []string{"south"}}} {
		_, err = temporal.OrderNotYetStored(t.Context(), foreign, "MP-1")
		require.ErrorIs(t, err, provision.ErrNotFound)
	}
	_, err = temporal.OrderNotYetStored(t.Context(), provision.Tenant{Provider: "acme", Marketplaces: []string{"nordic"}}, "MP-1")
	require.NoError(t, err)

	f.Forgets = true // the workflow is deleted after Temporal has refused the start and before it is described
	_, _, _, err = temporal.StartOrder(t.Context(), order, []byte("hash"))
	require.ErrorIs(t, err, provision.ErrUnavailable)
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
			f, temporal := setupOrders(t)
			f.Fail = fail
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond) // the SDK repeats until then
			defer cancel()
			_, _, _, err := temporal.StartOrder(ctx, orderFixture(), []byte("hash"))
			require.ErrorIs(t, err, provision.ErrUnavailable)
			_, err = temporal.OrderNotYetStored(ctx, provision.Tenant{Provider: "acme"}, orderFixture().ID)
			require.ErrorIs(t, err, provision.ErrUnavailable)
		})
	}
	f, temporal := setupOrders(t)
	f.Fail = serviceerror.NewPermissionDenied("no", "")
	_, _, _, err := temporal.StartOrder(t.Context(), orderFixture(), []byte("hash"))
	require.Error(t, err)
	require.NotErrorIs(t, err, provision.ErrUnavailable, "an error on our side does not go away by repeating the call")
}

// What Temporal answers as long as its namespace is not set up, or is moved, is no fault of the caller and none that a
// repeat does not mend.
func TestANamespaceThatIsNotReadyIsUnavailable(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]error{
		"missing": serviceerror.NewNamespaceNotFound("shop"),
		"without a search attribute": serviceerror.NewInvalidArgument(
			"Namespace shop has no mapping defined for search attribute OrderID"),
		"search attribute not defined": serviceerror.NewInvalidArgument("search attribute OrderID is not defined"),
		"in handover":                  serviceerror.NewNamespaceUnavailable("shop"),
		"in another state": serviceerror.NewNamespaceInvalidState("shop", enumspb.NAMESPACE_STATE_UNSPECIFIED,
			[]enumspb.NamespaceState{enumspb.NAMESPACE_STATE_REGISTERED}),
		"active elsewhere": serviceerror.NewNamespaceNotActive("shop", "here", "there"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, temporal := setupOrders(t)
			f.Fail = fail
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond) // the SDK repeats some of them until then
			defer cancel()
			key := orderFixture().OrderKey
			_, _, _, err := temporal.StartOrder(ctx, orderFixture(), []byte("hash"))
			require.ErrorIs(t, err, provision.ErrUnavailable)
			_, err = temporal.OrderNotYetStored(ctx, key.Tenant(), key.ID)
			require.ErrorIs(t, err, provision.ErrUnavailable)
			require.ErrorIs(t, temporal.Act(ctx, key, workflows.UpdateCancel, because), provision.ErrUnavailable)
			require.ErrorIs(t, temporal.StartImport(ctx, provision.ImportKey{Provider: "acme", ID: "one"}), provision.ErrUnavailable)
		})
	}
	f, temporal := setupOrders(t)
	f.Fail = serviceerror.NewInvalidArgument("the workflow's id is too long")
	_, _, _, err := temporal.StartOrder(t.Context(), orderFixture(), []byte("hash"))
	require.NotErrorIs(t, err, provision.ErrUnavailable, "an error on our side does not go away by repeating the call")
}

func TestWakingOrders(t *testing.T) {
	t.Parallel()
	f, temporal := setupOrders(t)
	order := orderFixture()
	_, _, _, err := temporal.StartOrder(t.Context(), order, []byte("hash"))
	require.NoError(t, err)
	gone := provision.OrderKey{Provider: "acme", ID: "gone"}
	require.NoError(t, temporal.WakeOrders(t.Context(), []provision.OrderKey{gone, order.OrderKey}), "one that has ended needs no waking")
	require.Len(t, f.Signals, 1)
	require.Equal(t, "order/acme/MP-1", f.Signals[0].WorkflowExecution.WorkflowId)
	require.Equal(t, workflows.SignalStock, f.Signals[0].SignalName)

	f.Fail = serviceerror.NewPermissionDenied("no", "")
	require.ErrorContains(t, temporal.WakeOrders(t.Context(), []provision.OrderKey{order.OrderKey}), fmt.Sprintf("waking order %s",
		order.OrderKey))
}

func TestStartingAnImport(t *testing.T) {
	t.Parallel()
	f, temporal := setupOrders(t)
	key := provision.ImportKey{Provider: "acme", ID: "6f0a9a0e-5f0c-4a43-9a53-0d5b0b7d3c11"}
	require.Error(t, temporal.ImportKept(t.Context(), key), "there is none yet")
	require.NoError(t, temporal.StartImport(t.Context(), key))
	id := "import/acme/" + key.ID
	require.Len(t, f.Starts, 1)
	require.Equal(t, id, f.Starts[0].WorkflowId)
	require.Equal(t, workflows.ImportAccountsName, f.Starts[0].WorkflowType.Name)
	require.Equal(t, workflows.TaskQueue, f.Starts[0].TaskQueue.Name)
	require.NoError(t, temporal.ImportKept(t.Context(), key))
	require.Equal(t, id, f.Signals[0].WorkflowExecution.WorkflowId)
	require.Equal(t, workflows.SignalImportKept, f.Signals[0].SignalName)

	f.Fail = serviceerror.NewUnavailable("no")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, temporal.StartImport(ctx, provision.ImportKey{Provider: "acme", ID: "other"}), provision.ErrUnavailable)
}
