-- +goose Up
-- Bulk imports of accounts. The file is kept only until it is read; how far it was read changes in the transaction that adds the
-- rows, so that whoever goes on after a crash neither loses nor doubles one.
CREATE TABLE account_imports (
    id            uuid PRIMARY KEY,
    provider      text NOT NULL REFERENCES providers (id),
    actor         text NOT NULL,
    dry_run       boolean NOT NULL,
    by_workflow   boolean NOT NULL,
    state         text NOT NULL DEFAULT 'running',
    reason        text NOT NULL DEFAULT '',
    file          bytea,
    file_sha256   bytea NOT NULL,
    file_bytes    integer NOT NULL,
    rows_total    integer NOT NULL,
    rows_done     integer NOT NULL DEFAULT 0,
    added         integer NOT NULL DEFAULT 0,
    unchanged     integer NOT NULL DEFAULT 0,
    faulty        integer NOT NULL DEFAULT 0,
    messages      integer NOT NULL DEFAULT 0,
    next_offset   bigint NOT NULL,
    next_line     integer NOT NULL,
    started_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    progressed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at   timestamptz,
    CONSTRAINT account_imports_state_known CHECK (state IN ('running', 'completed', 'failed')),
    CONSTRAINT account_imports_file_only_while_running CHECK ((state = 'running') = (file IS NOT NULL)),
    CONSTRAINT account_imports_finished_has_a_time CHECK ((state = 'running') = (finished_at IS NULL)),
    CONSTRAINT account_imports_failed_says_why CHECK (state <> 'failed' OR reason <> ''),
    CONSTRAINT account_imports_every_row_has_an_outcome CHECK (rows_done = added + unchanged + faulty AND rows_done <= rows_total),
    CONSTRAINT account_imports_completed_is_complete CHECK (state <> 'completed' OR rows_done = rows_total),
    CONSTRAINT account_imports_sha256_has_32_bytes CHECK (length(file_sha256) = 32)
);
COMMENT ON COLUMN account_imports.by_workflow IS 'a Temporal workflow does the work; false: a command does, and when it dies nobody goes on';
COMMENT ON COLUMN account_imports.next_offset IS 'the byte of the file at which the next row begins';
COMMENT ON COLUMN account_imports.messages IS 'how many faults the faulty rows have';
ALTER TABLE account_imports ALTER COLUMN file SET STORAGE EXTERNAL; -- not compressed, so that a part is read without the rest
CREATE INDEX account_imports_newest_first ON account_imports (provider, started_at DESC, id DESC);
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
    CONSTRAINT account_import_results_fault_says_where_and_why CHECK ((outcome = 'faulty') = (message <> '') AND (outcome = 'faulty') = (column_position > 0))
);
COMMENT ON COLUMN account_import_results.line IS 'the physical line of the file at which the row begins';
COMMENT ON COLUMN account_import_results.root_email IS 'in lower case, to find an address that stands twice in one file; empty = the cell is wrong';
COMMENT ON COLUMN account_import_results.nth IS 'a row has one entry, or one for each of its faults';
CREATE INDEX account_import_results_of_account ON account_import_results (import_id, account_id) WHERE account_id <> '';
CREATE INDEX account_import_results_of_root_email ON account_import_results (import_id, root_email) WHERE root_email <> '';

-- +goose Down
DROP TABLE account_import_results, account_imports;
