package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"time"

	"go.temporal.io/server/common/authorization"
	"go.temporal.io/server/common/cluster"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/dynamicconfig"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/membership/static"
	"go.temporal.io/server/common/metrics"
	"go.temporal.io/server/common/primitives"
	"go.temporal.io/server/temporal"
)

const (
	clusterName = "active"
	loopback    = "127.0.0.1"
)

// serverOptions describes a cluster of one host.
func (c *startDev) serverOptions(ctx context.Context, kept *store, dynamic dynamicconfig.StaticClient) ([]temporal.ServerOption, error) {
	const visibilityStore = "visibility"
	services := map[string]config.Service{
		string(primitives.FrontendService): {RPC: config.RPC{BindOnIP: c.IP, GRPCPort: c.Port, HTTPPort: c.HTTPPort}},
	}
	hosts := map[primitives.ServiceName]static.Hosts{
		primitives.FrontendService: static.SingleLocalHost(c.frontend()),
	}
	// Whatever --ip says, only the frontend is for others.
	for _, name := range []primitives.ServiceName{
		primitives.HistoryService, primitives.MatchingService, primitives.WorkerService,
	} {
		port, err := freePort(ctx)
		if err != nil {
			return nil, err
		}
		services[string(name)] = config.Service{RPC: config.RPC{BindOnIP: loopback, GRPCPort: port}}
		hosts[name] = static.SingleLocalHost(net.JoinHostPort(loopback, strconv.Itoa(port)))
	}
	cfg := &config.Config{
		Global: config.Global{Membership: config.Membership{
			MaxJoinDuration:  30 * time.Second,
			BroadcastAddress: loopback,
		}},
		Persistence: config.Persistence{
			DefaultStore:     kept.name,
			VisibilityStore:  visibilityStore,
			NumHistoryShards: kept.shards,
			DataStores:       map[string]config.DataStore{kept.name: {SQL: kept.config}, visibilityStore: {SQL: kept.visibility}},
		},
		ClusterMetadata: &cluster.Config{
			FailoverVersionIncrement: 10,
			MasterClusterName:        clusterName,
			CurrentClusterName:       clusterName,
			ClusterInformation: map[string]cluster.ClusterInformation{
				clusterName: {Enabled: true, InitialFailoverVersion: 1, RPCAddress: c.frontend()},
			},
		},
		DCRedirectionPolicy: config.DCRedirectionPolicy{Policy: "noop"},
		Services:            services,
		Archival: config.Archival{
			History:    config.HistoryArchival{State: "disabled"},
			Visibility: config.VisibilityArchival{State: "disabled"},
		},
		PublicClient: config.PublicClient{HostPort: c.frontend()},
		NamespaceDefaults: config.NamespaceDefaults{Archival: config.ArchivalNamespaceDefaults{
			History:    config.HistoryArchivalNamespaceDefaults{State: "disabled"},
			Visibility: config.VisibilityArchivalNamespaceDefaults{State: "disabled"},
		}},
	}
	if c.MetricsPort != 0 {
		cfg.Global.Metrics = &metrics.Config{Prometheus: &metrics.PrometheusConfig{
			ListenAddress: net.JoinHostPort(c.IP, strconv.Itoa(c.MetricsPort)),
			HandlerPath:   "/metrics",
		}}
	}
	return []temporal.ServerOption{
		temporal.WithConfig(cfg),
		temporal.ForServices(temporal.DefaultServices),
		temporal.WithStaticHosts(hosts),
		temporal.WithLogger(c.logger()),
		temporal.WithDynamicConfigClient(dynamic),
		temporal.WithAuthorizer(authorization.NewNoopAuthorizer()),
		temporal.WithClaimMapper(func(*config.Config) authorization.ClaimMapper {
			return authorization.NewNoopClaimMapper()
		}),
	}, nil
}

// frontend is the address at which this process reaches its own frontend: an address such as 0.0.0.0 says where to
// listen, not where to dial.
func (c *startDev) frontend() string {
	ip := net.ParseIP(c.IP)
	switch {
	case ip.IsUnspecified() && ip.To4() != nil:
		ip = net.IPv4(127, 0, 0, 1)
	case ip.IsUnspecified():
		ip = net.IPv6loopback
	}
	return net.JoinHostPort(ip.String(), strconv.Itoa(c.Port))
}

// logger writes to standard error. "never" still lets through what ends the process, which would otherwise end
// without a word.
func (c *startDev) logger() log.Logger {
	level, format := c.LogLevel, "console"
	if level == "never" {
		level = "fatal"
	}
	if c.LogFormat == "json" {
		format = "json"
	}
	return log.NewZapLogger(log.BuildZapLogger(log.Config{Level: level, Format: format}))
}

// freePort finds a loopback port that nothing listens on. It stays below the ranges from which Linux (32768) and macOS
// (49152) draw ports for outgoing connections: one drawn from there may be taken again before the service listens.
func freePort(ctx context.Context) (int, error) {
	const first, count, tries = 10000, 20000, 50
	var last error
	for range tries {
		port := first + rand.IntN(count)
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(loopback, strconv.Itoa(port)))
		if err != nil {
			last = err
			continue
		}
		return port, listener.Close()
	}
	return 0, fmt.Errorf("no free port on %s in %d tries: %w", loopback, tries, cmp.Or(last, errors.New("none tried")))
}
