package postgres_test

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/postgres"
)

// manyRowsSQL fills the database with 100,000 accounts and more than 70,000 orders. No account of the model ECAM is Ready in the pool
// north, and 10,000 orders wait there for one. 3,000 orders ask a question. The pool south has few rows.
const manyRowsSQL = `
SET session_replication_role = replica;
INSERT INTO providers (id, name) VALUES ('acme', 'Acme'), ('other', 'Other');
INSERT INTO pools (provider, marketplace, environment) VALUES
    ('acme', 'north', 'production'), ('acme', 'south', 'production'), ('other', 'north', 'production');
INSERT INTO accounts (id, provider, marketplace, environment, model, name, root_email, role_arn, external_id, added_at, status,
    status_since, reason, finding, ready_when_verified, order_id, claimed_at, verify_at, checked_at, verified_at)
SELECT to_char(i, 'FM000000000000'), CASE WHEN i > 98000 THEN 'other' ELSE 'acme' END, CASE WHEN i BETWEEN 97901 AND 98000 THEN 'south'
    ELSE 'north' END, 'production', 'SPAM', 'account', i || '@acme.test', 'arn:aws:iam::' || to_char(i, 'FM000000000000') || ':role/r',
    'the-external-id-' || i, now() - (200000 - i) * interval '1 minute', status, now() - interval '1 day',
    CASE WHEN status IN ('invalid', 'provisioning_failed') THEN 'broken' ELSE '' END, CASE status WHEN 'invalid' THEN 'broken' ELSE '' END,
    status = 'invalid',
    CASE WHEN status <> 'ready' THEN 'sold-' || i END, CASE WHEN status <> 'ready' THEN now() - (100000 - i) * interval '1 minute' END,
    CASE WHEN status = 'ready' THEN now() + i * interval '1 second' END, now() - i * interval '1 second', now() - i * interval '1 second'
FROM (SELECT i, CASE WHEN i % 1000 = 7 THEN 'provisioning_failed' WHEN i % 1000 = 8 THEN 'invalid' WHEN i <= 40000 THEN 'ready'
    ELSE 'allocated' END AS status FROM generate_series(1, 100000) i) rows;
INSERT INTO orders (provider, id, marketplace, environment, created_at, request, request_sha256, settings, state, state_since, result,
    failure)
SELECT provider, order_id, marketplace, environment, claimed_at,
    jsonb_build_object('marketplace', marketplace, 'environment', environment, 'aws_account_alias', 'alias-' || order_id, 'customer',
        jsonb_build_object('id', 'c-' || added_seq % 1000)),
    '', '{}', CASE status WHEN 'allocated' THEN 'completed' ELSE 'failed' END, status_since,
    CASE status WHEN 'allocated' THEN jsonb_build_object('account_id', id) END, CASE WHEN status <> 'allocated' THEN '{}'::jsonb END
FROM accounts WHERE order_id IS NOT NULL ORDER BY claimed_at;
INSERT INTO orders (provider, id, marketplace, environment, model, created_at, request, request_sha256, settings, state, queue_position)
SELECT 'acme', 'waiting-' || i, 'north', 'production', 'ECAM', now(), '{"account_model": "ECAM"}', '', '{}', 'waiting_for_account', i
FROM generate_series(1, 10000) i;
SELECT setval('orders_queue', 20000);
INSERT INTO orders (provider, id, marketplace, environment, created_at, request, request_sha256, settings, state, failure)
SELECT 'acme', 'asks-' || i, 'north', 'production', now() - i * interval '1 hour', '{}', '', '{}', 'action_required',
    CASE WHEN i % 50 = 0 THEN '{"code": "AliasTaken", "field": "aws_account_alias"}' ELSE '{"code": "PermissionMissing"}' END::jsonb
FROM generate_series(1, 3000) i;
INSERT INTO stock_history (provider, marketplace, environment, model, hour, ready, orders_waiting, allocated)
SELECT p.provider, p.marketplace, p.environment, model, date_trunc('hour', now()) - i * interval '1 hour', 1, 0, 2160 - i
FROM pools p, unnest(ARRAY['', 'SPAM', 'ECAM']) model, generate_series(0, 2160) i;
INSERT INTO order_steps (provider, order_id, account_id, step, state, attempt)
SELECT provider, order_id, id, 'iam_user', 'done', 1 FROM accounts WHERE order_id IS NOT NULL;
INSERT INTO order_passwords (provider, order_id, account_id, expires_at)
SELECT provider, order_id, id, now() FROM accounts WHERE status = 'allocated' AND id > '000000090000';
INSERT INTO order_history (provider, order_id, marketplace, environment, at, actor, from_state, to_state)
SELECT provider, id, marketplace, environment, created_at, 'order ' || id, 'accepted', state FROM orders
WHERE starts_with(id, 'sold-9');
INSERT INTO account_history (provider, account_id, marketplace, environment, at, actor, to_status, reason)
SELECT provider, id, marketplace, environment, added_at, 'jane ' || added_seq % 50, 'ready', '' FROM accounts WHERE added_seq % 4 = 0;
INSERT INTO events (provider, type, subject, at, data)
SELECT provider, 'order.' || state, id, created_at, jsonb_build_object('marketplace', marketplace) FROM orders
WHERE starts_with(id, 'sold-9');
VACUUM ANALYZE`

func fillWithManyRows(t *testing.T, address string) {
	t.Helper()
	db, err := sqlx.Open("postgres", address)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	db.SetMaxOpenConns(1)
	for statement := range strings.SplitSeq(manyRowsSQL, ";\n") { // one by one, because VACUUM runs outside of transactions
		_, err := db.ExecContext(t.Context(), statement)
		require.NoError(t, err, statement)
	}
}

// plan is what PostgreSQL did for a statement.
type plan struct {
	Query string         `json:"Query Text"`
	Root  map[string]any `json:"Plan"`
}

// plans collects the plans of all statements of a database, those of its triggers and foreign keys included, as the
// extension auto_explain reports them.
type plans struct {
	mu   sync.Mutex
	seen []plan
}

// explained returns a database whose connections report plans, made for any arguments (generic) or for the given ones.
func explained(t *testing.T, address string, generic bool) (*postgres.DB, *plans) {
	t.Helper()
	mode := map[bool]string{true: "force_generic_plan", false: "force_custom_plan"}[generic]
	connector, err := pq.NewConnector(address + "&plan_cache_mode=" + mode + "&session_preload_libraries=auto_explain" +
		"&client_min_messages=log" +
		"&auto_explain.log_min_duration=0&auto_explain.log_analyze=on&auto_explain.log_buffers=on&auto_explain.log_timing=off" +
		"&auto_explain.log_nested_statements=on&auto_explain.log_format=json")
	require.NoError(t, err)
	p := &plans{}
	connections := sqlx.NewDb(sql.OpenDB(pq.ConnectorWithNoticeHandler(connector, func(notice *pq.Error) {
		_, text, isPlan := strings.Cut(notice.Message, "plan:\n")
		if !isPlan {
			return
		}
		var one plan
		if err := json.Unmarshal([]byte(text), &one); err != nil {
			t.Error(err)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.seen = append(p.seen, one)
	})), "postgres")
	t.Cleanup(func() { require.NoError(t, connections.Close()) })
	return postgres.New(connections), p
}

// take returns the plans since the last call.
func (p *plans) take() []plan {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer func() { p.seen = nil }()
	return p.seen
}

// manyRows are the tables that manyRowsSQL fills.
var manyRows = map[string]bool{"accounts": true, "orders": true, "order_steps": true, "order_passwords": true, "order_history": true,
	"account_history": true, "events": true, "stock_history": true}

// scanned returns the tables with many rows that a plan reads from beginning to end.
func scanned(node map[string]any) (tables []string) {
	if table := fmt.Sprint(node["Relation Name"]); node["Node Type"] == "Seq Scan" && manyRows[table] {
		tables = append(tables, table)
	}
	for _, child := range children(node) {
		tables = append(tables, scanned(child)...)
	}
	return tables
}

func children(node map[string]any) (below []map[string]any) {
	plans, _ := node["Plans"].([]any)
	for _, child := range plans {
		if child, ok := child.(map[string]any); ok {
			below = append(below, child)
		}
	}
	return below
}

// pagesRead counts the pages of 8 KiB that a plan read.
func pagesRead(node map[string]any) float64 {
	hit, _ := node["Shared Hit Blocks"].(float64)
	read, _ := node["Shared Read Blocks"].(float64)
	return hit + read
}
