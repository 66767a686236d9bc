-- +goose Up
-- Webhooks: the endpoints, their secrets, what they are due to receive, and every attempt. Deliveries are derived from events.

CREATE TABLE webhooks (
    id               uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    provider         text NOT NULL REFERENCES providers (id),
    kind             text NOT NULL DEFAULT 'endpoint',
    url              text NOT NULL,
    event_types      text[] NOT NULL DEFAULT '{}',
    marketplaces     text[],
    description      text NOT NULL DEFAULT '',
    version          bigint NOT NULL DEFAULT 1,
    created_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_by       text NOT NULL,
    enabled          boolean NOT NULL DEFAULT true,
    disabled_at      timestamptz,
    disabled_by      text NOT NULL DEFAULT '',
    disabled_because text NOT NULL DEFAULT '',
    failing_since    timestamptz,
    position         bigint NOT NULL,
    CONSTRAINT webhooks_kind_known CHECK (kind IN ('endpoint', 'callback')),
    CONSTRAINT webhooks_url_length CHECK (length(url) BETWEEN 1 AND 2048),
    CONSTRAINT webhooks_callback_has_no_filter CHECK (kind = 'endpoint' OR event_types = '{}' AND marketplaces IS NULL),
    CONSTRAINT webhooks_marketplaces_are_some CHECK (cardinality(marketplaces) > 0 AND array_position(marketplaces, NULL) IS NULL),
    CONSTRAINT webhooks_disabled_says_why CHECK (enabled = (disabled_at IS NULL)
        AND (enabled OR disabled_by <> '' AND disabled_because <> ''))
);
COMMENT ON TABLE webhooks IS
    'where events are sent; endpoints are written through the API, callbacks by a trigger of orders, and the worker '
    'disables what fails for too long';
COMMENT ON COLUMN webhooks.kind IS
    'endpoint = created through the API; callback = the callback_url of orders, receives the events of those orders '
    'only';
COMMENT ON COLUMN webhooks.event_types IS 'types, or families such as order.*; empty = all';
COMMENT ON COLUMN webhooks.marketplaces IS
    'limits the endpoint to events about orders of these marketplaces; NULL = every event';
COMMENT ON COLUMN webhooks.version IS 'counts the changes: the ETag of the webhook';
COMMENT ON COLUMN webhooks.failing_since IS
    'when the first of the attempts failed that have failed without a success since; NULL = the last one succeeded';
COMMENT ON COLUMN webhooks.position IS 'seq of the last event that was considered for it: later ones have no delivery yet';
-- Orders with the same callback URL share one webhook.
CREATE UNIQUE INDEX webhooks_one_callback_per_url ON webhooks (provider, url) WHERE kind = 'callback';
-- Lists the webhooks of a provider by page.
CREATE INDEX webhooks_of_provider ON webhooks (provider, created_at, id);

CREATE TABLE callback_positions (
    provider text PRIMARY KEY REFERENCES providers (id),
    through  bigint NOT NULL
);
COMMENT ON TABLE callback_positions IS
    'how far events were considered for callbacks: a provider may have one per order, so the worker goes from new '
    'events to their callbacks instead of asking each callback';
COMMENT ON COLUMN callback_positions.through IS 'events of the provider up to this seq were considered for its enabled callbacks';

CREATE TABLE webhook_secrets (
    id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    provider   text NOT NULL REFERENCES providers (id),
    webhook_id uuid REFERENCES webhooks (id) ON DELETE CASCADE,
    sealed     bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz
);
COMMENT ON TABLE webhook_secrets IS 'secrets that sign deliveries; written when a webhook is created or its secret is rotated';
COMMENT ON COLUMN webhook_secrets.webhook_id IS 'the endpoint; NULL = all callbacks of the provider';
COMMENT ON COLUMN webhook_secrets.sealed IS 'the secret, which was shown once';
COMMENT ON COLUMN webhook_secrets.expires_at IS
    'until when it still signs after a rotation replaced it, as that rotation promised; NULL = the current secret';
-- At most one current secret.
CREATE UNIQUE INDEX webhook_secrets_one_newest ON webhook_secrets (provider, webhook_id) NULLS NOT DISTINCT WHERE expires_at IS NULL;
-- Reads the secrets that sign.
CREATE INDEX webhook_secrets_of_webhook ON webhook_secrets (provider, webhook_id);

CREATE TABLE webhook_deliveries (
    id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    webhook_id      uuid NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    event_seq       bigint NOT NULL REFERENCES events (seq),
    in_order        boolean NOT NULL DEFAULT true,
    state           text NOT NULL DEFAULT 'pending',
    attempts        integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz DEFAULT now(),
    ended_at        timestamptz,
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT webhook_deliveries_one_per_event UNIQUE (webhook_id, event_seq),
    CONSTRAINT webhook_deliveries_state_known CHECK (state IN ('pending', 'delivered', 'failed')),
    CONSTRAINT webhook_deliveries_pending_has_a_time CHECK ((state = 'pending') = (next_attempt_at IS NOT NULL)
        AND (state = 'pending') = (ended_at IS NULL))
);
COMMENT ON TABLE webhook_deliveries IS 'one event for one webhook; written by the worker; purged some time after it ended';
COMMENT ON COLUMN webhook_deliveries.in_order IS
    'whether it waits for the older ones of its webhook; a test does not, and has one attempt';
COMMENT ON COLUMN webhook_deliveries.attempts IS 'since the delivery was created or last sent again by an operator';
-- Finds what a webhook is sent next: a test, or else the oldest pending delivery.
CREATE INDEX webhook_deliveries_head ON webhook_deliveries (webhook_id, in_order, event_seq) WHERE state = 'pending';
-- Finds what is old enough to purge.
CREATE INDEX webhook_deliveries_ended ON webhook_deliveries (ended_at) WHERE ended_at IS NOT NULL;
-- Finds the deliveries of an event, which may be purged only when it has none.
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
COMMENT ON TABLE webhook_attempts IS
    'every request that was sent for a delivery; written by the worker, purged with the delivery';
COMMENT ON COLUMN webhook_attempts.status_code IS 'NULL = there was no response';
COMMENT ON COLUMN webhook_attempts.answer IS 'the first 1,024 characters of the response body, unless the attempt succeeded';
-- Reads the attempts of a delivery, and finds them when it is purged.
CREATE INDEX webhook_attempts_of_delivery ON webhook_attempts (delivery_id, seq);

-- The callback of an order is a webhook that is created with the order's row. Triggers fire in the order of their names, so this
-- one fires before orders_emit_of_insert: the first event of the order comes after the callback's position.
-- +goose StatementBegin
CREATE FUNCTION orders_callback() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO webhooks (provider, kind, url, position, created_by)
    VALUES (NEW.provider, 'callback', NEW.request ->> 'callback_url', (SELECT COALESCE(max(seq), 0) FROM events), 'order ' || NEW.id)
    ON CONFLICT (provider, url) WHERE kind = 'callback' DO NOTHING;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER orders_callback AFTER INSERT ON orders FOR EACH ROW
    WHEN (NEW.request ->> 'callback_url' IS NOT NULL) EXECUTE FUNCTION orders_callback();

-- +goose Down
DROP TRIGGER orders_callback ON orders;
DROP FUNCTION orders_callback();
DROP TABLE webhook_attempts, webhook_deliveries, webhook_secrets, callback_positions, webhooks;
