//go:build unix

package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/jmoiron/sqlx"

	"quartermaster/migrations"
)

// maxGrowth is how much larger than the template a database may be that another test gets, in bytes.
const maxGrowth = 4 << 20

// template is the migrated database that New copies, and the copies that no test uses now. To create and drop a database takes a third
// of a second, ten times as long as to clear it.
type template struct {
	name        string
	fingerprint string // of the schema
	size        int64  // bytes

	mu   sync.Mutex
	idle []string
}

// reset clears a copy.
const reset = `SELECT migrated.reset()`

// fingerprint changes with every table, column, constraint, function and trigger, and when a table is analyzed.
const fingerprint = `SELECT string_agg(rows || '/' || changed, ' ') FROM (
	SELECT count(*) rows, sum(xmin::text::bigint) changed FROM pg_class UNION ALL
	SELECT count(*), sum(xmin::text::bigint) FROM pg_attribute UNION ALL
	SELECT count(*), sum(xmin::text::bigint) FROM pg_constraint UNION ALL
	SELECT count(*), sum(xmin::text::bigint) FROM pg_proc UNION ALL
	SELECT count(*), sum(xmin::text::bigint) FROM pg_trigger UNION ALL
	SELECT count(*), count(*) FROM pg_statistic UNION ALL
	SELECT count(*), count(*) FROM pg_db_role_setting WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
) catalogs`

// prepare creates the template.
func (c *template) prepare(ctx context.Context) (err error) {
	name := "qm_test_template_" + strings.ToLower(rand.Text())
	if _, err := shared.admin.ExecContext(ctx, "CREATE DATABASE "+name+" TEMPLATE template0"); err != nil {
		return fmt.Errorf("create the template database: %w", err)
	}
	c.name = name
	db, err := sqlx.Open("postgres", shared.server.URL(name))
	if err != nil {
		return fmt.Errorf("open the template database: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }() // a database that has connections cannot be copied
	if _, err := migrations.Up(ctx, db.DB); err != nil {
		return err
	}
	if err := createReset(ctx, db); err != nil {
		return fmt.Errorf("prepare the template database: %w", err)
	}
	c.fingerprint, c.size, err = measure(ctx, db)
	return err
}

// createReset creates the function that brings a copy back to the rows of the migrations, which it keeps in a schema of its own. No
// statement of the function changes the schema: that would make every session plan its statements again. As a replica, the server runs
// no triggers and checks no foreign keys.
func createReset(ctx context.Context, db *sqlx.DB) error {
	var tables, sequences []string
	err := errors.Join(
		db.SelectContext(ctx, &tables, `SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename`),
		db.SelectContext(ctx, &sequences, `SELECT format('PERFORM setval(%L, %s, %L);',
			quote_ident(schemaname) || '.' || quote_ident(sequencename), coalesce(last_value, start_value), last_value IS NOT NULL)
			FROM pg_sequences WHERE schemaname = 'public' ORDER BY sequencename`))
	if err != nil {
		return err
	}
	statements := []string{"CREATE SCHEMA migrated"}
	body := sequences
	for _, table := range tables {
		body = append(body, "DELETE FROM public."+table+";")
		var filled bool
		if err := db.GetContext(ctx, &filled, "SELECT EXISTS (SELECT FROM public."+table+")"); err != nil {
			return err
		}
		if filled {
			statements = append(statements, "CREATE TABLE migrated."+table+" AS TABLE public."+table)
			body = append(body, "INSERT INTO public."+table+" TABLE migrated."+table+";")
		}
	}
	statements = append(statements, `CREATE FUNCTION migrated.reset() RETURNS void LANGUAGE plpgsql
		SET session_replication_role = replica AS $$ BEGIN `+strings.Join(body, " ")+` END $$`)
	_, err = db.ExecContext(ctx, strings.Join(statements, ";\n"))
	return err
}

// measure returns the fingerprint of the schema and the size of a database.
func measure(ctx context.Context, db *sqlx.DB) (schema string, size int64, err error) {
	err = errors.Join(
		db.GetContext(ctx, &schema, fingerprint),
		db.GetContext(ctx, &size, `SELECT pg_database_size(current_database())`))
	return schema, size, err
}

// take returns an idle copy, or "" when there is none.
func (c *template) take() (name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if last := len(c.idle) - 1; last >= 0 {
		name, c.idle = c.idle[last], c.idle[:last]
	}
	return name
}

func (c *template) put(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.idle = append(c.idle, name)
}

// Clear brings a database of New back to the rows that the migrations made, for the next case of the same test.
func Clear(t testing.TB, db *sqlx.DB) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), reset); err != nil {
		t.Fatalf("clear the test database: %v", err)
	}
}

// giveBack keeps the database of a test that has ended for another test. It drops one that cannot be cleared, whose schema the test
// has changed, or that has grown.
func giveBack(t testing.TB, name string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), databaseTimeout)
	defer cancel()
	if t.Failed() || !cleared(ctx, name) {
		drop(t, name)
		return
	}
	shared.template.put(name)
}

// cleared ends the connections that the test has left open and clears its database.
func cleared(ctx context.Context, name string) bool {
	db, err := sqlx.Open("postgres", shared.server.URL(name))
	if err != nil {
		return false
	}
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(1)
	_, err = db.ExecContext(ctx, `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid()`)
	if err == nil {
		_, err = db.ExecContext(ctx, reset)
	}
	schema, size, measureErr := measure(ctx, db)
	return err == nil && measureErr == nil && schema == shared.template.fingerprint && size <= shared.template.size+maxGrowth
}
