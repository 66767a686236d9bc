-- +goose Up
-- What operators read about accounts: a search, the checks of the last verification, what orders changed in an account, and the
-- identity that the roles of accounts trust. Reasons for deletions and revocations enter the histories.

-- The words of a text in lower case. The search of accounts compares words, because "pool 42" should find "Pool 42-b".
CREATE FUNCTION words_of(content text) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT array_remove(regexp_split_to_array(lower(content), '[^[:alnum:]]+'), '')
$$;
COMMENT ON FUNCTION words_of(text) IS 'the runs of letters and digits in a text, in lower case';

-- Finds accounts by the beginnings of words in their names and root e-mail addresses.
CREATE INDEX accounts_words ON accounts USING gin (array_to_tsvector(words_of(name || ' ' || root_email)));
-- List, oldest first, the accounts that become ready when their verification passes, and those that did not pass.
CREATE INDEX accounts_to_verify ON accounts (provider, added_at, id) WHERE ready_when_verified;
CREATE INDEX accounts_with_finding ON accounts (provider, added_at, id) WHERE finding <> '';

CREATE TABLE account_checks (
    account_id text PRIMARY KEY REFERENCES accounts (id) ON DELETE CASCADE,
    provider   text NOT NULL,
    checked_at timestamptz NOT NULL,
    passed     boolean NOT NULL,
    checks     jsonb NOT NULL
);
COMMENT ON TABLE account_checks IS
    'the single checks of the last verification of each account that had a clear answer; written with its result';
COMMENT ON COLUMN account_checks.checked_at IS 'when the verification began';

ALTER TABLE order_steps ADD COLUMN seen jsonb;
COMMENT ON COLUMN order_steps.seen IS
    'of inspect_account: what the order was about to replace, without personal data; NULL = not known';

CREATE TABLE worker_identity (
    one         boolean PRIMARY KEY DEFAULT true,
    arn         text NOT NULL,
    reported_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT worker_identity_is_one_row CHECK (one)
);
COMMENT ON TABLE worker_identity IS
    'the identity in AWS that a worker last reported when it started, as sts:GetCallerIdentity answers it: the roles of all '
    'accounts must trust it';

CREATE FUNCTION qm_reason() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT COALESCE(current_setting('qm.reason', true), '')
$$;
COMMENT ON FUNCTION qm_reason() IS 'why the actor of this transaction makes the change (setting qm.reason); empty = no reason was given';

-- Reasons of those who end the protection of an account.
ALTER TABLE protected_account_history ADD COLUMN reason text NOT NULL DEFAULT '';
COMMENT ON COLUMN protected_account_history.reason IS 'why the protection ended; empty = no reason was given';

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION protected_accounts_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        INSERT INTO protected_account_history (provider, account_id, actor, what, note, reason)
        VALUES (OLD.provider, OLD.account_id, qm_actor_or_user(), 'unprotected', OLD.note, qm_reason());
    ELSE
        INSERT INTO protected_account_history (provider, account_id, actor, what, note)
        VALUES (NEW.provider, NEW.account_id, qm_actor_or_user(), CASE TG_OP WHEN 'INSERT' THEN 'protected' ELSE 'changed' END, NEW.note);
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd

-- Reasons of those who revoke keys, and who created, changed and deleted webhook endpoints.
ALTER TABLE access_history ADD COLUMN webhook_id text NOT NULL DEFAULT '';
COMMENT ON COLUMN access_history.webhook_id IS 'the endpoint that the entry is about; empty = it is about the key key_id';
COMMENT ON TABLE access_history IS
    'who created, rotated and revoked which API key, and who created, changed and deleted which webhook endpoint; holds no '
    'secrets, hashes and URLs; written by triggers of api_keys and webhooks';
ALTER TABLE access_history DROP CONSTRAINT access_history_what_known;
ALTER TABLE access_history ADD CONSTRAINT access_history_what_known CHECK (what IN ('created', 'rotated', 'revoked',
    'webhook_created', 'webhook_changed', 'webhook_deleted')) NOT VALID;
ALTER TABLE access_history VALIDATE CONSTRAINT access_history_what_known;

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION api_keys_history() RETURNS trigger LANGUAGE plpgsql AS $$
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
        INSERT INTO access_history (provider, actor, what, key_id, detail) VALUES (NEW.provider, qm_actor(), 'revoked', NEW.id, qm_reason());
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION webhooks_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        INSERT INTO access_history (provider, actor, what, key_id, webhook_id, detail)
        VALUES (OLD.provider, qm_actor_or_user(), 'webhook_deleted', '', OLD.id, qm_reason());
    ELSIF TG_OP = 'INSERT' THEN
        INSERT INTO access_history (provider, actor, what, key_id, webhook_id)
        VALUES (NEW.provider, qm_actor_or_user(), 'webhook_created', '', NEW.id);
    ELSE
        INSERT INTO access_history (provider, actor, what, key_id, webhook_id, detail)
        VALUES (NEW.provider, qm_actor_or_user(), 'webhook_changed', '', NEW.id, concat_ws(', ',
            CASE WHEN NEW.url <> OLD.url THEN 'url' END,
            CASE WHEN NEW.event_types <> OLD.event_types THEN 'event_types' END,
            CASE WHEN NEW.marketplaces IS DISTINCT FROM OLD.marketplaces THEN 'marketplaces' END,
            CASE WHEN NEW.description <> OLD.description THEN 'description' END,
            CASE WHEN NEW.enabled AND NOT OLD.enabled THEN 'enabled' END,
            CASE WHEN OLD.enabled AND NOT NEW.enabled THEN 'disabled: ' || NEW.disabled_because END));
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER webhooks_history_of_insert AFTER INSERT ON webhooks FOR EACH ROW
    WHEN (NEW.kind = 'endpoint') EXECUTE FUNCTION webhooks_history();
CREATE TRIGGER webhooks_history_of_update AFTER UPDATE ON webhooks FOR EACH ROW
    WHEN ((NEW.url, NEW.event_types, NEW.marketplaces, NEW.description, NEW.enabled)
        IS DISTINCT FROM (OLD.url, OLD.event_types, OLD.marketplaces, OLD.description, OLD.enabled))
    EXECUTE FUNCTION webhooks_history();
CREATE TRIGGER webhooks_history_of_delete AFTER DELETE ON webhooks FOR EACH ROW
    WHEN (OLD.kind = 'endpoint') EXECUTE FUNCTION webhooks_history();

-- +goose Down
DROP TRIGGER webhooks_history_of_insert ON webhooks;
DROP TRIGGER webhooks_history_of_update ON webhooks;
DROP TRIGGER webhooks_history_of_delete ON webhooks;
DROP FUNCTION webhooks_history();

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION api_keys_history() RETURNS trigger LANGUAGE plpgsql AS $$
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

CREATE OR REPLACE FUNCTION protected_accounts_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        INSERT INTO protected_account_history (provider, account_id, actor, what, note)
        VALUES (OLD.provider, OLD.account_id, qm_actor_or_user(), 'unprotected', OLD.note);
    ELSE
        INSERT INTO protected_account_history (provider, account_id, actor, what, note)
        VALUES (NEW.provider, NEW.account_id, qm_actor_or_user(), CASE TG_OP WHEN 'INSERT' THEN 'protected' ELSE 'changed' END, NEW.note);
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd
ALTER TABLE access_history DISABLE TRIGGER access_history_append_only;
DELETE FROM access_history WHERE webhook_id <> '';
ALTER TABLE access_history ENABLE TRIGGER access_history_append_only;
ALTER TABLE access_history DROP COLUMN webhook_id;
ALTER TABLE access_history DROP CONSTRAINT access_history_what_known;
ALTER TABLE access_history ADD CONSTRAINT access_history_what_known CHECK (what IN ('created', 'rotated', 'revoked'));
ALTER TABLE protected_account_history DROP COLUMN reason;
DROP FUNCTION qm_reason();
DROP TABLE worker_identity, account_checks;
ALTER TABLE order_steps DROP COLUMN seen;
DROP INDEX accounts_with_finding, accounts_to_verify, accounts_words;
DROP FUNCTION words_of(text);
