-- +goose Up
-- Counts of the stock, alerts about low stock, and bulk imports of new stock.

-- Every process reads the counts every few seconds, so they must not cost more the more accounts there are.
CREATE TABLE pool_counts (
    provider           text NOT NULL,
    marketplace        text NOT NULL,
    environment        text NOT NULL,
    kind               text NOT NULL,
    model              text NOT NULL DEFAULT '',
    status             text NOT NULL,
    coming             boolean NOT NULL DEFAULT false,
    n                  integer NOT NULL,
    allocated_at       timestamptz,
    first_allocated_at timestamptz,
    CONSTRAINT pool_counts_kind_known CHECK (kind IN ('account', 'order'))
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_analyze_threshold = 1000);
COMMENT ON TABLE pool_counts IS
    'how many accounts and ended orders the pools have, as differences whose sum is the count: triggers of accounts and '
    'orders only add rows, so no transaction waits for another to count; the stock watch replaces many rows by their sum, '
    'and the reconciler adds what is missing';
COMMENT ON COLUMN pool_counts.status IS 'of the accounts, or the state of the orders';
COMMENT ON COLUMN pool_counts.coming IS 'of invalid accounts: they become ready when their verification passes';
COMMENT ON COLUMN pool_counts.n IS 'the difference; negative when accounts left the status';
COMMENT ON COLUMN pool_counts.allocated_at IS
    'of allocated accounts: when, and for the sum of a day when on average; NULL = longer ago than the forecast looks back';
COMMENT ON COLUMN pool_counts.first_allocated_at IS 'of allocated accounts: when the first of them was allocated';

-- +goose StatementBegin
CREATE FUNCTION accounts_counted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO pool_counts (provider, marketplace, environment, kind, model, status, coming, n, allocated_at, first_allocated_at)
    VALUES (OLD.provider, OLD.marketplace, OLD.environment, 'account', OLD.model, OLD.status,
            OLD.status = 'invalid' AND OLD.ready_when_verified, -1, CASE OLD.status WHEN 'allocated' THEN OLD.status_since END, NULL),
           (NEW.provider, NEW.marketplace, NEW.environment, 'account', NEW.model, NEW.status,
            NEW.status = 'invalid' AND NEW.ready_when_verified, 1, CASE NEW.status WHEN 'allocated' THEN NEW.status_since END,
            CASE NEW.status WHEN 'allocated' THEN NEW.status_since END);
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER accounts_counted AFTER UPDATE ON accounts FOR EACH ROW
    WHEN ((NEW.marketplace, NEW.environment, NEW.model, NEW.status, NEW.status_since, NEW.ready_when_verified)
        IS DISTINCT FROM (OLD.marketplace, OLD.environment, OLD.model, OLD.status, OLD.status_since, OLD.ready_when_verified))
    EXECUTE FUNCTION accounts_counted();

-- An import adds many accounts with one statement. What is added or deleted is ready or invalid, never allocated.
-- +goose StatementBegin
CREATE FUNCTION accounts_counted_together() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO pool_counts (provider, marketplace, environment, kind, model, status, coming, n)
    SELECT provider, marketplace, environment, 'account', model, status, status = 'invalid' AND ready_when_verified,
           CASE TG_OP WHEN 'INSERT' THEN count(*) ELSE -count(*) END
    FROM changed GROUP BY provider, marketplace, environment, model, status, status = 'invalid' AND ready_when_verified;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER accounts_counted_of_insert AFTER INSERT ON accounts REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION accounts_counted_together();
CREATE TRIGGER accounts_counted_of_delete AFTER DELETE ON accounts REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION accounts_counted_together();

-- Orders in progress are few, and are counted by an index. An order that has ended never changes its state again.
-- +goose StatementBegin
CREATE FUNCTION orders_counted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO pool_counts (provider, marketplace, environment, kind, status, n)
    VALUES (NEW.provider, NEW.marketplace, NEW.environment, 'order', NEW.state, 1);
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER orders_counted AFTER UPDATE ON orders FOR EACH ROW
    WHEN (NEW.state <> OLD.state AND NEW.state IN ('completed', 'failed', 'cancelled')) EXECUTE FUNCTION orders_counted();

CREATE TABLE stock_alerts (
    id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    seq             bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    provider        text NOT NULL,
    marketplace     text NOT NULL,
    environment     text NOT NULL,
    kind            text NOT NULL,
    kind_since      timestamptz NOT NULL,
    reason          text NOT NULL,
    ready           integer NOT NULL,
    orders_waiting  integer NOT NULL,
    opened_at       timestamptz NOT NULL,
    notified_at     timestamptz NOT NULL,
    notifications   integer NOT NULL,
    not_empty_since timestamptz,
    not_low_since   timestamptz,
    acknowledged_at timestamptz,
    acknowledged_by text NOT NULL DEFAULT '',
    note            text NOT NULL DEFAULT '',
    closed_at       timestamptz,
    FOREIGN KEY (provider, marketplace, environment) REFERENCES pools,
    CONSTRAINT stock_alerts_seq_unique UNIQUE (seq),
    CONSTRAINT stock_alerts_kind_known CHECK (kind IN ('low', 'empty')),
    CONSTRAINT stock_alerts_acknowledged_names_the_actor CHECK ((acknowledged_at IS NOT NULL) = (acknowledged_by <> ''))
);
COMMENT ON TABLE stock_alerts IS
    'an alert opens when a pool runs low, becomes worse and better with the stock, and closes automatically; '
    'written by the worker, and by the API when it is acknowledged';
COMMENT ON COLUMN stock_alerts.ready IS 'ready accounts when the alert was last written';
COMMENT ON COLUMN stock_alerts.notified_at IS 'when it was last raised as an event; it is repeated every pools.renotify_every';
COMMENT ON COLUMN stock_alerts.not_empty_since IS 'since when the stock has not been empty, without a break; NULL = it is empty';
COMMENT ON COLUMN stock_alerts.not_low_since IS
    'since when the stock has been above every threshold, without a break; NULL = it is not';
COMMENT ON COLUMN stock_alerts.acknowledged_at IS 'an acknowledged alert is not repeated; NULL again when it becomes worse';
COMMENT ON COLUMN stock_alerts.closed_at IS 'NULL = open';
-- A pool has one open alert at most. Also finds it.
CREATE UNIQUE INDEX stock_alerts_one_open ON stock_alerts (provider, marketplace, environment) WHERE closed_at IS NULL;
-- Lists the alerts of a provider by page.
CREATE INDEX stock_alerts_newest_first ON stock_alerts (provider, seq DESC);

CREATE TABLE account_imports (
    id            uuid PRIMARY KEY,
    provider      text NOT NULL REFERENCES providers (id),
    actor         text NOT NULL,
    dry_run       boolean NOT NULL,
    state         text NOT NULL DEFAULT 'running',
    reason        text NOT NULL DEFAULT '',
    started_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    progressed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at   timestamptz,
    file          bytea,
    file_sha256   bytea NOT NULL,
    file_bytes    integer NOT NULL,
    next_offset   bigint NOT NULL,
    next_line     integer NOT NULL,
    rows_total    integer NOT NULL,
    rows_done     integer NOT NULL DEFAULT 0,
    added         integer NOT NULL DEFAULT 0,
    unchanged     integer NOT NULL DEFAULT 0,
    faulty        integer NOT NULL DEFAULT 0,
    messages      integer NOT NULL DEFAULT 0,
    CONSTRAINT account_imports_state_known CHECK (state IN ('running', 'completed', 'failed')),
    CONSTRAINT account_imports_failed_says_why CHECK (state <> 'failed' OR reason <> ''),
    CONSTRAINT account_imports_finished_has_a_time CHECK ((state = 'running') = (finished_at IS NULL)),
    CONSTRAINT account_imports_file_only_while_running CHECK ((state = 'running') = (file IS NOT NULL)),
    CONSTRAINT account_imports_sha256_has_32_bytes CHECK (length(file_sha256) = 32),
    CONSTRAINT account_imports_every_row_has_an_outcome CHECK (rows_done = added + unchanged + faulty AND rows_done <= rows_total),
    CONSTRAINT account_imports_completed_is_complete CHECK (state <> 'completed' OR rows_done = rows_total)
);
COMMENT ON TABLE account_imports IS
    'bulk imports of accounts from CSV files; one transaction adds a batch of rows and advances the import, so that '
    'a crash neither loses nor repeats a row';
COMMENT ON COLUMN account_imports.progressed_at IS 'when the last batch was done: an import that stops for too long is failed';
COMMENT ON COLUMN account_imports.file IS 'the CSV file, deleted when the import ends';
COMMENT ON COLUMN account_imports.next_offset IS 'byte of the file at which the next row begins';
COMMENT ON COLUMN account_imports.next_line IS 'line of the file at which the next row begins';
COMMENT ON COLUMN account_imports.faulty IS 'rows that were not imported';
COMMENT ON COLUMN account_imports.messages IS 'faults of these rows';
-- Stored without compression, so that a batch reads its part of the file alone. CREATE TABLE can say so from PostgreSQL 16 on.
ALTER TABLE account_imports ALTER COLUMN file SET STORAGE EXTERNAL;
-- Lists the imports of a provider by page.
CREATE INDEX account_imports_newest_first ON account_imports (provider, started_at DESC, id DESC);
-- Finds imports that make no progress any more.
CREATE INDEX account_imports_running ON account_imports (progressed_at) WHERE state = 'running';

CREATE TABLE account_import_results (
    import_id       uuid NOT NULL REFERENCES account_imports (id) ON DELETE CASCADE,
    line            integer NOT NULL,
    nth             integer NOT NULL,
    outcome         text NOT NULL,
    account_id      text NOT NULL DEFAULT '',
    root_email      text NOT NULL DEFAULT '',
    column_name     text NOT NULL DEFAULT '',
    column_position integer NOT NULL DEFAULT 0,
    message         text NOT NULL DEFAULT '',
    PRIMARY KEY (import_id, line, nth),
    CONSTRAINT account_import_results_outcome_known CHECK (outcome IN ('added', 'unchanged', 'faulty')),
    CONSTRAINT account_import_results_fault_says_where_and_why CHECK ((outcome = 'faulty') = (message <> '')
        AND (outcome = 'faulty') = (column_position > 0))
);
COMMENT ON TABLE account_import_results IS
    'what became of each row of an imported file; written with the batch, deleted with the import';
COMMENT ON COLUMN account_import_results.line IS 'physical line of the file at which the row begins';
COMMENT ON COLUMN account_import_results.nth IS '0; of a faulty row, one entry for each fault, counted from 0';
COMMENT ON COLUMN account_import_results.account_id IS 'empty = the cell is wrong';
COMMENT ON COLUMN account_import_results.root_email IS 'in lower case; empty = the cell is wrong';
COMMENT ON COLUMN account_import_results.column_position IS 'column of the file with the fault, from 1; 0 = no fault';
-- Find an account id or an address that the same file has twice.
CREATE INDEX account_import_results_of_account ON account_import_results (import_id, account_id) WHERE account_id <> '';
CREATE INDEX account_import_results_of_root_email ON account_import_results (import_id, root_email) WHERE root_email <> '';

-- +goose Down
DROP TABLE account_import_results, account_imports, stock_alerts, pool_counts;
DROP TRIGGER accounts_counted ON accounts;
DROP TRIGGER accounts_counted_of_insert ON accounts;
DROP TRIGGER accounts_counted_of_delete ON accounts;
DROP TRIGGER orders_counted ON orders;
DROP FUNCTION accounts_counted(), accounts_counted_together(), orders_counted();
