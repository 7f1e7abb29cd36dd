package main

import (
	"runtime/debug"
	"time"

	"go.temporal.io/server/common/cluster"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/dynamicconfig"
	sqliteplugin "go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	"go.temporal.io/server/common/primitives"
)

// historyShards is permanent for a database. SQLite has one writer, so more
// shards would only add queues that wait for it.
const historyShards = 1

// limitMemory keeps the Go heap small: the engine shares the machine with
// training. The limit is soft; code and SQLite, 125 MiB, come on top: 1,000
// experiments in 75 s, far more than any real campaign asks, took 260 MiB.
func limitMemory() {
	debug.SetGCPercent(50)
	debug.SetMemoryLimit(140 << 20)
}

// serverConfig is what would be Temporal's static configuration file.
func serverConfig(o Options, p ports) *config.Config {
	frontend := hostPort(o.IP, p[primitives.FrontendService])
	services := map[string]config.Service{}
	for name, port := range p {
		services[string(name)] = config.Service{RPC: config.RPC{GRPCPort: port, BindOnIP: o.IP}}
	}
	return &config.Config{
		Global: config.Global{Membership: config.Membership{BroadcastAddress: o.IP}},
		Persistence: config.Persistence{
			DefaultStore: sqliteplugin.PluginName, VisibilityStore: sqliteplugin.PluginName,
			NumHistoryShards: historyShards,
			DataStores:       map[string]config.DataStore{sqliteplugin.PluginName: {SQL: sqlConfig(o.DB, "wal")}},
		},
		ClusterMetadata: &cluster.Config{
			FailoverVersionIncrement: 10,
			MasterClusterName:        clusterName, CurrentClusterName: clusterName,
			ClusterInformation: map[string]cluster.ClusterInformation{
				clusterName: {Enabled: true, InitialFailoverVersion: 1, RPCAddress: frontend},
			},
		},
		DCRedirectionPolicy: config.DCRedirectionPolicy{Policy: "noop"},
		Services:            services,
		Archival: config.Archival{
			History:    config.HistoryArchival{State: "disabled"},
			Visibility: config.VisibilityArchival{State: "disabled"},
		},
		PublicClient: config.PublicClient{HostPort: frontend},
		NamespaceDefaults: config.NamespaceDefaults{Archival: config.ArchivalNamespaceDefaults{
			History:    config.HistoryArchivalNamespaceDefaults{State: "disabled"},
			Visibility: config.VisibilityArchivalNamespaceDefaults{State: "disabled"},
		}},
	}
}

// dynamicConfig holds the settings that differ from the server's defaults, each
// with its reason.
func dynamicConfig() dynamicconfig.StaticClient {
	return dynamicconfig.StaticClient{
		// 20 per shard and second by default, which puts sequential steps on a
		// 50 ms grid: an activity's round trip is 49.8 ms, with this 20.9 ms.
		dynamicconfig.TransferProcessorMaxPollRPS.Key(): 2000,

		// With the default four partitions an urgent task came 2nd to 8th of 16,
		// with one it came first; and nobody here needs the throughput of four.
		dynamicconfig.MatchingNumTaskqueueReadPartitions.Key():  1,
		dynamicconfig.MatchingNumTaskqueueWritePartitions.Key(): 1,

		// Caches are made for servers with gigabytes: 128,000 workflows for an
		// hour by default. A campaign has two open at a time per slot.
		dynamicconfig.HistoryCacheSizeBasedLimit.Key():        true,
		dynamicconfig.HistoryCacheHostLevelMaxSizeBytes.Key(): 16 << 20,
		dynamicconfig.HistoryCacheTTL.Key():                   5 * time.Minute,

		// No calls home: the engine talks to this machine only.
		dynamicconfig.EnableServerVersionCheck.Key(): false,
	}
}
