package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/metrics"
	"go.temporal.io/server/common/persistence/serialization"
	temporalsql "go.temporal.io/server/common/persistence/sql"
	"go.temporal.io/server/common/persistence/sql/sqlplugin"
	sqliteplugin "go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	"go.temporal.io/server/common/primitives/timestamp"
	"go.temporal.io/server/common/resolver"
	"go.temporal.io/server/common/searchattribute/sadefs"
	sqliteschema "go.temporal.io/server/schema/sqlite"
	_ "modernc.org/sqlite" // the "sqlite" driver of database/sql
)

// retention is how long a closed workflow is kept. The default of SQLite namespaces is a day: an order that failed on Friday would
// be gone on Monday.
const retention = 30 * 24 * time.Hour

// serverFiles is the mode of the files that the server creates. Only the user may read them: histories may contain data that no
// codec has sealed.
const serverFiles os.FileMode = 0o600

// store is what the server keeps everything in: a SQLite database, or two databases of a PostgreSQL server.
type store struct {
	name       string
	config     *config.SQL
	visibility *config.SQL // of the lists of workflows; SQLite keeps them in the same database
	shards     int32
	lock       io.Closer // of a SQLite file; otherwise nil
}

// openSQLite prepares the database in file, or in memory when file is empty. pragmas are NAME=VALUE arguments. A file is
// locked against a second server until close.
func openSQLite(ctx context.Context, file string, pragmas []string) (*store, error) {
	attributes := map[string]string{}
	for _, argument := range pragmas {
		name, value, err := pair("--sqlite-pragma", argument, "NAME=VALUE")
		if err != nil {
			return nil, err
		}
		attributes[strings.ToLower(name)] = value
	}
	s := &store{name: sqliteplugin.PluginName, config: &config.SQL{PluginName: sqliteplugin.PluginName, ConnectAttributes: attributes}}
	// Shards let transactions run next to each other. SQLite has one writer, so more than one shard would cost and gain nothing.
	s.visibility, s.shards = s.config, 1
	if file == "" {
		attributes["mode"], attributes["cache"] = "memory", "shared"
		s.config.DatabaseName = strconv.Itoa(rand.Int())
		return s, nil
	}
	attributes["mode"] = "rwc"
	// With SQLite's own defaults (a rollback journal, a sync for each transaction) the server does a third of the work.
	// In WAL mode synchronous=1 (NORMAL) loses no commit when the process dies, only, at worst, when the machine does.
	for name, value := range map[string]string{"journal_mode": "wal", "synchronous": "1"} {
		if _, given := attributes[name]; !given {
			attributes[name] = value
		}
	}
	path, err := filepath.Abs(file)
	if err != nil {
		return nil, fmt.Errorf("--db-filename %q: %w", file, err)
	}
	if s.lock, err = lockFile(path + ".lock"); err != nil {
		return nil, fmt.Errorf("--db-filename %q cannot be used: %w", file, err)
	}
	if err := createSchema(ctx, path); err != nil {
		s.close()
		return nil, fmt.Errorf("--db-filename %q: cannot set up the database: %w", file, err)
	}
	// The plugin writes the name into a URI as it is, where ? and % would have a meaning.
	s.config.DatabaseName = (&url.URL{Path: filepath.ToSlash(path)}).EscapedPath()
	return s, nil
}

// close releases the file for another server.
func (s *store) close() {
	if s.lock != nil {
		_ = s.lock.Close()
	}
}

// createSchema writes Temporal's tables into a database that has none. It does so in one transaction, so that a process
// that is killed while it does so leaves an empty file and not half a schema that no later start can use.
func createSchema(ctx context.Context, path string) error {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, serverFiles)
	if err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: filepath.ToSlash(path)}).EscapedPath()}).String())
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	var tables int
	err = tx.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'namespaces'`).Scan(&tables)
	if err != nil {
		return err
	}
	if tables > 0 {
		return nil
	}
	exec := func(statement string, arguments ...any) error {
		_, err := tx.ExecContext(ctx, statement, arguments...)
		return err
	}
	if err := sqliteschema.SetupSchemaOnDB(schemaWriter{exec: exec}); err != nil {
		return err
	}
	return tx.Commit()
}

// schemaWriter is the one method of an AdminDB that setting up a schema uses.
type schemaWriter struct {
	sqlplugin.AdminDB
	exec func(statement string, arguments ...any) error
}

// Exec runs one statement.
func (w schemaWriter) Exec(statement string, arguments ...any) error {
	return w.exec(statement, arguments...)
}

// createNamespaces creates missing namespaces and adds missing search attributes.
// It writes to the database before the server starts, so that the server never sees them missing.
func (s *store) createNamespaces(ctx context.Context, names []string, wanted map[string]enumspb.IndexedValueType) error {
	db, err := temporalsql.NewSQLDB(sqlplugin.DbKindUnknown, s.config,
		resolver.NewNoopResolver(), log.NewNoopLogger(), metrics.NoopMetricsHandler)
	if err != nil {
		return fmt.Errorf("cannot open the database: %w", err)
	}
	defer func() { _ = db.Close() }()
	for _, name := range names {
		namespace, err := sqliteschema.NewNamespaceConfig(clusterName, name, false, nil)
		if err != nil {
			return fmt.Errorf("cannot describe namespace %q: %w", name, err)
		}
		namespace.Detail.Config.Retention = timestamp.DurationPtr(retention)
		if err := sqliteschema.CreateNamespaces(s.config, namespace); err != nil {
			return fmt.Errorf("cannot create namespace %q: %w", name, err)
		}
		if err := addSearchAttributes(ctx, db, name, wanted); err != nil {
			return fmt.Errorf("namespace %q: %w", name, err)
		}
	}
	return nil
}

// addSearchAttributes gives a namespace the search attributes that it lacks.
func addSearchAttributes(ctx context.Context, db sqlplugin.DB, namespace string, wanted map[string]enumspb.IndexedValueType) error {
	rows, err := db.SelectFromNamespace(ctx, sqlplugin.NamespaceFilter{Name: &namespace})
	if err != nil {
		return fmt.Errorf("cannot read it: %w", err)
	}
	row, serializer := rows[0], serialization.NewSerializer()
	encoding, err := enumspb.EncodingTypeFromString(row.DataEncoding)
	if err != nil {
		return fmt.Errorf("cannot read it: %w", err)
	}
	detail, err := serializer.NamespaceDetailFromBlob(&commonpb.DataBlob{Data: row.Data, EncodingType: encoding})
	if err != nil {
		return fmt.Errorf("cannot read it: %w", err)
	}
	changed, err := alias(detail.Config.CustomSearchAttributeAliases, wanted)
	if err != nil {
		return err
	}
	if len(changed) == len(detail.Config.CustomSearchAttributeAliases) {
		return nil
	}
	detail.Config.CustomSearchAttributeAliases = changed
	blob, err := serializer.NamespaceDetailToBlob(detail)
	if err != nil {
		return fmt.Errorf("cannot write it: %w", err)
	}
	row.Data, row.DataEncoding = blob.Data, blob.EncodingType.String()
	if _, err := db.UpdateNamespace(ctx, &row); err != nil {
		return fmt.Errorf("cannot write it: %w", err)
	}
	return nil
}

// alias gives every wanted search attribute a column of its type. Temporal's visibility table has a fixed number of
// columns a type (Keyword01, Keyword02 …); aliases maps those in use to the attributes' names.
func alias(aliases map[string]string, wanted map[string]enumspb.IndexedValueType) (map[string]string, error) {
	columns := sadefs.GetDBIndexSearchAttributes(nil).CustomSearchAttributes
	aliases = maps.Clone(aliases)
	if aliases == nil {
		aliases = map[string]string{}
	}
	types := map[string]enumspb.IndexedValueType{}
	for column, name := range aliases {
		types[name] = columns[column]
	}
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		kind := wanted[name]
		if is, exists := types[name]; exists {
			if is != kind {
				return nil, fmt.Errorf("search attribute %q is of type %s there already and cannot become %s: "+
					"choose another name or another --db-filename", name, is, kind)
			}
			continue
		}
		column, ok := freeColumn(columns, aliases, kind)
		if !ok {
			return nil, fmt.Errorf("search attribute %q is one more of type %s than Temporal has room for: leave one out", name, kind)
		}
		aliases[column] = name
	}
	return aliases, nil
}

// freeColumn finds the first column of a type that has no alias.
func freeColumn(columns map[string]enumspb.IndexedValueType, aliases map[string]string, kind enumspb.IndexedValueType) (string, bool) {
	for _, column := range slices.Sorted(maps.Keys(columns)) {
		if _, used := aliases[column]; !used && columns[column] == kind {
			return column, true
		}
	}
	return "", false
}

// parseSearchAttributes reads NAME=TYPE arguments; the type's case does not matter.
func parseSearchAttributes(arguments []string) (map[string]enumspb.IndexedValueType, error) {
	attributes := make(map[string]enumspb.IndexedValueType, len(arguments))
	for _, argument := range arguments {
		name, kind, err := pair("--search-attribute", argument, "NAME=TYPE")
		if err != nil {
			return nil, err
		}
		if name == "" || sadefs.IsReserved(name) {
			return nil, fmt.Errorf("--search-attribute %q: Temporal keeps the name %q for itself: choose another", argument, name)
		}
		if attributes[name], err = indexedValueType(kind); err != nil {
			return nil, fmt.Errorf("--search-attribute %q: %w", argument, err)
		}
	}
	return attributes, nil
}

func indexedValueType(name string) (enumspb.IndexedValueType, error) {
	for value := range enumspb.IndexedValueType_name {
		kind := enumspb.IndexedValueType(value)
		if kind != enumspb.INDEXED_VALUE_TYPE_UNSPECIFIED && strings.EqualFold(kind.String(), name) {
			return kind, nil
		}
	}
	return 0, fmt.Errorf("%q is not a type: give Text, Keyword, Int, Double, Bool, Datetime or KeywordList", name)
}

// errInUse is what lockFile reports when another process has the lock.
var errInUse = errors.New("another Temporal server is using it: stop that one, or name another file")
