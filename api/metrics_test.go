package api

import (
	"net/http"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
)

func TestMetricsHaveNoLabelsThatCallersChoose(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	w := setup(t, func(c *Config) { c.Metrics = registry })
	w.get("/v1/orders/unknown-1")
	w.get("/v1/orders/unknown-2")
	w.get("/v1/accounts")
	w.send("", http.MethodGet, "/v1/accounts", "")
	for _, address := range []string{"/wp-admin", "/.env"} {
		w.send("", http.MethodGet, address, "", "Host", "evil.example")
	}
	w.send("", "BREW", "/v1/orders", "")

	families, err := registry.Gather()
	require.NoError(t, err)
	got := map[string]float64{}
	for _, family := range families {
		if family.GetName() != "quartermaster_http_requests_total" {
			continue
		}
		for _, m := range family.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			require.Empty(t, labels["host"])
			got[labels["method"]+" "+labels["url"]+" "+labels["code"]] += m.GetCounter().GetValue()
		}
	}
	require.Equal(t, map[string]float64{
		"GET /v1/orders/:order_id 404": 2, "GET /v1/accounts 200": 1, "GET /v1/accounts 401": 1, "GET  404": 2, "other /v1/orders 405": 1,
	}, got)
}
