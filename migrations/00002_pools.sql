-- +goose Up
-- A pool is the stock of AWS accounts for one marketplace and environment of a provider, with the settings of its orders.

CREATE TABLE account_models (
    id          text PRIMARY KEY,
    title       text NOT NULL,
    root_access boolean NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    created_by  text NOT NULL DEFAULT qm_actor_or_user(),
    CONSTRAINT account_models_id_characters CHECK (id ~ '^[A-Za-z0-9][A-Za-z0-9 ._-]{0,39}$')
);
COMMENT ON TABLE account_models IS
    'account models of the AWS Solution Provider Program; data and not code, because AWS adds and renames them; '
    'written by operators';
COMMENT ON COLUMN account_models.root_access IS
    'the customer owns the root user, so the result of an order carries the root-access instructions';
INSERT INTO account_models (id, title, root_access, created_by) VALUES
    ('SPAM', 'Solution Provider Account Model', false, 'Quartermaster'),
    ('ECAM', 'End Customer Account Model', true, 'Quartermaster');

CREATE TABLE pools (
    provider                  text NOT NULL REFERENCES providers (id),
    marketplace               text NOT NULL,
    environment               text NOT NULL,
    version                   bigint NOT NULL DEFAULT 1,
    created_at                timestamptz NOT NULL DEFAULT now(),
    -- What an order sets up in its account.
    alternate_contact_types   text[] NOT NULL DEFAULT '{BILLING,OPERATIONS,SECURITY}',
    report_kind               text NOT NULL DEFAULT 'export',
    report_region             text NOT NULL DEFAULT 'us-east-1',
    report_prefix             text NOT NULL DEFAULT 'cur',
    user_policy_arns          text[] NOT NULL
        DEFAULT '{arn:aws:iam::aws:policy/ReadOnlyAccess,arn:aws:iam::aws:policy/IAMUserChangePassword}',
    permissions_boundary_arn  text,
    -- How an order waits and fails.
    on_failure                text NOT NULL DEFAULT 'return',
    wait_deadline             interval,
    action_deadline           interval NOT NULL DEFAULT '14 days',
    -- What the customer reads.
    provide_root_user         boolean NOT NULL DEFAULT true,
    instructions              jsonb NOT NULL DEFAULT '{}',
    -- When the stock is low.
    stock_threshold           integer,
    model_thresholds          jsonb NOT NULL DEFAULT '{}',
    renotify_every            interval NOT NULL DEFAULT '24 hours',
    -- Not settings: what the worker found out.
    verification_suspended_at timestamptz,
    claims_suspended_at       timestamptz,
    claims_suspended_because  text NOT NULL DEFAULT '',
    claims_resumed_at         timestamptz,
    PRIMARY KEY (provider, marketplace, environment),
    CONSTRAINT pools_marketplace_is_a_slug CHECK (marketplace ~ '^[a-z0-9](-?[a-z0-9])*$' AND length(marketplace) <= 40),
    CONSTRAINT pools_environment_known CHECK (environment IN ('production', 'test')),
    CONSTRAINT pools_contact_types_known CHECK (alternate_contact_types <@ '{BILLING,OPERATIONS,SECURITY}'),
    CONSTRAINT pools_report_kind_known CHECK (report_kind IN ('cur', 'export')),
    CONSTRAINT pools_report_prefix_characters CHECK (report_prefix ~ '^[0-9A-Za-z!_.*''()/-]+$' AND length(report_prefix) <= 200),
    CONSTRAINT pools_policies_at_most_ten CHECK (cardinality(user_policy_arns) <= 10),
    CONSTRAINT pools_on_failure_known CHECK (on_failure IN ('return', 'park')),
    CONSTRAINT pools_wait_deadline_positive CHECK (wait_deadline > interval '0'),
    CONSTRAINT pools_action_deadline_positive CHECK (action_deadline > interval '0'),
    CONSTRAINT pools_instructions_by_model CHECK (jsonb_typeof(instructions) = 'object'),
    CONSTRAINT pools_threshold_not_negative CHECK (stock_threshold >= 0),
    CONSTRAINT pools_thresholds_by_model CHECK (jsonb_typeof(model_thresholds) = 'object'
        AND NOT jsonb_path_exists(model_thresholds, '$.* ? (!(@ >= 0))')),
    CONSTRAINT pools_renotify_not_a_flood CHECK (renotify_every >= interval '1 minute'),
    CONSTRAINT pools_suspended_says_why CHECK ((claims_suspended_at IS NOT NULL) = (claims_suspended_because <> ''))
);
COMMENT ON TABLE pools IS
    'settings of each pool, written by providers and operators; and what the worker found out about its accounts as '
    'a whole';
COMMENT ON COLUMN pools.version IS 'counts the changes of settings: the ETag of the pool';
COMMENT ON COLUMN pools.alternate_contact_types IS 'the alternate contacts of the account that an order sets';
COMMENT ON COLUMN pools.report_kind IS
    'kind of the cost report that an order creates: cur = legacy Cost and Usage Report, export = CUR 2.0 of BCM '
    'Data Exports';
COMMENT ON COLUMN pools.user_policy_arns IS 'managed policies of the customer''s IAM user; AWS allows ten by default';
COMMENT ON COLUMN pools.permissions_boundary_arn IS 'permissions boundary of the customer''s IAM user; NULL = none';
COMMENT ON COLUMN pools.on_failure IS
    'what happens to an account that is verified clean after a failed order: return = it becomes ready, park = it '
    'becomes provisioning_failed';
COMMENT ON COLUMN pools.wait_deadline IS 'how long an order waits for an account before it fails; NULL = without limit';
COMMENT ON COLUMN pools.action_deadline IS 'how long an order waits for a correction before it fails';
COMMENT ON COLUMN pools.provide_root_user IS
    'the results of orders hold the root-access instructions, for models whose customer owns the root user';
COMMENT ON COLUMN pools.instructions IS
    'account model -> template of the instructions; without one, a model with root access has the built-in text and '
    'any other model has none';
COMMENT ON COLUMN pools.stock_threshold IS
    'the stock is low when this many accounts of any model are ready, or fewer; NULL = no threshold';
COMMENT ON COLUMN pools.model_thresholds IS 'account model -> threshold of that model alone';
COMMENT ON COLUMN pools.renotify_every IS 'an open stock alert that no one acknowledged is repeated at this interval';
COMMENT ON COLUMN pools.verification_suspended_at IS
    'since when so many accounts of the pool fail their verification together that none becomes invalid, because '
    'the cause is probably AWS or Quartermaster; NULL = not suspended';
COMMENT ON COLUMN pools.claims_suspended_at IS
    'since when orders get no account of the pool, because Quartermaster could not open a session in several of '
    'them; NULL = not suspended';
COMMENT ON COLUMN pools.claims_resumed_at IS 'when the last suspension of claims ended: failures before it no longer count';

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
COMMENT ON TABLE pool_history IS
    'who changed which setting of a pool, with the old and the new value; written by a trigger of pools';
COMMENT ON COLUMN pool_history.what IS
    'the setting: a column of pools; created = the pool was created, and new_value holds all its settings';
-- Reads the changes of one pool by page, oldest first.
CREATE INDEX pool_history_of_pool ON pool_history (provider, marketplace, environment, seq);
-- Lists the history of a provider by page, newest entry first.
CREATE INDEX pool_history_newest_first ON pool_history (provider, at DESC, seq DESC);
CREATE TRIGGER pool_history_append_only BEFORE UPDATE OR DELETE ON pool_history
    FOR EACH ROW EXECUTE FUNCTION history_is_append_only();

CREATE FUNCTION pool_settings(pool pools) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT to_jsonb(pool) - '{provider,marketplace,environment,version,created_at,'
        'verification_suspended_at,claims_suspended_at,claims_suspended_because,claims_resumed_at}'::text[]
$$;
COMMENT ON FUNCTION pool_settings(pools) IS
    'the columns of a pool that are settings; the triggers count and record the changes of these alone';

-- +goose StatementBegin
CREATE FUNCTION pools_identity_is_fixed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'pool %/%/%: provider, marketplace and environment never change', OLD.provider, OLD.marketplace, OLD.environment
        USING ERRCODE = 'check_violation', CONSTRAINT = 'pools_identity_is_fixed';
END $$;
-- +goose StatementEnd
CREATE TRIGGER pools_identity_is_fixed BEFORE UPDATE ON pools FOR EACH ROW
    WHEN ((NEW.provider, NEW.marketplace, NEW.environment) IS DISTINCT FROM (OLD.provider, OLD.marketplace, OLD.environment))
    EXECUTE FUNCTION pools_identity_is_fixed();

-- +goose StatementBegin
CREATE FUNCTION pools_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.version := OLD.version + 1;
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER pools_version BEFORE UPDATE ON pools FOR EACH ROW
    WHEN (pool_settings(NEW) <> pool_settings(OLD)) EXECUTE FUNCTION pools_version();

-- +goose StatementBegin
CREATE FUNCTION pools_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO pool_history (provider, marketplace, environment, actor, what, new_value)
        VALUES (NEW.provider, NEW.marketplace, NEW.environment, qm_actor_or_user(), 'created', pool_settings(NEW));
        RETURN NULL;
    END IF;
    INSERT INTO pool_history (provider, marketplace, environment, actor, what, old_value, new_value)
    SELECT NEW.provider, NEW.marketplace, NEW.environment, qm_actor_or_user(), o.key, NULLIF(o.value, 'null'), NULLIF(n.value, 'null')
    FROM jsonb_each(pool_settings(OLD)) o JOIN jsonb_each(pool_settings(NEW)) n USING (key)
    WHERE n.value <> o.value ORDER BY o.key;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER pools_history AFTER INSERT OR UPDATE ON pools FOR EACH ROW EXECUTE FUNCTION pools_history();

CREATE TABLE protected_accounts (
    provider   text NOT NULL REFERENCES providers (id),
    account_id text NOT NULL,
    note       text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL,
    PRIMARY KEY (provider, account_id),
    CONSTRAINT protected_accounts_id_has_12_digits CHECK (account_id ~ '^[0-9]{12}$')
);
COMMENT ON TABLE protected_accounts IS
    'AWS accounts, such as payers and the provider''s own, that never enter a pool and that Quartermaster never '
    'modifies; written by operators';
COMMENT ON COLUMN protected_accounts.note IS 'why it is protected';

CREATE TABLE protected_account_history (
    seq        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    provider   text NOT NULL,
    account_id text NOT NULL,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor      text NOT NULL,
    what       text NOT NULL,
    note       text NOT NULL,
    CONSTRAINT protected_account_history_what_known CHECK (what IN ('protected', 'changed', 'unprotected'))
);
COMMENT ON TABLE protected_account_history IS
    'who protected and unprotected which account; written by a trigger of protected_accounts';
-- Lists the history of a provider by page, newest entry first.
CREATE INDEX protected_account_history_newest_first ON protected_account_history (provider, at DESC, seq DESC);
CREATE TRIGGER protected_account_history_append_only BEFORE UPDATE OR DELETE ON protected_account_history
    FOR EACH ROW EXECUTE FUNCTION history_is_append_only();

-- +goose StatementBegin
CREATE FUNCTION protected_accounts_history() RETURNS trigger LANGUAGE plpgsql AS $$
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
CREATE TRIGGER protected_accounts_history AFTER INSERT OR UPDATE OR DELETE ON protected_accounts
    FOR EACH ROW EXECUTE FUNCTION protected_accounts_history();

CREATE FUNCTION lock_account(account_id text) RETURNS void LANGUAGE sql AS $$
    SELECT pg_advisory_xact_lock(hashtextextended('account ' || account_id, 0))
$$;
COMMENT ON FUNCTION lock_account(text) IS
    'until the end of the transaction, keeps others from adding the account to a pool and from protecting it: '
    'without the lock, two transactions could do both at once';

-- +goose StatementBegin
CREATE FUNCTION protected_accounts_lock() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM lock_account(NEW.account_id);
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER protected_accounts_lock BEFORE INSERT ON protected_accounts FOR EACH ROW EXECUTE FUNCTION protected_accounts_lock();

-- +goose Down
DROP TABLE protected_account_history, protected_accounts, pool_history;
DROP FUNCTION protected_accounts_lock(), lock_account(text), protected_accounts_history();
DROP TRIGGER pools_version ON pools;
DROP FUNCTION pool_settings(pools);
DROP TABLE pools, account_models;
DROP FUNCTION pools_history(), pools_version(), pools_identity_is_fixed();
