-- +goose Up
-- The browsers that are signed in to the console, and their sign-ins in the history.

CREATE TABLE sessions (
    token_sha256 bytea PRIMARY KEY,
    key_id       text REFERENCES api_keys (id),
    issuer       text NOT NULL DEFAULT '',
    subject      text NOT NULL DEFAULT '',
    name         text NOT NULL DEFAULT '',
    grants       jsonb NOT NULL,
    providers    text[] NOT NULL,
    signed_in_at timestamptz NOT NULL DEFAULT now(),
    seen_at      timestamptz NOT NULL DEFAULT now(),
    ends_at      timestamptz NOT NULL,
    CONSTRAINT sessions_sha256_has_32_bytes CHECK (length(token_sha256) = 32),
    CONSTRAINT sessions_belong_to_a_key_or_a_person CHECK ((key_id IS NULL) = (subject <> '')),
    CONSTRAINT sessions_open_something CHECK (cardinality(providers) > 0)
);
COMMENT ON TABLE sessions IS 'the browsers that are signed in to the console; a row is deleted when its session ends';
COMMENT ON COLUMN sessions.token_sha256 IS 'SHA-256 of the random token in the cookie, which is not stored';
COMMENT ON COLUMN sessions.key_id IS 'the API key that signed in; NULL = a person, whom issuer and subject identify';
COMMENT ON COLUMN sessions.name IS 'the e-mail address or preferred name of the person when the session began';
COMMENT ON COLUMN sessions.grants IS 'the role and marketplaces at each provider when the session began; of a key, its own row counts';
COMMENT ON COLUMN sessions.providers IS 'the providers of the grants';
COMMENT ON COLUMN sessions.seen_at IS 'the last request that the person made, to the minute; live updates do not count';
-- Ends the sessions of a provider.
CREATE INDEX sessions_of_provider ON sessions USING gin (providers);

ALTER TABLE access_history DROP CONSTRAINT access_history_what_known;
ALTER TABLE access_history ADD CONSTRAINT access_history_what_known
    CHECK (what IN ('created', 'rotated', 'revoked', 'webhook_created', 'webhook_changed', 'webhook_deleted',
        'signed_in', 'signed_out', 'sessions_ended')) NOT VALID;
ALTER TABLE access_history VALIDATE CONSTRAINT access_history_what_known;

-- +goose StatementBegin
CREATE FUNCTION sessions_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO access_history (provider, actor, what, key_id)
        SELECT provider, qm_actor(), 'signed_in', COALESCE(NEW.key_id, '') FROM unnest(NEW.providers) AS provider;
    ELSIF current_setting('qm.actor', true) <> '' THEN -- a session that ran out is deleted by no one
        INSERT INTO access_history (provider, actor, what, key_id)
        SELECT provider, qm_actor(), 'signed_out', COALESCE(OLD.key_id, '') FROM unnest(OLD.providers) AS provider;
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER sessions_history AFTER INSERT OR DELETE ON sessions FOR EACH ROW EXECUTE FUNCTION sessions_history();

-- +goose Down
DROP TABLE sessions;
DROP FUNCTION sessions_history();
ALTER TABLE access_history DISABLE TRIGGER access_history_append_only;
DELETE FROM access_history WHERE what IN ('signed_in', 'signed_out', 'sessions_ended');
ALTER TABLE access_history ENABLE TRIGGER access_history_append_only;
ALTER TABLE access_history DROP CONSTRAINT access_history_what_known;
ALTER TABLE access_history ADD CONSTRAINT access_history_what_known
    CHECK (what IN ('created', 'rotated', 'revoked', 'webhook_created', 'webhook_changed', 'webhook_deleted'));
