package api

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

// tallies counts how often the orders are counted.
type tallies struct {
	Orders
	n int
}

func (o *tallies) Tally(ctx context.Context, of provision.Tenant, endedSince *time.Time) (provision.OrderCounts, error) {
	o.n++
	return o.Orders.Tally(ctx, of, endedSince)
}

func TestOrdersAreCounted(t *testing.T) {
	t.Parallel()
	clock, orders := now, &tallies{}
	w := setup(t, func(c *Config) {
		c.Now = func() time.Time { return clock }
		orders.Orders, c.Orders = c.Orders, orders
	})
	w.createOrder("customer", provision.ActionRequired, asking("aws_account_alias"))
	w.createOrder("operator", provision.ActionRequired)
	w.createOrder("waits", provision.WaitingForAccount)
	w.completedOrder("done")
	w.createOrder("cancelled", provision.Cancelled)
	counts := read[openapi.OrderCounts](t, w.get("/v1/order-counts"), http.StatusOK)
	one, none := openapi.OrderCount{Count: 1}, openapi.OrderCount{}
	require.Equal(t, openapi.OrderCounts{
		AsOf: now,
		States: map[string]openapi.OrderCount{"accepted": none, "waiting_for_account": one, "provisioning": none, "action_required": {Count: 2},
			"completed": one, "compensating": none, "failed": none, "cancelled": one},
		Asks: openapi.QuestionCounts{Customer: one, Operator: one},
		All:  openapi.OrderCount{Count: 5},
	}, counts)
	ended := read[openapi.OrderCounts](t, w.get("/v1/order-counts?ended_since=2020-01-01T00:00:00Z"), http.StatusOK)
	require.Equal(t, &openapi.OrderCount{Count: 2}, ended.Ended)
	require.Equal(t, 2, orders.n)

	w.createOrder("later", provision.Accepted)
	clock = now.Add(4 * time.Second)
	require.Equal(t, counts, read[openapi.OrderCounts](t, w.get("/v1/order-counts"), http.StatusOK), "up to 5 seconds old")
	require.Equal(t, 2, orders.n)
	for _, marketplaces := range [][]string{{"nordic"}, {"south"}, {"south", "nordic"}} { // others do not get what is cached
		key := w.createKeyOf("acme", provision.RoleMarketplace, func(k *provision.APIKey) { k.Marketplaces = marketplaces })
		all := read[openapi.OrderCounts](t, w.send(key, http.MethodGet, "/v1/order-counts", ""), http.StatusOK).All
		require.Equal(t, map[bool]int{true: 0, false: 6}[marketplaces[0] == "south" && len(marketplaces) == 1], all.Count, marketplaces)
	}
	require.Zero(t, read[openapi.OrderCounts](t, w.send(w.otherKey, http.MethodGet, "/v1/order-counts", ""), http.StatusOK).All.Count)
	clock = now.Add(5 * time.Second)
	fresh := read[openapi.OrderCounts](t, w.get("/v1/order-counts"), http.StatusOK)
	require.Equal(t, 6, fresh.All.Count)
	require.Equal(t, clock, fresh.AsOf)
	p := readProblem(t, w.get("/v1/order-counts?ended_since=today"), http.StatusBadRequest, codeInvalidParameter)
	require.Contains(t, fieldsOf(p), "ended_since")
}

func TestACountThatStopsSaysSo(t *testing.T) {
	t.Parallel()
	capped := provision.Tally{Count: provision.MaxCounted, More: true}
	counts := countsResource(provision.OrderCounts{States: map[provision.OrderState]provision.Tally{
		provision.WaitingForAccount: capped, provision.Completed: {Count: 5000},
	}})
	require.Equal(t, openapi.OrderCount{Count: 1000, More: true}, counts.States["waiting_for_account"])
	require.Equal(t, openapi.OrderCount{Count: 6000, More: true}, counts.All, "more than 6000")
}
