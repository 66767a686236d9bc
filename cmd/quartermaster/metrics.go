package main

import (
	"context"
	"fmt"
	"net"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"quartermaster/api"
	"quartermaster/internal/metrics"
)

// metricsOptions say where Prometheus reads.
type metricsOptions struct {
	MetricsListen string `help:"Address of /metrics for Prometheus, of /livez and, in a worker, of /readyz; best one that only Prometheus and the platform reach. Unset: there is none." env:"QM_METRICS_LISTEN" placeholder:"HOST:PORT"`
}

// serve serves the metrics, and whether the needs are there, until the context ends. It does nothing when no address is given.
func (o metricsOptions) serve(ctx context.Context, e *env, serving *errgroup.Group, registry *prometheus.Registry, needs ...metrics.Need) error {
	if o.MetricsListen == "" {
		return nil
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.MetricsListen)
	if err != nil {
		return fmt.Errorf("QM_METRICS_LISTEN: %w", err)
	}
	e.log.Info("serving", "what", "metrics", "address", listener.Addr().String())
	serving.Go(func() error { return api.Run(ctx, listener, metrics.Handler(registry, needs...), e.log) })
	return nil
}
