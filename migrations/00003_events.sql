-- +goose Up
-- Events are what subscribers learn: webhooks and GET /v1/events read this table and nothing else. The transaction that
-- changes a thing also writes its event, so no event is lost, and none reports what was rolled back.

CREATE TABLE events (
    seq         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tx          xid8 NOT NULL DEFAULT pg_current_xact_id(),
    id          uuid NOT NULL DEFAULT gen_random_uuid(),
    provider    text NOT NULL REFERENCES providers (id),
    type        text NOT NULL,
    subject     text NOT NULL,
    at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    data        jsonb NOT NULL,
    marketplace text GENERATED ALWAYS AS (CASE WHEN starts_with(type, 'order.') THEN data ->> 'marketplace' END) STORED,
    CONSTRAINT events_id_unique UNIQUE (id),
    CONSTRAINT events_type_is_dotted CHECK (type ~ '^[a-z_]+(\.[a-z_]+)+$'),
    CONSTRAINT events_of_orders_name_the_marketplace CHECK (NOT starts_with(type, 'order.') OR marketplace IS NOT NULL)
);
COMMENT ON TABLE events IS
    'what happened, for subscribers; written by emit_event() only, because readers lose what is inserted without '
    'its lock; purged after the retention of events';
COMMENT ON COLUMN events.tx IS 'the transaction that wrote it, for troubleshooting';
COMMENT ON COLUMN events.id IS 'receivers recognize a repeated delivery by it';
COMMENT ON COLUMN events.subject IS
    'what the event is about: the id of an order, webhook, import or AWS account, or a pool as '
    'marketplace/environment';
COMMENT ON COLUMN events.marketplace IS
    'of the order, for readers who see only some marketplaces; NULL = the event is not about an order';
COMMENT ON COLUMN events.data IS 'ids, states, codes and reasons in plain words; no personal data';
-- Reads the events of a provider after a position, for webhooks and streams.
CREATE INDEX events_of_provider ON events (provider, seq);
-- The same for one order, and for the callbacks of orders.
CREATE INDEX events_of_subject ON events (provider, subject, seq);
-- Finds what is old enough to purge.
CREATE INDEX events_oldest ON events (at);
-- Events are purged, but never changed.
CREATE TRIGGER events_append_only BEFORE UPDATE ON events FOR EACH ROW EXECUTE FUNCTION history_is_append_only();

CREATE TABLE event_purges (
    provider text PRIMARY KEY REFERENCES providers (id),
    through  bigint NOT NULL
);
COMMENT ON TABLE event_purges IS
    'how far events were purged, so that a reader who stopped before that learns that it missed some; written by '
    'the purge';
COMMENT ON COLUMN event_purges.through IS 'events of the provider up to this seq may be gone';

-- Readers go by seq, because it keeps the order of events about one thing: a transaction draws the seq while it holds the
-- lock on that thing. But a seq is drawn before the commit, so an event with a lower seq may appear after one with a higher
-- seq, and the ids of transactions do not tell when: a transaction with a lower id may draw a higher seq.
--
-- So before a transaction emits its first event, emit_event() takes a shared advisory lock whose key is the highest seq
-- allocated so far. The lock lasts until the transaction ends, and every seq that the transaction draws is higher than the
-- key. events_settled() reads these keys, and readers stop at the lowest.
--
-- The key is 0x514D ("QM") in the upper 16 bits and the seq in the lower 48. pg_locks shows its upper half as classid and its
-- lower half as objid.
-- +goose StatementBegin
CREATE FUNCTION emit_event(of_provider text, of_type text, about text, content jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    -- Once a transaction is enough, as its first seq is its lowest.
    IF current_setting('qm.announced', true) IS DISTINCT FROM pg_current_xact_id()::text THEN
        PERFORM pg_advisory_xact_lock_shared((x'514D'::bigint << 48)
            | (SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM events_seq_seq));
        PERFORM set_config('qm.announced', pg_current_xact_id()::text, true);
    END IF;
    INSERT INTO events (provider, type, subject, data) VALUES (of_provider, of_type, about, content);
    PERFORM pg_notify('quartermaster_events', of_provider); -- wakes readers early; they also look from time to time
END $$;
-- +goose StatementEnd
COMMENT ON FUNCTION emit_event(text, text, text, jsonb) IS 'writes an event and wakes its readers when the transaction commits';

-- The sequence is read before the locks: a transaction that takes its lock after the locks were read draws its seq after
-- the sequence was read.
-- +goose StatementBegin
CREATE FUNCTION events_settled() RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    drawn bigint;
    open_after bigint;
BEGIN
    SELECT CASE WHEN is_called THEN last_value ELSE 0 END INTO drawn FROM events_seq_seq;
    SELECT min(((classid::bigint & 65535) << 32) | objid::bigint) INTO open_after FROM pg_locks
    WHERE locktype = 'advisory' AND objsubid = 1 AND classid::bigint >> 16 = x'514D'::bigint
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database());
    RETURN LEAST(drawn, open_after);
END $$;
-- +goose StatementEnd
COMMENT ON FUNCTION events_settled() IS
    'the highest seq up to which no event can appear any more, for statements that begin after the call; readers '
    'stop there';

-- +goose Down
DROP FUNCTION events_settled(), emit_event(text, text, text, jsonb);
DROP TABLE event_purges, events;
