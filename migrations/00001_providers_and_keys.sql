-- +goose Up
-- The schema of Quartermaster, in files by subject. Each file uses only what the files before it create:
--
--   00001 providers and their API keys          00005 accounts, and how they agree with orders
--   00002 pools and protected accounts          00006 webhooks and their deliveries
--   00003 events                                00007 stock alerts and bulk imports
--   00004 orders, steps and passwords           00008 processes and seal keys
--
-- Until version 0.1.0 these files are edited in place. From then on a released file never changes: the next change is a
-- new file with the next number.
--
-- What holds throughout:
--   * The database enforces the rules of the product ("no account twice", "no other transition"), so that a mistake in the
--     program or an operator's UPDATE cannot break them. A constraint, or a trigger that works like one, is named after the
--     rule that it enforces. Such a trigger raises check_violation with its own name as the constraint.
--   * A *_history table records who did what, when and why. Triggers write it, and its rows never change. The actor is the
--     transaction-local setting qm.actor: SELECT set_config('qm.actor', 'operator anna', true).
--   * seq columns give a total order within their table. They may have gaps.
--   * Intervals are whole seconds; the API names them *_seconds.
--   * Columns named sealed hold AES-256-GCM ciphertext, prefixed with the id of the key and a zero byte.

CREATE TABLE providers (
    id         text PRIMARY KEY,
    name       text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT providers_id_is_a_slug CHECK (id ~ '^[a-z0-9](-?[a-z0-9])*$' AND length(id) <= 40)
);
COMMENT ON TABLE providers IS
    'the tenants: every row that belongs to one of them carries its id in the column provider; written by operators';

-- +goose StatementBegin
CREATE FUNCTION qm_actor() RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    actor text := current_setting('qm.actor', true);
BEGIN
    IF actor IS NULL OR actor = '' THEN
        RAISE EXCEPTION 'this change needs an actor: SELECT set_config(''qm.actor'', <who>, true) in the same transaction'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'history_names_the_actor';
    END IF;
    RETURN actor;
END $$;
-- +goose StatementEnd
COMMENT ON FUNCTION qm_actor() IS 'the actor of this transaction (setting qm.actor); an error when there is none';

CREATE FUNCTION qm_actor_or_user() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT COALESCE(NULLIF(current_setting('qm.actor', true), ''), 'database user ' || session_user)
$$;
COMMENT ON FUNCTION qm_actor_or_user() IS
    'the actor of this transaction, or else the database user, for tables that operators may change by hand';

-- +goose StatementBegin
CREATE FUNCTION history_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'check_violation', CONSTRAINT = 'history_is_append_only';
END $$;
-- +goose StatementEnd

CREATE TABLE api_keys (
    id                  text PRIMARY KEY,
    provider            text NOT NULL REFERENCES providers (id),
    name                text NOT NULL,
    secret_sha256       bytea NOT NULL,
    role                text NOT NULL,
    scopes              text[],
    marketplaces        text[],
    requests_per_second double precision,
    created_at          timestamptz NOT NULL DEFAULT now(),
    created_by          text NOT NULL DEFAULT qm_actor(),
    last_used_at        timestamptz,
    expires_at          timestamptz,
    revoked_at          timestamptz,
    replaced_by         text REFERENCES api_keys (id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT api_keys_sha256_has_32_bytes CHECK (length(secret_sha256) = 32),
    CONSTRAINT api_keys_role_known CHECK (role IN ('marketplace', 'viewer', 'operator', 'admin')),
    CONSTRAINT api_keys_scopes_are_words CHECK (cardinality(scopes) > 0 AND array_position(scopes, NULL) IS NULL
        AND array_to_string(scopes, ' ') ~ '^[a-z]+:[a-z]+( [a-z]+:[a-z]+)*$'),
    CONSTRAINT api_keys_only_marketplaces_are_bound CHECK (marketplaces IS NULL OR role = 'marketplace'
        AND cardinality(marketplaces) > 0 AND array_position(marketplaces, NULL) IS NULL),
    CONSTRAINT api_keys_requests_per_second_in_range CHECK (requests_per_second > 0 AND requests_per_second <= 100000),
    CONSTRAINT api_keys_replace_at_most_one UNIQUE (replaced_by),
    CONSTRAINT api_keys_do_not_replace_themselves CHECK (replaced_by <> id),
    CONSTRAINT api_keys_replaced_ends CHECK (replaced_by IS NULL OR expires_at IS NOT NULL)
);
COMMENT ON TABLE api_keys IS 'who may call the API; keys are created, rotated and revoked, but never deleted';
COMMENT ON COLUMN api_keys.secret_sha256 IS 'SHA-256 of the secret, which is shown once and not stored';
COMMENT ON COLUMN api_keys.scopes IS 'limits the key to some of the scopes of its role; NULL = all of them';
COMMENT ON COLUMN api_keys.marketplaces IS
    'binds a key of role marketplace to these marketplaces of its provider; NULL = all of them, now and later';
COMMENT ON COLUMN api_keys.requests_per_second IS 'rate limit of this key; NULL = the default of the server';
COMMENT ON COLUMN api_keys.last_used_at IS 'written at most once a minute';
COMMENT ON COLUMN api_keys.replaced_by IS 'the key that replaced this one when it was rotated; this one works until expires_at';
-- Lists the keys of a provider by page.
CREATE INDEX api_keys_newest_first ON api_keys (provider, created_at DESC, id DESC);

CREATE TABLE access_history (
    seq      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    provider text NOT NULL,
    at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor    text NOT NULL,
    what     text NOT NULL,
    key_id   text NOT NULL,
    detail   text NOT NULL DEFAULT '',
    CONSTRAINT access_history_what_known CHECK (what IN ('created', 'rotated', 'revoked'))
);
COMMENT ON TABLE access_history IS
    'who created, rotated and revoked which API key; holds no secrets and no hashes; written by a trigger of '
    'api_keys';
-- Reads the life of one key, oldest entry first.
CREATE INDEX access_history_of_key ON access_history (provider, key_id, seq);
-- Lists the history of a provider by page, newest entry first.
CREATE INDEX access_history_newest_first ON access_history (provider, at DESC, seq DESC);
CREATE TRIGGER access_history_append_only BEFORE UPDATE OR DELETE ON access_history
    FOR EACH ROW EXECUTE FUNCTION history_is_append_only();

-- +goose StatementBegin
CREATE FUNCTION api_keys_never_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'API key %: the history names it, so revoke it instead of deleting it', OLD.id
        USING ERRCODE = 'check_violation', CONSTRAINT = 'api_keys_never_deleted';
END $$;
-- +goose StatementEnd
CREATE TRIGGER api_keys_never_deleted BEFORE DELETE ON api_keys FOR EACH ROW EXECUTE FUNCTION api_keys_never_deleted();

-- +goose StatementBegin
CREATE FUNCTION api_keys_identity_is_fixed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'API key %: its name, secret, role, scopes, marketplaces and rate limit never change: create another key', OLD.id
        USING ERRCODE = 'check_violation', CONSTRAINT = 'api_keys_identity_is_fixed';
END $$;
-- +goose StatementEnd
CREATE TRIGGER api_keys_identity_is_fixed BEFORE UPDATE ON api_keys FOR EACH ROW
    WHEN ((NEW.id, NEW.provider, NEW.name, NEW.secret_sha256, NEW.role, NEW.scopes, NEW.marketplaces, NEW.requests_per_second,
            NEW.created_at, NEW.created_by)
        IS DISTINCT FROM
        (OLD.id, OLD.provider, OLD.name, OLD.secret_sha256, OLD.role, OLD.scopes, OLD.marketplaces, OLD.requests_per_second,
            OLD.created_at, OLD.created_by))
    EXECUTE FUNCTION api_keys_identity_is_fixed();

-- +goose StatementBegin
CREATE FUNCTION api_keys_end_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'API key %: it may end earlier but not later, and its revocation or replacement is final: create another key', OLD.id
        USING ERRCODE = 'check_violation', CONSTRAINT = 'api_keys_end_is_final';
END $$;
-- +goose StatementEnd
CREATE TRIGGER api_keys_end_is_final BEFORE UPDATE ON api_keys FOR EACH ROW
    WHEN (COALESCE(NEW.expires_at, 'infinity') > COALESCE(OLD.expires_at, 'infinity')
        OR OLD.revoked_at IS NOT NULL AND NEW.revoked_at IS DISTINCT FROM OLD.revoked_at
        OR OLD.replaced_by IS NOT NULL AND NEW.replaced_by IS DISTINCT FROM OLD.replaced_by)
    EXECUTE FUNCTION api_keys_end_is_final();

-- +goose StatementBegin
CREATE FUNCTION api_keys_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO access_history (provider, actor, what, key_id, detail)
        VALUES (NEW.provider, qm_actor(), 'created', NEW.id,
                'role ' || NEW.role || COALESCE(', only ' || array_to_string(NEW.scopes, ' '), '')
                || COALESCE(', of marketplace ' || array_to_string(NEW.marketplaces, ', '), ''));
        RETURN NULL;
    END IF;
    IF NEW.replaced_by IS DISTINCT FROM OLD.replaced_by THEN
        INSERT INTO access_history (provider, actor, what, key_id, detail)
        VALUES (NEW.provider, qm_actor(), 'rotated', NEW.id,
                'replaced by ' || NEW.replaced_by || ', lives until '
                || to_char(NEW.expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'));
    END IF;
    IF NEW.revoked_at IS DISTINCT FROM OLD.revoked_at THEN
        INSERT INTO access_history (provider, actor, what, key_id) VALUES (NEW.provider, qm_actor(), 'revoked', NEW.id);
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER api_keys_history AFTER INSERT OR UPDATE OF replaced_by, revoked_at ON api_keys
    FOR EACH ROW EXECUTE FUNCTION api_keys_history();

-- +goose Down
DROP TABLE access_history, api_keys, providers;
DROP FUNCTION api_keys_history(), api_keys_end_is_final(), api_keys_identity_is_fixed(), api_keys_never_deleted(),
    history_is_append_only(), qm_actor_or_user(), qm_actor();
