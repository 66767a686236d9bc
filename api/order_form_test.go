package api

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

func TestTheOrderFormOffersThePoolsOfTheCaller(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.createOrder("MP-1", provision.WaitingForAccount)

	all := read[openapi.OrderForm](t, w.get("/v1/order-form"), http.StatusOK)
	require.Equal(t, []openapi.OrderFormModel{
		{ID: "SPAM", Title: "Solution Provider Account Model", CustomerOwnsRoot: false},
		{ID: "ECAM", Title: "End Customer Account Model", CustomerOwnsRoot: true},
	}, all.Models)
	stock := read[openapi.Stock](t, w.get("/v1/stock"), http.StatusOK)
	require.Len(t, all.Pools, len(stock.Items))
	for i, pool := range stock.Items {
		offered := all.Pools[i]
		require.Equal(t, pool.Marketplace, offered.Marketplace)
		require.Equal(t, pool.Environment, offered.Environment)
		require.Equal(t, pool.Ready, offered.Ready)
		require.Equal(t, pool.OrdersWaiting, offered.OrdersWaiting)
		for _, model := range pool.Models {
			require.Equal(t, model.Ready, offered.ReadyByModel[string(model.Model)])
		}
	}
	require.Equal(t, 1, all.Pools[0].OrdersWaiting+all.Pools[1].OrdersWaiting)

	narrow := w.createKeyOf("acme", provision.RoleMarketplace, func(k *provision.APIKey) { k.Marketplaces = []string{"nordic"} })
	own := read[openapi.OrderForm](t, w.send(narrow, http.MethodGet, "/v1/order-form", ""), http.StatusOK)
	require.NotEmpty(t, own.Pools)
	for _, pool := range own.Pools {
		require.Equal(t, "nordic", pool.Marketplace)
	}
}
