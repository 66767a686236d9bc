-- +goose Up
-- Webhooks: endpoints, their secrets, what is to be delivered to them, and every attempt. What is delivered is derived from `events`.

-- A reader of events goes by seq, which keeps the order of what happened to one thing: it is drawn while the thing is locked. But seq is
-- drawn before the commit, and neither seq nor the number of the transaction tells what may still appear in between: a transaction with
-- an older number may draw a later seq. So whoever emits announces it first, by an advisory lock that lasts until his transaction is over and
-- whose key is the last seq that was drawn before: every seq of his is greater. events_settled() reads these keys.
-- Key: 0x514D ("QM") in the upper 16 bits, the seq in the lower 48.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION emit_event(of_provider text, of_type text, about text, content jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('qm.announced', true) IS DISTINCT FROM pg_current_xact_id()::text THEN -- once in a transaction is enough: the first seq is the lowest
        PERFORM pg_advisory_xact_lock_shared((x'514D'::bigint << 48) | (SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM events_seq_seq));
        PERFORM set_config('qm.announced', pg_current_xact_id()::text, true);
    END IF;
    INSERT INTO events (provider, type, subject, data) VALUES (of_provider, of_type, about, content);
    PERFORM pg_notify('quartermaster_events', of_provider); -- a hint; whoever misses it looks again later
END $$;
-- +goose StatementEnd
COMMENT ON TABLE events IS 'written by emit_event() only: a reader would lose what is inserted without its lock';
COMMENT ON COLUMN events.tx IS 'the transaction that wrote it';

-- events_settled is the last seq up to which nothing can appear any more: readers stop there. What it says holds for statements that begin after it.
-- The sequence is read before the locks: who announces himself after the look at the locks draws a seq after the look at the sequence.
-- +goose StatementBegin
CREATE FUNCTION events_settled() RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    drawn bigint;
    open_after bigint;
BEGIN
    SELECT CASE WHEN is_called THEN last_value ELSE 0 END INTO drawn FROM events_seq_seq;
    SELECT min(((classid::bigint & 65535) << 32) | objid::bigint) INTO open_after FROM pg_locks
    WHERE locktype = 'advisory' AND objsubid = 1 AND classid::bigint >> 16 = x'514D'::bigint AND database = (SELECT oid FROM pg_database WHERE datname = current_database());
    RETURN LEAST(drawn, open_after);
END $$;
-- +goose StatementEnd

-- What was purged: a reader who stopped before it must be told that he missed something.
CREATE TABLE event_purges (
    provider text PRIMARY KEY REFERENCES providers (id),
    through  bigint NOT NULL
);
COMMENT ON COLUMN event_purges.through IS 'events of the provider up to this seq may be gone';
CREATE INDEX events_oldest ON events (at);

CREATE TABLE webhooks (
    id               uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    provider         text NOT NULL REFERENCES providers (id),
    kind             text NOT NULL DEFAULT 'endpoint',
    url              text NOT NULL,
    event_types      text[] NOT NULL DEFAULT '{}',
    description      text NOT NULL DEFAULT '',
    enabled          boolean NOT NULL DEFAULT true,
    disabled_by      text NOT NULL DEFAULT '',
    disabled_because text NOT NULL DEFAULT '',
    disabled_at      timestamptz,
    failing_since    timestamptz,
    position         bigint NOT NULL,
    version          bigint NOT NULL DEFAULT 1,
    created_by       text NOT NULL,
    created_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT webhooks_kind_known CHECK (kind IN ('endpoint', 'callback')),
    CONSTRAINT webhooks_url_length CHECK (length(url) BETWEEN 1 AND 2048),
    CONSTRAINT webhooks_callback_has_no_filter CHECK (kind = 'endpoint' OR event_types = '{}'),
    CONSTRAINT webhooks_disabled_says_why CHECK (enabled = (disabled_at IS NULL) AND (enabled OR disabled_by <> '' AND disabled_because <> ''))
);
COMMENT ON COLUMN webhooks.kind IS 'endpoint: made by the API; callback: the callback_url of orders, hears of those orders only';
COMMENT ON COLUMN webhooks.event_types IS 'types, or families such as order.*; empty = all';
COMMENT ON COLUMN webhooks.failing_since IS 'when the attempts that fail without one that succeeds began';
COMMENT ON COLUMN webhooks.position IS 'seq of the last event that was looked at for it: what came later has no delivery yet';
CREATE UNIQUE INDEX webhooks_one_callback_per_url ON webhooks (provider, url) WHERE kind = 'callback';
CREATE INDEX webhooks_of_provider ON webhooks (provider, created_at, id);
CREATE INDEX orders_of_callback ON orders (provider, (request ->> 'callback_url')) WHERE request ->> 'callback_url' IS NOT NULL;

-- Marketplaces may give every order a callback of its own, so callbacks are not looked at one by one: what is new leads to them.
CREATE TABLE callback_looks (
    provider text PRIMARY KEY REFERENCES providers (id),
    through  bigint NOT NULL
);
COMMENT ON COLUMN callback_looks.through IS 'events of the provider up to this seq were looked at for its callbacks that are enabled';

CREATE TABLE webhook_secrets (
    id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    provider   text NOT NULL REFERENCES providers (id),
    webhook_id uuid REFERENCES webhooks (id) ON DELETE CASCADE,
    sealed     bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz
);
COMMENT ON COLUMN webhook_secrets.webhook_id IS 'whose it is; NULL = that of all callbacks of the provider';
COMMENT ON COLUMN webhook_secrets.sealed IS 'AES-256-GCM; the text was shown once';
COMMENT ON COLUMN webhook_secrets.expires_at IS 'until when the one before the last rotation still signs; NULL = the newest';
CREATE UNIQUE INDEX webhook_secrets_one_newest ON webhook_secrets (provider, webhook_id) NULLS NOT DISTINCT WHERE expires_at IS NULL;
CREATE UNIQUE INDEX webhook_secrets_one_older ON webhook_secrets (provider, webhook_id) NULLS NOT DISTINCT WHERE expires_at IS NOT NULL;

CREATE TABLE webhook_deliveries (
    id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    webhook_id      uuid NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    event_seq       bigint NOT NULL REFERENCES events (seq),
    state           text NOT NULL DEFAULT 'pending',
    attempts        integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz DEFAULT now(),
    ended_at        timestamptz,
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT webhook_deliveries_once UNIQUE (webhook_id, event_seq),
    CONSTRAINT webhook_deliveries_state_known CHECK (state IN ('pending', 'delivered', 'failed')),
    CONSTRAINT webhook_deliveries_pending_has_a_time CHECK ((state = 'pending') = (next_attempt_at IS NOT NULL) AND (state = 'pending') = (ended_at IS NULL))
);
COMMENT ON COLUMN webhook_deliveries.attempts IS 'of this round: a resend begins at 0 again';
CREATE INDEX webhook_deliveries_head ON webhook_deliveries (webhook_id, event_seq) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_ended ON webhook_deliveries (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX webhook_deliveries_of_event ON webhook_deliveries (event_seq);

CREATE TABLE webhook_attempts (
    seq         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    delivery_id uuid NOT NULL REFERENCES webhook_deliveries (id) ON DELETE CASCADE,
    at          timestamptz NOT NULL,
    status_code integer,
    error       text NOT NULL DEFAULT '',
    answer      text NOT NULL DEFAULT '',
    took_ms     integer NOT NULL,
    CONSTRAINT webhook_attempts_answer_is_short CHECK (length(answer) <= 1024)
);
COMMENT ON COLUMN webhook_attempts.status_code IS 'NULL = there was no answer';
COMMENT ON COLUMN webhook_attempts.answer IS 'how the body of the answer began, when it was no success';
CREATE INDEX webhook_attempts_of_delivery ON webhook_attempts (delivery_id, seq);

-- The callback of an order is an endpoint of its own, made with the order's row. By its name this runs before orders_emit, so that the
-- order's first event comes after its position.
-- +goose StatementBegin
CREATE FUNCTION orders_callback() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO webhooks (provider, kind, url, position, created_by)
    VALUES (NEW.provider, 'callback', NEW.request ->> 'callback_url', (SELECT COALESCE(max(seq), 0) FROM events), 'order ' || NEW.id)
    ON CONFLICT (provider, url) WHERE kind = 'callback' DO NOTHING;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER orders_callback AFTER INSERT ON orders FOR EACH ROW WHEN (NEW.request ->> 'callback_url' IS NOT NULL) EXECUTE FUNCTION orders_callback();
INSERT INTO webhooks (provider, kind, url, position, created_by)
SELECT DISTINCT ON (provider, request ->> 'callback_url') provider, 'callback', request ->> 'callback_url', (SELECT COALESCE(max(seq), 0) FROM events), 'order ' || id
FROM orders WHERE request ->> 'callback_url' IS NOT NULL;

-- +goose Down
DROP TRIGGER orders_callback ON orders;
DROP FUNCTION orders_callback();
DROP TABLE webhook_attempts, webhook_deliveries, webhook_secrets, callback_looks, webhooks, event_purges;
DROP INDEX orders_of_callback, events_oldest;
DROP FUNCTION events_settled();
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION emit_event(of_provider text, of_type text, about text, content jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO events (provider, type, subject, data) VALUES (of_provider, of_type, about, content);
    PERFORM pg_notify('quartermaster_events', of_provider); -- a hint; whoever misses it looks again later
END $$;
-- +goose StatementEnd
COMMENT ON TABLE events IS NULL;
COMMENT ON COLUMN events.tx IS 'the transaction that wrote it: seq is drawn before the commit, so a reader that goes by seq stops before the oldest transaction that is still open';
