package stack_test

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"google.golang.org/protobuf/proto"

	"quartermaster/api/openapi"
	"quartermaster/dev/stack"
	"quartermaster/internal/awssim"
	"quartermaster/internal/provision"
	"quartermaster/workflows"
)

// Confidential data of a customer is neither in what Temporal stores, whether the order completes or fails, nor in any log.
func TestCustomerDataIsNeverStoredOrLoggedInClear(t *testing.T) {
	ctx := setup(t)
	order := stack.NewOrder("sealed", provision.ModelSPAM)
	order.AWSContactName = "Zebulon Quixote"
	order.AWSAlternateContact = &provision.AlternateContact{
		Name: "Xanthippe Yarrow", Email: "xanthippe@yarrow.example", Phone: "+1 206 555 0177", Title: "Bookkeeper General",
	}
	order.Customer = &provision.Customer{ID: "wolfram-5150", Name: "Wolfram Vandermeer"}
	failing := order
	failing.ID, failing.AWSAccountAlias = "sealed-failing", "sealed-failing-alias"
	ids, err := playground.Stock(ctx, order.Marketplace, provision.ModelSPAM, 2)
	require.NoError(t, err)
	require.NoError(t, playground.Place(ctx, order))
	completed, err := playground.Ended(ctx, order.ID)
	require.NoError(t, err)
	require.Equal(t, provision.Completed, completed.State)
	heal := playground.Sim.Inject(awssim.Fault{
		Service: "account", Operation: "PutAlternateContact", AccountID: ids[1],
		Kind: awssim.Error, Code: "ValidationException", Status: 400,
		Message: "the phone number +1 206 555 0177 of Xanthippe Yarrow is not valid",
	})
	defer heal()
	require.NoError(t, playground.Place(ctx, failing))
	_, err = playground.Until(ctx, failing.ID, func(o openapi.Order) bool { return o.State == provision.ActionRequired })
	require.NoError(t, err)
	_, err = playground.Client.Do(ctx, http.MethodPost, "/v1/orders/"+failing.ID+"/fail",
		map[string]string{"reason": "enough seen"}, &openapi.Order{})
	require.NoError(t, err)
	failed, err := playground.Ended(ctx, failing.ID)
	require.NoError(t, err)
	require.Equal(t, provision.Failed, failed.State)

	contact := order.AWSAlternateContact
	secrets := []string{
		order.AWSContactName, contact.Name, contact.Email, contact.Phone, contact.Title,
		order.AWSAccountAlias, failing.AWSAccountAlias, "Acme NOC",
		order.Customer.ID, order.Customer.Name,
	}
	for _, o := range []openapi.Order{completed, failed} {
		id := workflows.OrderWorkflowID(provision.OrderKey{Provider: stack.Provider, ID: o.ID})
		events := 0
		history := playground.Workflow.GetWorkflowHistory(ctx, id, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
		for ; history.HasNext(); events++ {
			event, err := history.Next() // as Temporal stores it: the codec opens payloads only when they are asked for
			require.NoError(t, err)
			wire, err := proto.Marshal(event)
			require.NoError(t, err)
			for _, secret := range secrets {
				require.False(t, bytes.Contains(wire, []byte(secret)),
					"event %d (%s) of %s holds %q", event.GetEventId(), event.GetEventType(), id, secret)
			}
		}
		require.Greater(t, events, 20)
		description, err := playground.Workflow.DescribeWorkflowExecution(ctx, id, "")
		require.NoError(t, err)
		wire, err := proto.Marshal(description)
		require.NoError(t, err)
		for _, secret := range secrets {
			require.False(t, bytes.Contains(wire, []byte(secret)), "the description of %s holds %q", id, secret)
		}
	}
	require.Contains(t, string(playground.Sim.Snapshot(*completed.AccountID)), order.AWSContactName)
	for _, id := range ids {
		account := playground.Sim.Snapshot(id)
		require.NotContains(t, string(account), order.Customer.ID, "AWS never receives the customer")
		require.NotContains(t, string(account), order.Customer.Name)
	}
	logs, err := filepath.Glob(filepath.Join(playground.Dir, "*.log"))
	require.NoError(t, err)
	require.NotEmpty(t, logs)
	for _, name := range logs {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		for _, secret := range secrets {
			require.False(t, bytes.Contains(text, []byte(secret)), "%s holds %q", filepath.Base(name), secret)
		}
	}
}
