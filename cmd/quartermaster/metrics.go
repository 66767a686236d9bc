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
	MetricsListen string `help:"Address of /metrics for Prometheus, and of /livez; best one that only Prometheus reaches. Unset: there is none." env:"QM_METRICS_LISTEN" placeholder:"HOST:PORT"`
}

// serve serves the metrics until the context ends, if somebody wants them.
func (o metricsOptions) serve(ctx context.Context, e *env, serving *errgroup.Group, registry *prometheus.Registry) error {
	if o.MetricsListen == "" {
		return nil
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.MetricsListen)
	if err != nil {
		return fmt.Errorf("QM_METRICS_LISTEN: %w", err)
	}
	e.log.Info("serving", "what", "metrics", "address", listener.Addr().String())
	serving.Go(func() error { return api.Run(ctx, listener, metrics.Handler(registry), e.log) })
	return nil
}
