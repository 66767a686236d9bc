-- +goose Up
-- What callers of the API keep: the requests that may take effect only once, and the filters that they saved. And what the last
-- attempt to reach a webhook came to.

CREATE TABLE idempotency_keys (
    provider       text NOT NULL REFERENCES providers (id),
    caller         text NOT NULL,
    key            text NOT NULL,
    request_sha256 bytea NOT NULL,
    made           text NOT NULL,
    at             timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT idempotency_keys_one_request_per_key PRIMARY KEY (provider, caller, key),
    CONSTRAINT idempotency_keys_key_length CHECK (length(key) BETWEEN 1 AND 255),
    CONSTRAINT idempotency_keys_sha256_has_32_bytes CHECK (length(request_sha256) = 32)
);
COMMENT ON TABLE idempotency_keys IS
    'requests that made a secret under an Idempotency-Key; written in the transaction that makes the thing; the worker purges '
    'them after a day';
COMMENT ON COLUMN idempotency_keys.caller IS 'the API key or the person that sent the request';
COMMENT ON COLUMN idempotency_keys.request_sha256 IS 'SHA-256 of the operation and its content; another request must not have the same key';
COMMENT ON COLUMN idempotency_keys.made IS 'id of what the request made';
-- Finds what is old enough to purge.
CREATE INDEX idempotency_keys_oldest_first ON idempotency_keys (at);

CREATE TABLE saved_filters (
    provider text NOT NULL REFERENCES providers (id),
    owner    text NOT NULL,
    name     text NOT NULL,
    page     text NOT NULL,
    query    text NOT NULL,
    saved_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT saved_filters_one_per_name PRIMARY KEY (provider, owner, name),
    CONSTRAINT saved_filters_page_known CHECK (page IN ('orders', 'accounts', 'history')),
    CONSTRAINT saved_filters_name_length CHECK (length(name) BETWEEN 1 AND 60),
    CONSTRAINT saved_filters_query_length CHECK (length(query) BETWEEN 1 AND 2000)
);
COMMENT ON TABLE saved_filters IS 'filters of lists that a person or an API key saved for itself; written through the API';
COMMENT ON COLUMN saved_filters.owner IS 'the API key or the person that the filter belongs to; no one else sees it';

ALTER TABLE webhooks
    ADD COLUMN last_attempt_at timestamptz,
    ADD COLUMN last_status_code integer,
    ADD COLUMN last_error text NOT NULL DEFAULT '';
COMMENT ON COLUMN webhooks.last_attempt_at IS
    'when the last attempt was made that was no test; NULL = there was none since the column exists';
COMMENT ON COLUMN webhooks.last_status_code IS 'of the response to that attempt; NULL = there was no response';
COMMENT ON COLUMN webhooks.last_error IS 'why that attempt failed; empty = the receiver accepted the message';

-- +goose Down
ALTER TABLE webhooks DROP COLUMN last_attempt_at, DROP COLUMN last_status_code, DROP COLUMN last_error;
DROP TABLE saved_filters, idempotency_keys;
