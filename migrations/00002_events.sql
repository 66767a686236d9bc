-- +goose Up
-- What happened, for whoever wants to hear of it: webhooks and event streams read this table and nothing else. A row is
-- written in the transaction that makes it true, so no event is lost and none is told of something that never was.
CREATE TABLE events (
    seq      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tx       xid8 NOT NULL DEFAULT pg_current_xact_id(),
    id       uuid NOT NULL DEFAULT gen_random_uuid() CONSTRAINT events_id_unique UNIQUE,
    provider text NOT NULL REFERENCES providers (id),
    type     text NOT NULL,
    subject  text NOT NULL,
    at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    data     jsonb NOT NULL,
    CONSTRAINT events_type_is_dotted CHECK (type ~ '^[a-z_]+(\.[a-z_]+)+$')
);
COMMENT ON COLUMN events.tx IS 'the transaction that wrote it: seq is drawn before the commit, so a reader that goes by seq stops before the oldest transaction that is still open';
COMMENT ON COLUMN events.id IS 'what a receiver de-duplicates by';
COMMENT ON COLUMN events.subject IS 'what it is about: an order id, a pool as marketplace/environment, an AWS account id';
COMMENT ON COLUMN events.data IS 'no personal data: ids, states, codes and reasons in plain words';
CREATE INDEX events_of_provider ON events (provider, seq);
CREATE INDEX events_of_subject ON events (provider, subject, seq);
CREATE TRIGGER events_append_only BEFORE UPDATE ON events FOR EACH ROW EXECUTE FUNCTION history_is_append_only();

-- +goose StatementBegin
CREATE FUNCTION emit_event(of_provider text, of_type text, about text, content jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO events (provider, type, subject, data) VALUES (of_provider, of_type, about, content);
    PERFORM pg_notify('quartermaster_events', of_provider); -- a hint; whoever misses it looks again later
END $$;
-- +goose StatementEnd

-- Every change of an order's state is an event, whoever makes it.
-- +goose StatementBegin
CREATE FUNCTION orders_emit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.state = OLD.state THEN
        RETURN NULL;
    END IF;
    PERFORM emit_event(NEW.provider, 'order.' || NEW.state, NEW.id, jsonb_strip_nulls(jsonb_build_object(
        'order_id', NEW.id, 'marketplace', NEW.marketplace, 'environment', NEW.environment, 'state', NEW.state, 'since', NEW.state_since,
        'code', NEW.failure ->> 'code', 'field', NEW.failure ->> 'field', 'reason', NEW.failure ->> 'reason',
        'aws_account_id', NEW.result ->> 'account_id')));
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER orders_emit AFTER INSERT OR UPDATE OF state ON orders FOR EACH ROW EXECUTE FUNCTION orders_emit();

-- +goose Down
DROP TRIGGER orders_emit ON orders;
DROP FUNCTION orders_emit(), emit_event(text, text, text, jsonb);
DROP TABLE events;
