package main

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"quartermaster/internal/httpserver"
	"quartermaster/internal/metrics"
)

// metricsOptions say where the process serves its metrics and probes.
type metricsOptions struct {
	MetricsListen string `help:"Address of /metrics for Prometheus, /livez and, in a worker, /readyz. Only Prometheus and the platform should reach it. Unset: no endpoint." env:"QM_METRICS_LISTEN" placeholder:"HOST:PORT"`
}

// serve serves the metrics and the probes until the context ends. It does nothing when no address is given.
func (o metricsOptions) serve(ctx context.Context, e *env, serving *errgroup.Group, registry *prometheus.Registry,
	dependencies ...httpserver.Dependency,
) error {
	if o.MetricsListen == "" {
		return nil
	}
	handler := httpserver.WithProbes(metrics.Handler(registry), dependencies...)
	return httpserver.Server{Name: "metrics", Address: o.MetricsListen, Handler: handler}.Start(ctx, serving, e.log)
}
