-- +goose Up
-- API keys have roles. A key that was there before could do everything, so it is an admin key.
ALTER TABLE api_keys
    ADD COLUMN role                text NOT NULL DEFAULT 'admin',
    ADD COLUMN scopes              text[],
    ADD COLUMN requests_per_second double precision,
    ADD COLUMN created_by          text NOT NULL DEFAULT '',
    ADD COLUMN last_used_at        timestamptz,
    ADD COLUMN replaced_by         text CONSTRAINT api_keys_replace_one UNIQUE REFERENCES api_keys (id) DEFERRABLE INITIALLY DEFERRED,
    ADD CONSTRAINT api_keys_role_known CHECK (role IN ('marketplace', 'viewer', 'operator', 'admin')),
    ADD CONSTRAINT api_keys_scopes_are_words CHECK (cardinality(scopes) > 0 AND array_position(scopes, NULL) IS NULL
        AND array_to_string(scopes, ' ') ~ '^[a-z]+:[a-z]+( [a-z]+:[a-z]+)*$'),
    ADD CONSTRAINT api_keys_limit_is_one CHECK (requests_per_second > 0 AND requests_per_second <= 100000),
    ADD CONSTRAINT api_keys_do_not_replace_themselves CHECK (replaced_by <> id),
    ADD CONSTRAINT api_keys_replaced_ends CHECK (replaced_by IS NULL OR expires_at IS NOT NULL);
ALTER TABLE api_keys ALTER COLUMN role DROP DEFAULT;
COMMENT ON COLUMN api_keys.scopes IS 'what it may do of what its role may do; NULL = all of that';
COMMENT ON COLUMN api_keys.requests_per_second IS 'its own rate limit; NULL = that of the server';
COMMENT ON COLUMN api_keys.created_by IS 'the actor who made it; empty = it is older than this column';
COMMENT ON COLUMN api_keys.last_used_at IS 'written at most once a minute';
COMMENT ON COLUMN api_keys.replaced_by IS 'the key that took its place when it was rotated; it lives until expires_at beside that one';
CREATE INDEX api_keys_newest_first ON api_keys (provider, created_at DESC, id DESC);

CREATE TABLE access_history (
    seq      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    provider text NOT NULL,
    at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor    text NOT NULL,
    what     text NOT NULL,
    key_id   text NOT NULL,
    detail   text NOT NULL DEFAULT '',
    CONSTRAINT access_events_what_known CHECK (what IN ('created', 'rotated', 'revoked'))
);
COMMENT ON TABLE access_history IS 'who made, rotated and revoked which API key; no secrets and no hashes';
CREATE INDEX access_history_of_key ON access_history (provider, key_id, seq);
CREATE TRIGGER access_history_append_only BEFORE UPDATE OR DELETE ON access_history FOR EACH ROW EXECUTE FUNCTION history_is_append_only();

-- Whoever writes: what a key may do never changes, its end only comes nearer, and each step of its life is audited.
-- +goose StatementBegin
CREATE FUNCTION api_keys_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'API key %: keys are revoked, never deleted: the audit names them', OLD.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'api_keys_stay';
    END IF;
    IF TG_OP = 'INSERT' THEN
        NEW.created_by := qm_actor();
        INSERT INTO access_history (provider, actor, what, key_id, detail)
        VALUES (NEW.provider, qm_actor(), 'created', NEW.id, 'role ' || NEW.role || COALESCE(', only ' || array_to_string(NEW.scopes, ' '), ''));
        RETURN NEW;
    END IF;
    IF (NEW.id, NEW.provider, NEW.name, NEW.secret_sha256, NEW.role, NEW.scopes, NEW.requests_per_second, NEW.created_at, NEW.created_by)
        IS DISTINCT FROM (OLD.id, OLD.provider, OLD.name, OLD.secret_sha256, OLD.role, OLD.scopes, OLD.requests_per_second, OLD.created_at, OLD.created_by) THEN
        RAISE EXCEPTION 'API key %: what it is and may do never changes: make another one', OLD.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'api_keys_identity_is_fixed';
    END IF;
    IF COALESCE(NEW.expires_at, 'infinity') > COALESCE(OLD.expires_at, 'infinity')
        OR OLD.revoked_at IS NOT NULL AND NEW.revoked_at IS DISTINCT FROM OLD.revoked_at
        OR OLD.replaced_by IS NOT NULL AND NEW.replaced_by IS DISTINCT FROM OLD.replaced_by THEN
        RAISE EXCEPTION 'API key %: its end only comes nearer: make another one', OLD.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'api_keys_end_is_final';
    END IF;
    IF NEW.replaced_by IS DISTINCT FROM OLD.replaced_by THEN
        INSERT INTO access_history (provider, actor, what, key_id, detail)
        VALUES (NEW.provider, qm_actor(), 'rotated', NEW.id, 'replaced by ' || NEW.replaced_by || ', lives until '
            || COALESCE(to_char(NEW.expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), '-'));
    END IF;
    IF NEW.revoked_at IS DISTINCT FROM OLD.revoked_at THEN
        INSERT INTO access_history (provider, actor, what, key_id) VALUES (NEW.provider, qm_actor(), 'revoked', NEW.id);
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER api_keys_history BEFORE INSERT OR UPDATE OR DELETE ON api_keys FOR EACH ROW EXECUTE FUNCTION api_keys_history();

-- +goose Down
DROP TRIGGER api_keys_history ON api_keys;
DROP FUNCTION api_keys_history();
DROP TABLE access_history;
DROP INDEX api_keys_newest_first;
ALTER TABLE api_keys DROP COLUMN role, DROP COLUMN scopes, DROP COLUMN requests_per_second, DROP COLUMN created_by, DROP COLUMN last_used_at,
    DROP COLUMN replaced_by;
