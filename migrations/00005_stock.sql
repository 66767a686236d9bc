-- +goose Up
-- Settings of pools with their audit, accounts that are protected, and alerts about the stock.
ALTER TABLE pools
    ADD COLUMN version           bigint NOT NULL DEFAULT 1,
    ADD COLUMN provide_root_user boolean NOT NULL DEFAULT true,
    ADD COLUMN instructions      jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN stock_threshold   integer,
    ADD COLUMN model_thresholds  jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN renotify_every    interval NOT NULL DEFAULT '24 hours',
    ADD CONSTRAINT pools_wait_deadline_positive CHECK (wait_deadline > interval '0'),
    ADD CONSTRAINT pools_action_deadline_positive CHECK (action_deadline > interval '0'),
    ADD CONSTRAINT pools_policies_at_most_ten CHECK (cardinality(user_policy_arns) <= 10),
    ADD CONSTRAINT pools_instructions_by_model CHECK (jsonb_typeof(instructions) = 'object'),
    ADD CONSTRAINT pools_thresholds_by_model CHECK (jsonb_typeof(model_thresholds) = 'object' AND NOT jsonb_path_exists(model_thresholds, '$.* ? (!(@ >= 0))')),
    ADD CONSTRAINT pools_threshold_not_negative CHECK (stock_threshold >= 0),
    ADD CONSTRAINT pools_renotify_not_a_flood CHECK (renotify_every >= interval '1 minute');
COMMENT ON COLUMN pools.version IS 'counts the changes of settings: its ETag';
COMMENT ON COLUMN pools.provide_root_user IS 'the results of orders hold the root-access instructions, for models whose customer owns the root user';
COMMENT ON COLUMN pools.instructions IS 'template of the instructions by account model; without one a model with root access has the built-in text and any other none';
COMMENT ON COLUMN pools.stock_threshold IS 'the stock is low when so many accounts of any model are Ready, or fewer; NULL = none';
COMMENT ON COLUMN pools.model_thresholds IS 'the same by account model';
COMMENT ON COLUMN pools.renotify_every IS 'an open alert that nobody acknowledged is told of again so often';

UPDATE pools SET instructions = (SELECT jsonb_object_agg(m.id, pools.root_instructions) FROM account_models m WHERE m.root_access)
WHERE root_instructions IS NOT NULL;
ALTER TABLE pools DROP COLUMN root_instructions;

-- An order keeps the settings that it was placed under, however long it runs and however often its workflow starts anew.
ALTER TABLE orders ADD COLUMN settings jsonb;
COMMENT ON COLUMN orders.settings IS 'of the pool, as they were when the order was opened; NULL = it was opened before they were kept';

-- What was changed in the settings of a pool, by whom. Whoever writes without saying who he is stands there as the user of the database.
CREATE TABLE pool_history (
    seq         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    provider    text NOT NULL,
    marketplace text NOT NULL,
    environment text NOT NULL,
    at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor       text NOT NULL,
    what        text NOT NULL,
    old_value   jsonb,
    new_value   jsonb,
    FOREIGN KEY (provider, marketplace, environment) REFERENCES pools
);
COMMENT ON COLUMN pool_history.what IS 'the setting, as the column of pools is called; made = the pool was made';
CREATE INDEX pool_history_of_pool ON pool_history (provider, marketplace, environment, seq);
CREATE TRIGGER pool_history_append_only BEFORE UPDATE OR DELETE ON pool_history FOR EACH ROW EXECUTE FUNCTION history_is_append_only();

-- +goose StatementBegin
CREATE FUNCTION pools_history() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    who text := COALESCE(NULLIF(current_setting('qm.actor', true), ''), 'database user ' || session_user);
    not_settings text[] := '{version,created_at,verification_suspended_at,claims_suspended_at,claims_suspended_because,claims_resumed_at}';
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO pool_history (provider, marketplace, environment, actor, what, new_value)
        VALUES (NEW.provider, NEW.marketplace, NEW.environment, who, 'made', to_jsonb(NEW) - not_settings - '{provider,marketplace,environment}'::text[]);
        RETURN NULL;
    END IF;
    IF TG_WHEN = 'BEFORE' THEN
        IF (NEW.provider, NEW.marketplace, NEW.environment) <> (OLD.provider, OLD.marketplace, OLD.environment) THEN
            RAISE EXCEPTION 'pool %/%/%: provider, marketplace and environment never change', OLD.provider, OLD.marketplace, OLD.environment
                USING ERRCODE = 'check_violation', CONSTRAINT = 'pools_identity_is_fixed';
        END IF;
        IF to_jsonb(NEW) - not_settings <> to_jsonb(OLD) - not_settings THEN
            NEW.version := OLD.version + 1;
        END IF;
        RETURN NEW;
    END IF;
    INSERT INTO pool_history (provider, marketplace, environment, actor, what, old_value, new_value)
    SELECT NEW.provider, NEW.marketplace, NEW.environment, who, n.key, NULLIF(o.value, 'null'), NULLIF(n.value, 'null')
    FROM jsonb_each(to_jsonb(NEW) - not_settings) n JOIN jsonb_each(to_jsonb(OLD) - not_settings) o USING (key)
    WHERE n.value <> o.value ORDER BY n.key;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER pools_change BEFORE UPDATE ON pools FOR EACH ROW EXECUTE FUNCTION pools_history();
CREATE TRIGGER pools_history AFTER INSERT OR UPDATE ON pools FOR EACH ROW EXECUTE FUNCTION pools_history();

-- Accounts that never enter a pool of the provider, and that nothing is ever done in: payers, the provider's own.
CREATE TABLE protected_accounts (
    provider   text NOT NULL REFERENCES providers (id),
    account_id text NOT NULL,
    note       text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL,
    PRIMARY KEY (provider, account_id),
    CONSTRAINT protected_accounts_id_has_12_digits CHECK (account_id ~ '^[0-9]{12}$')
);
CREATE TABLE protected_account_history (
    seq        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    provider   text NOT NULL,
    account_id text NOT NULL,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor      text NOT NULL,
    what       text NOT NULL,
    note       text NOT NULL,
    CONSTRAINT protected_account_events_what_known CHECK (what IN ('protected', 'changed', 'released'))
);
CREATE TRIGGER protected_account_history_append_only BEFORE UPDATE OR DELETE ON protected_account_history FOR EACH ROW EXECUTE FUNCTION history_is_append_only();

-- +goose StatementBegin
CREATE FUNCTION protected_accounts_history() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    who text := COALESCE(NULLIF(current_setting('qm.actor', true), ''), 'database user ' || session_user);
BEGIN
    IF TG_OP = 'DELETE' THEN
        INSERT INTO protected_account_history (provider, account_id, actor, what, note) VALUES (OLD.provider, OLD.account_id, who, 'released', OLD.note);
    ELSE
        INSERT INTO protected_account_history (provider, account_id, actor, what, note)
        VALUES (NEW.provider, NEW.account_id, who, CASE TG_OP WHEN 'INSERT' THEN 'protected' ELSE 'changed' END, NEW.note);
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION protected_accounts_lock() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('account ' || NEW.account_id, 0));
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER protected_accounts_lock BEFORE INSERT ON protected_accounts FOR EACH ROW EXECUTE FUNCTION protected_accounts_lock();
CREATE TRIGGER protected_accounts_history AFTER INSERT OR UPDATE OR DELETE ON protected_accounts FOR EACH ROW EXECUTE FUNCTION protected_accounts_history();

-- +goose StatementBegin
CREATE FUNCTION accounts_not_protected() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM pg_advisory_xact_lock(hashtextextended('account ' || NEW.id, 0)); -- it is added and protected one after the other
    ELSIF NEW.status <> 'ready' OR OLD.status = 'ready' THEN
        RETURN NEW;
    END IF;
    IF EXISTS (SELECT 1 FROM protected_accounts WHERE provider = NEW.provider AND account_id = NEW.id) THEN
        RAISE EXCEPTION 'account %: it is protected and never in a pool', NEW.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'accounts_not_protected';
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER accounts_not_protected BEFORE INSERT OR UPDATE OF status ON accounts FOR EACH ROW EXECUTE FUNCTION accounts_not_protected();

-- One alert is open per pool at most; it rises and falls with the stock and closes itself.
CREATE TABLE stock_alerts (
    id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    seq             bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT stock_alerts_seq_unique UNIQUE,
    provider        text NOT NULL,
    marketplace     text NOT NULL,
    environment     text NOT NULL,
    kind            text NOT NULL,
    reason          text NOT NULL,
    ready           integer NOT NULL,
    orders_waiting  integer NOT NULL,
    opened_at       timestamptz NOT NULL,
    kind_since      timestamptz NOT NULL,
    notified_at     timestamptz NOT NULL,
    notifications   integer NOT NULL,
    not_empty_since timestamptz,
    not_low_since   timestamptz,
    acknowledged_at timestamptz,
    acknowledged_by text NOT NULL DEFAULT '',
    note            text NOT NULL DEFAULT '',
    closed_at       timestamptz,
    FOREIGN KEY (provider, marketplace, environment) REFERENCES pools,
    CONSTRAINT stock_alerts_kind_known CHECK (kind IN ('low', 'empty')),
    CONSTRAINT stock_alerts_acknowledged_by_somebody CHECK ((acknowledged_at IS NOT NULL) = (acknowledged_by <> ''))
);
COMMENT ON COLUMN stock_alerts.not_empty_since IS 'since when the stock is no longer empty, without a break; NULL = it is empty';
COMMENT ON COLUMN stock_alerts.not_low_since IS 'since when the stock is above every threshold, without a break; NULL = it is not';
CREATE UNIQUE INDEX stock_alerts_one_open ON stock_alerts (provider, marketplace, environment) WHERE closed_at IS NULL;
CREATE INDEX stock_alerts_newest_first ON stock_alerts (provider, seq DESC);

-- The stock is counted by these.
CREATE INDEX accounts_by_status ON accounts (provider, marketplace, environment, model, status);
CREATE INDEX orders_by_state ON orders (provider, marketplace, environment, state, state_since);

-- +goose Down
DROP INDEX accounts_by_status, orders_by_state;
DROP TABLE stock_alerts;
DROP TRIGGER accounts_not_protected ON accounts;
DROP TABLE protected_account_history, protected_accounts;
DROP FUNCTION accounts_not_protected(), protected_accounts_history(), protected_accounts_lock();
DROP TABLE pool_history;
DROP TRIGGER pools_change ON pools;
DROP TRIGGER pools_history ON pools;
DROP FUNCTION pools_history();
ALTER TABLE orders DROP COLUMN settings;
ALTER TABLE pools ADD COLUMN root_instructions text;
COMMENT ON COLUMN pools.root_instructions IS 'template of the root-access instructions; NULL = the built-in one';
UPDATE pools SET root_instructions = (SELECT pools.instructions ->> m.id FROM account_models m WHERE m.root_access AND pools.instructions ? m.id ORDER BY m.id LIMIT 1);
ALTER TABLE pools DROP COLUMN version, DROP COLUMN provide_root_user, DROP COLUMN instructions, DROP COLUMN stock_threshold, DROP COLUMN model_thresholds,
    DROP COLUMN renotify_every, DROP CONSTRAINT pools_wait_deadline_positive, DROP CONSTRAINT pools_action_deadline_positive,
    DROP CONSTRAINT pools_policies_at_most_ten;
