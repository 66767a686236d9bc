package main

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"go.temporal.io/server/common/dynamicconfig"
)

// defaults is the dynamic configuration of a server for one developer. A --dynamic-config-value wins.
func defaults() dynamicconfig.StaticClient {
	return dynamicconfig.StaticClient{
		// Each queue of a shard is polled at most 20 times a second: with one shard that adds up to 50 ms to every step.
		dynamicconfig.TransferProcessorMaxPollRPS.Key():   1000,
		dynamicconfig.TimerProcessorMaxPollRPS.Key():      1000,
		dynamicconfig.VisibilityProcessorMaxPollRPS.Key(): 1000,
		// Timers, retries and sleeps fire up to this much late; the server's own default is a second.
		dynamicconfig.TimerProcessorMaxTimeShift.Key(): 10 * time.Millisecond,

		// Fairness keys do nothing without it: a provider with many orders would hold up all the others.
		dynamicconfig.MatchingEnableFairness.Key(): true,
		// Partitions spread a task queue over hosts. There is one host.
		dynamicconfig.MatchingNumTaskqueueReadPartitions.Key():  1,
		dynamicconfig.MatchingNumTaskqueueWritePartitions.Key(): 1,

		// Tell a worker at once that its activity was cancelled, not only in answer to the next heartbeat.
		dynamicconfig.EnableCancelActivityWorkerCommand.Key(): true,
		dynamicconfig.WorkerCommandsEnabled.Key():             true,

		// A search attribute that was added a moment ago can be used at once. That costs a read per use, so the
		// limits on reads go up in proportion.
		dynamicconfig.ForceSearchAttributesCacheRefreshOnRead.Key(): true,
		dynamicconfig.FrontendPersistenceMaxQPS.Key():               10000,
		dynamicconfig.HistoryPersistenceMaxQPS.Key():                45000,
		// Tests list workflows far oftener than the 10 times a second of the default.
		dynamicconfig.FrontendMaxNamespaceVisibilityRPSPerInstance.Key(): 1000,
		// The default of 128,000 cached workflows is meant for a host that does nothing else.
		dynamicconfig.HistoryCacheHostLevelMaxSize.Key(): 8192,

		// The server would ask a host on the internet for news about its version.
		dynamicconfig.EnableServerVersionCheck.Key(): false,
	}
}

// measured is the dynamic configuration that differs on PostgreSQL, where benchmarks run: they must not pay for reads that a server in
// production does not make. There are no new search attributes, because the store has all of them before the server starts.
func measured() dynamicconfig.StaticClient {
	return dynamicconfig.StaticClient{dynamicconfig.ForceSearchAttributesCacheRefreshOnRead.Key(): false}
}

// parseDynamicConfig lays KEY=JSON arguments over the defaults. It refuses a key that the server does not know and a
// value that the key does not take: the server would silently use its default for either.
func parseDynamicConfig(arguments []string, postgres bool) (dynamicconfig.StaticClient, error) {
	given := dynamicconfig.StaticClient{}
	for _, argument := range arguments {
		key, json, err := pair("--dynamic-config-value", argument, "KEY=JSON")
		if err != nil {
			return nil, err
		}
		if key == "" || strings.ContainsAny(json, "\r\n") {
			return nil, fmt.Errorf("--dynamic-config-value %q is not one line of KEY=JSON", argument)
		}
		// A file of dynamic configuration has, under a key, a list of values with constraints; JSON is YAML.
		var loader dynamicconfig.YamlLoader
		loader.LoadValue(dynamicconfig.MakeKey(key), []byte("- value: "+json))
		if err := errors.Join(append(loader.Errors, loader.Warnings...)...); err != nil {
			return nil, fmt.Errorf("--dynamic-config-value %q: Temporal refuses it: %w", argument, err)
		}
		for key, value := range loader.Map {
			given[key] = value
		}
	}
	all := defaults()
	if postgres {
		maps.Copy(all, measured())
	}
	maps.Copy(all, given)
	return all, nil
}

// pair splits an argument of the form NAME=VALUE at the first equals sign. form is what an error says it should be.
func pair(flag, argument, form string) (name, value string, err error) {
	name, value, found := strings.Cut(argument, "=")
	if !found {
		return "", "", fmt.Errorf("%s %q has no equals sign: give %s", flag, argument, form)
	}
	return strings.TrimSpace(name), strings.TrimSpace(value), nil
}
