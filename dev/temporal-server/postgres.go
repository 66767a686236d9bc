package main

import (
	"context"
	"fmt"
	"io"
	"net/url"

	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/metrics"
	"go.temporal.io/server/common/persistence"
	temporalsql "go.temporal.io/server/common/persistence/sql"
	"go.temporal.io/server/common/persistence/sql/sqlplugin"
	_ "go.temporal.io/server/common/persistence/sql/sqlplugin/postgresql" // the plugin postgresPlugin
	"go.temporal.io/server/common/resolver"
	"go.temporal.io/server/schema"
	pgschema "go.temporal.io/server/schema/postgresql/v12"
)

const (
	postgresPlugin = "postgres12_pgx"
	// postgresShards is the number of history shards on PostgreSQL: enough for writes of different workflows not to wait for each
	// other, on a machine that also runs everything else.
	postgresShards = 4
	// postgresConns bounds the connections to each of the two databases.
	postgresConns = 20
)

// openPostgres returns a store in the databases temporal and temporal_visibility of a PostgreSQL server. It creates them, with
// Temporal's tables, where they are missing.
func openPostgres(ctx context.Context, address string) (*store, error) {
	server, err := url.Parse(address)
	if err != nil || server.Scheme != "postgres" || server.User == nil {
		return nil, fmt.Errorf("the URL of --postgres has not the form postgres://USER:PASSWORD@HOST:PORT")
	}
	password, _ := server.User.Password()
	database := func(name string) *config.SQL {
		return &config.SQL{
			PluginName: postgresPlugin, DatabaseName: name, ConnectAddr: server.Host, ConnectProtocol: "tcp",
			User: server.User.Username(), Password: password, MaxConns: postgresConns, MaxIdleConns: postgresConns,
		}
	}
	s := &store{name: "postgres", config: database("temporal"), visibility: database("temporal_visibility"), shards: postgresShards}
	for _, part := range []struct {
		kind    sqlplugin.DbKind
		config  *config.SQL
		folder  string
		version string
	}{
		{sqlplugin.DbKindMain, s.config, "temporal", pgschema.Version},
		{sqlplugin.DbKindVisibility, s.visibility, "visibility", pgschema.VisibilityVersion},
	} {
		if err := createDatabase(database("postgres"), part.config.DatabaseName); err != nil {
			return nil, err
		}
		if err := createTables(part.kind, part.config, part.folder, part.version); err != nil {
			return nil, fmt.Errorf("database %s: cannot set up the tables: %w", part.config.DatabaseName, err)
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return s, nil
}

// createDatabase creates a database unless it exists.
func createDatabase(maintenance *config.SQL, name string) error {
	db, err := openAdmin(sqlplugin.DbKindUnknown, maintenance)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	if err := db.CreateDatabase(name); err != nil {
		return fmt.Errorf("cannot create database %s: %w", name, err)
	}
	return nil
}

// createTables writes Temporal's tables, in their newest version, into a database that has none.
func createTables(kind sqlplugin.DbKind, target *config.SQL, folder, version string) error {
	db, err := openAdmin(kind, target)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	if tables, err := db.ListTables(target.DatabaseName); err != nil || len(tables) > 0 {
		return err
	}
	file, err := schema.Assets().Open("postgresql/v12/" + folder + "/schema.sql")
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	statements, err := persistence.LoadAndSplitQueryFromReaders([]io.Reader{file})
	if err != nil {
		return err
	}
	for _, statement := range statements {
		if err := db.Exec(statement); err != nil {
			return fmt.Errorf("%w: %s", err, statement)
		}
	}
	if err := db.CreateSchemaVersionTables(); err != nil {
		return err
	}
	return db.UpdateSchemaVersion(target.DatabaseName, version, version)
}

func openAdmin(kind sqlplugin.DbKind, target *config.SQL) (sqlplugin.AdminDB, error) {
	db, err := temporalsql.NewSQLAdminDB(kind, target, resolver.NewNoopResolver(), log.NewNoopLogger(), metrics.NoopMetricsHandler)
	if err != nil {
		return nil, fmt.Errorf("cannot connect to PostgreSQL: %w", err)
	}
	return db, nil
}
