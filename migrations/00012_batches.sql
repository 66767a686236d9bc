-- +goose Up
CREATE TABLE batches (
    provider        text NOT NULL REFERENCES providers (id),
    id              uuid NOT NULL,
    marketplaces    text[],
    actor           text NOT NULL,
    verb            text NOT NULL,
    targets         text NOT NULL,
    reason          text NOT NULL,
    request_sha256  bytea NOT NULL,
    state           text NOT NULL DEFAULT 'running',
    stopped_because text NOT NULL DEFAULT '',
    started_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    progressed_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at     timestamptz,
    total           integer NOT NULL,
    done            integer NOT NULL DEFAULT 0,
    refused         integer NOT NULL DEFAULT 0,
    failed          integer NOT NULL DEFAULT 0,
    PRIMARY KEY (provider, id),
    CONSTRAINT batches_verb_known CHECK (
        targets = 'orders' AND verb IN ('retry', 'cancel', 'fail', 'swap', 'end_undo')
        OR targets = 'accounts' AND verb IN ('verify', 'invalidate', 'return', 'delete')),
    CONSTRAINT batches_state_known CHECK (state IN ('running', 'completed', 'stopped')),
    CONSTRAINT batches_stopped_says_why CHECK ((state = 'stopped') = (stopped_because <> '')),
    CONSTRAINT batches_finished_has_a_time CHECK ((state = 'running') = (finished_at IS NULL)),
    CONSTRAINT batches_sha256_has_32_bytes CHECK (length(request_sha256) = 32),
    CONSTRAINT batches_size CHECK (total BETWEEN 1 AND 10000 AND done + refused + failed <= total),
    CONSTRAINT batches_completed_is_complete CHECK (state <> 'completed' OR done + refused + failed = total)
);
COMMENT ON TABLE batches IS 'one verb for many orders or accounts; the workflow RunBatch does it, row by row';
COMMENT ON COLUMN batches.id IS 'chosen by the caller, so that a repeated request starts nothing twice';
COMMENT ON COLUMN batches.marketplaces IS 'the marketplaces to which the caller''s key is bound; NULL = all of the provider';
COMMENT ON COLUMN batches.actor IS 'who wants it, for the histories of the orders or accounts';
COMMENT ON COLUMN batches.request_sha256 IS 'hash of the request; a repeated request is compared with it';
COMMENT ON COLUMN batches.progressed_at IS 'when rows were last done: a batch that makes no progress for too long is stopped';
COMMENT ON COLUMN batches.done IS 'rows with that outcome, like refused and failed; counted after each page of rows';
-- Lists the batches of a provider by page.
CREATE INDEX batches_newest_first ON batches (provider, started_at DESC, id DESC);
-- Finds batches that make no progress any more.
CREATE INDEX batches_running ON batches (progressed_at) WHERE state = 'running';

CREATE TABLE batch_rows (
    provider   text NOT NULL,
    batch_id   uuid NOT NULL,
    n          integer NOT NULL,
    target_id  text NOT NULL,
    account_id text NOT NULL DEFAULT '',
    outcome    text NOT NULL DEFAULT 'waiting',
    code       text NOT NULL DEFAULT '',
    message    text NOT NULL DEFAULT '',
    ended_at   timestamptz,
    PRIMARY KEY (provider, batch_id, n),
    FOREIGN KEY (provider, batch_id) REFERENCES batches (provider, id) ON DELETE CASCADE,
    CONSTRAINT batch_rows_outcome_known CHECK (outcome IN ('waiting', 'done', 'refused', 'failed')),
    CONSTRAINT batch_rows_says_why CHECK ((outcome IN ('refused', 'failed')) = (code <> '' AND message <> '')),
    CONSTRAINT batch_rows_ended_has_a_time CHECK ((outcome = 'waiting') = (ended_at IS NULL))
);
COMMENT ON TABLE batch_rows IS
    'what became of each order or account of a batch; the row of an account changes in the transaction that changes the account; '
    'deleted with the batch';
COMMENT ON COLUMN batch_rows.n IS 'the place in the batch, from 1';
COMMENT ON COLUMN batch_rows.target_id IS 'the order or account';
COMMENT ON COLUMN batch_rows.account_id IS
    'of a row that swaps: the account that the order held when the batch was created, which alone is swapped';
COMMENT ON COLUMN batch_rows.code IS 'why it was refused or failed: the code of the API''s problem';
-- Finds the next rows of a batch, counts the rows by outcome, and lists those with an outcome.
CREATE INDEX batch_rows_by_outcome ON batch_rows (provider, batch_id, outcome, n);

-- +goose Down
DROP TABLE batch_rows, batches;
