package metrics

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"quartermaster/internal/provision"
)

// Stock counts the accounts of pools.
type Stock interface {
	// Count counts the stock of every pool of a provider. An empty provider means all of them.
	Count(ctx context.Context, provider string) ([]provision.PoolStock, error)
}

// Orders counts orders.
type Orders interface {
	// Count counts the orders of all pools by their state.
	Count(ctx context.Context) ([]provision.OrderCount, error)
}

const (
	cacheFor    = 15 * time.Second // several scrapers cost the database as much as one
	readTimeout = 5 * time.Second
)

// New makes a registry with the Go runtime, the process, and what the database knows.
func New(stock Stock, orders Orders, log *slog.Logger) *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		ofDatabase(stock, orders, log),
	)
	return registry
}

var (
	ofPool  = []string{"provider", "marketplace", "environment"}
	ofModel = append(append([]string{}, ofPool...), "model")
	ofKind  = append(append([]string{}, ofPool...), "kind")
	ofState = append(append([]string{}, ofPool...), "state")

	upDesc = describe("database_up", "1 when the numbers below could be read from the database; else they are missing.")

	accountsDesc = describe("accounts", "Accounts in stock, by what may be done with them.",
		append(append([]string{}, ofModel...), "status")...)
	thresholdDesc = describe("stock_threshold",
		"The stock is low at so many Ready accounts; without a model: of the pool as a whole.", ofModel...)
	forecastDesc = describe("stock_forecast_days", "How long the Ready accounts last; without a model: of the pool as a whole. "+
		"Missing when there is too little to go by.", ofModel...)
	alertDesc     = describe("stock_alert_open", "1 while the pool has an open alert of this kind.", ofKind...)
	waitingDesc   = describe("orders_waiting", "Orders that wait for an account of the pool.", ofPool...)
	suspendedDesc = describe("verification_suspended",
		"1 while so many accounts of the pool fail their verification at once that none is made Invalid.", ofPool...)
	claimsDesc = describe("claims_suspended",
		"1 while orders get no account of the pool, because several accounts could not be entered.", ofPool...)
	ordersDesc = describe("orders", "Orders by state.", ofState...)
	oldestDesc = describe("order_oldest_seconds",
		"How long the order that is longest in this state is in it; only for states that end.", ofState...)
)

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("quartermaster_"+name, help, labels, nil)
}

// collector reads its source when it is scraped, at most once in cacheFor.
type collector struct {
	descs []*prometheus.Desc
	read  func(ctx context.Context, now time.Time) []prometheus.Metric
	now   func() time.Time

	mu     sync.Mutex
	readAt time.Time
	known  []prometheus.Metric
}

// Describe names the metrics.
func (c *collector) Describe(descs chan<- *prometheus.Desc) {
	for _, desc := range c.descs {
		descs <- desc
	}
}

// Collect sends the metrics that the source returns.
func (c *collector) Collect(metrics chan<- prometheus.Metric) {
	for _, m := range c.metrics() {
		metrics <- m
	}
}

func (c *collector) metrics() []prometheus.Metric {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.now(); c.known == nil || now.Sub(c.readAt) >= cacheFor {
		ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
		defer cancel()
		c.known, c.readAt = c.read(ctx, now), now
	}
	return c.known
}

func ofDatabase(stock Stock, orders Orders, log *slog.Logger) *collector {
	return &collector{
		descs: []*prometheus.Desc{
			upDesc, accountsDesc, thresholdDesc, forecastDesc, alertDesc,
			waitingDesc, suspendedDesc, claimsDesc, ordersDesc, oldestDesc,
		},
		read: func(ctx context.Context, now time.Time) []prometheus.Metric {
			return fromDatabase(ctx, stock, orders, now, log)
		},
		now: time.Now,
	}
}

// fromDatabase reads everything, or reports that it cannot: old numbers would look as if all were well.
func fromDatabase(ctx context.Context, stock Stock, orders Orders, now time.Time, log *slog.Logger) []prometheus.Metric {
	pools, err := stock.Count(ctx, "")
	var states []provision.OrderCount
	if err == nil {
		states, err = orders.Count(ctx)
	}
	if err != nil {
		log.Warn("the metrics of stock and orders cannot be read", "error", err)
		return []prometheus.Metric{gauge(upDesc, 0)}
	}
	read := []prometheus.Metric{gauge(upDesc, 1)}
	for _, pool := range pools {
		read = append(read, stockMetrics(pool)...)
	}
	return append(read, orderMetrics(pools, states, now)...)
}

func stockMetrics(p provision.PoolStock) (read []prometheus.Metric) {
	pool := labels(p.Pool)
	add := func(desc *prometheus.Desc, value float64, more ...string) {
		read = append(read, gauge(desc, value, append(pool[:len(pool):len(pool)], more...)...))
	}
	add(waitingDesc, float64(p.OrdersWaiting))
	add(suspendedDesc, truth(p.SuspendedAt != nil))
	add(claimsDesc, truth(p.ClaimsSuspendedAt != nil))
	for _, kind := range []provision.AlertKind{provision.AlertLow, provision.AlertEmpty} {
		add(alertDesc, truth(p.Alert != nil && p.Alert.Kind == kind), string(kind))
	}
	limits := func(model string, threshold *int, forecast provision.Forecast) {
		if threshold != nil {
			add(thresholdDesc, float64(*threshold), model)
		}
		if forecast.Days != nil {
			add(forecastDesc, *forecast.Days, model)
		}
	}
	limits("", p.Threshold, p.Forecast)
	for _, m := range p.Models {
		limits(string(m.Model), m.Threshold, m.Forecast)
		for _, count := range []struct {
			status string
			n      int
		}{
			{"ready", m.Ready},
			{"provisioning", m.InProgress},
			{"allocated", m.Allocated},
			{"provisioning_failed", m.Failed},
			{"invalid", m.Invalid},
			{"waiting_for_verification", m.WaitingForVerification},
		} {
			add(accountsDesc, float64(count.n), string(m.Model), count.status)
		}
	}
	return read
}

// states are all of an order, so that a state without orders is 0 and not missing.
var states = []provision.OrderState{
	provision.Accepted, provision.WaitingForAccount, provision.Provisioning, provision.ActionRequired,
	provision.Completed, provision.Compensating, provision.Failed, provision.Cancelled,
}

func orderMetrics(stock []provision.PoolStock, orders []provision.OrderCount, now time.Time) (read []prometheus.Metric) {
	type key struct {
		pool  provision.Pool
		state provision.OrderState
	}
	counted := make(map[key]provision.OrderCount, len(orders))
	for _, o := range orders {
		counted[key{o.Pool, o.State}] = o
	}
	for _, p := range stock {
		for _, state := range states {
			found := counted[key{p.Pool, state}]
			with := append(labels(p.Pool), string(state))
			read = append(read, gauge(ordersDesc, float64(found.Count), with...))
			if !state.Ended() {
				age := 0.0
				if found.Oldest != nil {
					age = max(0, now.Sub(*found.Oldest).Seconds())
				}
				read = append(read, gauge(oldestDesc, age, with...))
			}
		}
	}
	return read
}

func labels(p provision.Pool) []string {
	return []string{p.Provider, p.Marketplace, string(p.Environment)}
}

func gauge(desc *prometheus.Desc, value float64, with ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, with...)
}

func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
