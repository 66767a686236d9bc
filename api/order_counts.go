package api

import (
	"context"
	"strings"
	"sync"
	"time"

	"quartermaster/api/openapi"
	"quartermaster/api/openapi/server"
	"quartermaster/internal/provision"
)

// countedFor is how long the counts of orders are cached.
const countedFor = 5 * time.Second

// countCache keeps the counts of the last seconds.
type countCache struct {
	mu   sync.Mutex
	seen map[countKey]openapi.OrderCounts
}

// countKey is who may see the orders that are counted, and since when they have ended.
type countKey struct {
	provider     string
	everywhere   bool // in all marketplaces
	marketplaces string
	endedSince   time.Time // zero: it does not matter
}

// CountOrders answers GET /v1/order-counts.
func (s *service) CountOrders(ctx context.Context, in server.CountOrdersRequestObject) (server.CountOrdersResponseObject, error) {
	of, now := callerOf(ctx).Tenant, s.Now().UTC()
	key := countKey{provider: of.Provider, everywhere: of.Marketplaces == nil, marketplaces: strings.Join(of.Marketplaces, " "),
		endedSince: value(in.Params.EndedSince).UTC()}
	if counts, fresh := s.counts.get(key, now); fresh {
		return server.CountOrders200JSONResponse(counts), nil
	}
	tallied, err := s.Orders.Tally(ctx, of, in.Params.EndedSince)
	if err != nil {
		return nil, err
	}
	counts := countsResource(tallied)
	counts.AsOf = now
	s.counts.put(key, counts)
	return server.CountOrders200JSONResponse(counts), nil
}

func (c *countCache) get(key countKey, now time.Time) (counts openapi.OrderCounts, fresh bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for seen, counts := range c.seen {
		if now.Sub(counts.AsOf) >= countedFor {
			delete(c.seen, seen)
		}
	}
	counts, fresh = c.seen[key]
	return counts, fresh
}

func (c *countCache) put(key countKey, counts openapi.OrderCounts) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[key] = counts
}

func countsResource(c provision.OrderCounts) openapi.OrderCounts {
	counts := openapi.OrderCounts{
		States: map[string]openapi.OrderCount{},
		Asks: openapi.QuestionCounts{
			Customer: openapi.OrderCount(c.Asks[provision.AsksCustomer]), Operator: openapi.OrderCount(c.Asks[provision.AsksOperator]),
		},
		Ended: (*openapi.OrderCount)(c.Ended),
	}
	for state, tally := range c.States {
		counts.States[string(state)] = openapi.OrderCount(tally)
		counts.All.Count += tally.Count
		counts.All.More = counts.All.More || tally.More
	}
	return counts
}
