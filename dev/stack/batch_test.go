package stack_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"quartermaster/api/openapi"
	"quartermaster/dev/stack"
	"quartermaster/internal/provision"
)

// Orders wait for stock, and one has ended. A batch that was reviewed cancels those that wait; the one that has ended refuses.
func TestABatchCancelsWhatWaitsAndIsRefusedByWhatHasEnded(t *testing.T) {
	ctx := setup(t)
	const marketplace, waiting = "batch", 12
	require.NoError(t, playground.Pool(ctx, marketplace, provision.DataExport))
	var ids []string
	for i := range waiting {
		order := stack.NewOrder(fmt.Sprintf("batch-%d", i), provision.ModelECAM)
		order.Marketplace = marketplace
		require.NoError(t, playground.Place(ctx, order))
		ids = append(ids, order.ID)
		_, err := playground.Until(ctx, order.ID, func(o openapi.Order) bool { return o.State == provision.WaitingForAccount })
		require.NoError(t, err)
	}
	status, err := playground.Client.Do(ctx, http.MethodPost, "/v1/orders/"+ids[0]+"/cancel", openapi.Reason{Reason: "one by one"},
		&openapi.Order{})
	require.NoError(t, err)
	require.Equal(t, http.StatusAccepted, status)
	ended := func(id string) openapi.Order {
		order, err := playground.Until(ctx, id, func(o openapi.Order) bool { return o.State == provision.Cancelled })
		require.NoError(t, err)
		return order
	}
	ended(ids[0])

	market := openapi.MarketplaceID(marketplace)
	targets := openapi.OrderTargets{Filter: &openapi.OrderFilter{Marketplace: &market}}
	var preview openapi.BatchPreview
	_, err = playground.Client.Do(ctx, http.MethodPost, "/v1/batches/preview",
		openapi.BatchSelection{Verb: provision.BatchCancel, Orders: &targets}, &preview)
	require.NoError(t, err)
	require.Equal(t, []int{waiting, waiting - 1, 1}, []int{preview.Count, preview.Can.Count, preview.Cannot.Count})

	batch := openapi.Batch{}
	wanted := openapi.NewBatch{ID: uuid.NewString(), Verb: provision.BatchCancel, Orders: &targets,
		ExpectedCount: waiting, Reason: "all of them"}
	for _, want := range []int{http.StatusAccepted, http.StatusOK} { // the repeat starts nothing twice
		status, err := playground.Client.Do(ctx, http.MethodPost, "/v1/batches", wanted, &batch)
		require.NoError(t, err)
		require.Equal(t, want, status)
	}
	require.Eventually(t, func() bool {
		_, err := playground.Client.Do(ctx, http.MethodGet, "/v1/batches/"+batch.ID, nil, &batch)
		return err == nil && batch.State == provision.BatchCompleted
	}, time.Minute, 100*time.Millisecond, "%+v", batch)
	require.Equal(t, []int{waiting - 1, 1, 0}, []int{batch.Done, batch.Refused, batch.Failed})
	for _, id := range ids[1:] {
		require.Equal(t, "all of them", *ended(id).Failure.Comment, id)
	}
	var refused openapi.BatchResultPage
	_, err = playground.Client.Do(ctx, http.MethodGet, "/v1/batches/"+batch.ID+"/results?outcome=refused", nil, &refused)
	require.NoError(t, err)
	require.Len(t, refused.Items, 1)
	require.Equal(t, ids[0], refused.Items[0].ID)
	require.Equal(t, provision.CodeTooLate, *refused.Items[0].Code)
}
