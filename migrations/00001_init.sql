-- +goose Up
-- The pool, the orders and everything that must hold for them. What the text of the product promises
-- ("no account twice", "no other transition") is written here as a constraint, not only in code.

CREATE TABLE providers (
    id         text PRIMARY KEY,
    name       text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT providers_id_is_a_slug CHECK (id ~ '^[a-z0-9](-?[a-z0-9])*$' AND length(id) <= 40)
);

CREATE TABLE api_keys (
    id            text PRIMARY KEY,
    provider      text NOT NULL REFERENCES providers (id),
    name          text NOT NULL,
    secret_sha256 bytea NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    expires_at    timestamptz,
    revoked_at    timestamptz,
    CONSTRAINT api_keys_sha256_has_32_bytes CHECK (length(secret_sha256) = 32)
);

-- A model is data, not code: AWS has renamed them before.
CREATE TABLE account_models (
    id          text PRIMARY KEY,
    title       text NOT NULL,
    root_access boolean NOT NULL
);
COMMENT ON COLUMN account_models.root_access IS 'the customer owns the root user, so the result of an order carries the root-access instructions';
INSERT INTO account_models (id, title, root_access) VALUES
    ('SPAM', 'Solution Provider Account Model', false),
    ('ECAM', 'End Customer Account Model', true);

CREATE TABLE pools (
    provider                 text NOT NULL REFERENCES providers (id),
    marketplace              text NOT NULL,
    environment              text NOT NULL,
    alternate_contact_types  text[] NOT NULL DEFAULT '{BILLING,OPERATIONS,SECURITY}',
    report_kind              text NOT NULL DEFAULT 'export',
    report_region            text NOT NULL DEFAULT 'us-east-1',
    report_prefix            text NOT NULL DEFAULT 'cur',
    user_policy_arns         text[] NOT NULL DEFAULT '{arn:aws:iam::aws:policy/ReadOnlyAccess,arn:aws:iam::aws:policy/IAMUserChangePassword}',
    permissions_boundary_arn text,
    on_failure               text NOT NULL DEFAULT 'return',
    wait_deadline            interval,
    action_deadline          interval NOT NULL DEFAULT '14 days',
    root_instructions        text,
    created_at               timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (provider, marketplace, environment),
    CONSTRAINT pools_marketplace_is_a_slug CHECK (marketplace ~ '^[a-z0-9](-?[a-z0-9])*$' AND length(marketplace) <= 40),
    CONSTRAINT pools_environment_known CHECK (environment IN ('production', 'test')),
    CONSTRAINT pools_contact_types_known CHECK (alternate_contact_types <@ '{BILLING,OPERATIONS,SECURITY}'),
    CONSTRAINT pools_report_kind_known CHECK (report_kind IN ('cur', 'export')),
    CONSTRAINT pools_report_prefix_not_empty CHECK (report_prefix ~ '^[0-9A-Za-z!_.*''()/-]+$' AND length(report_prefix) <= 200),
    CONSTRAINT pools_on_failure_known CHECK (on_failure IN ('return', 'park'))
);
COMMENT ON COLUMN pools.report_kind IS 'what a new report is: cur = legacy Cost and Usage Report, export = CUR 2.0 by BCM Data Exports';
COMMENT ON COLUMN pools.on_failure IS 'an account that is verified clean after a failed order goes back to Ready (return) or stays Provisioning failed (park)';
COMMENT ON COLUMN pools.wait_deadline IS 'how long an order waits for an account before it fails; NULL = for ever';
COMMENT ON COLUMN pools.action_deadline IS 'how long an order waits for somebody to correct it before it fails';
COMMENT ON COLUMN pools.root_instructions IS 'template of the root-access instructions; NULL = the built-in one';

CREATE TABLE orders (
    provider       text NOT NULL,
    id             text NOT NULL,
    marketplace    text NOT NULL,
    environment    text NOT NULL,
    model          text REFERENCES account_models (id),
    request        jsonb NOT NULL,
    first_request  jsonb,
    request_sha256 bytea NOT NULL,
    nonce          uuid NOT NULL DEFAULT gen_random_uuid(),
    state          text NOT NULL DEFAULT 'accepted',
    state_since    timestamptz NOT NULL DEFAULT now(),
    step           text NOT NULL DEFAULT '',
    failure        jsonb,
    leftovers      text[] NOT NULL DEFAULT '{}',
    notes          text[] NOT NULL DEFAULT '{}',
    queue_position bigint,
    result         jsonb,
    created_at     timestamptz NOT NULL,
    PRIMARY KEY (provider, id),
    FOREIGN KEY (provider, marketplace, environment) REFERENCES pools,
    CONSTRAINT orders_id_characters CHECK (id ~ '^[A-Za-z0-9._:-]{1,64}$'),
    CONSTRAINT orders_state_known CHECK (state IN ('accepted', 'waiting_for_account', 'provisioning', 'action_required',
        'completed', 'compensating', 'failed', 'cancelled')),
    CONSTRAINT orders_waiting_has_a_place CHECK (state <> 'waiting_for_account' OR queue_position IS NOT NULL),
    CONSTRAINT orders_result_iff_completed CHECK ((state = 'completed') = (result IS NOT NULL)),
    CONSTRAINT orders_failed_says_why CHECK (state NOT IN ('failed', 'action_required') OR failure IS NOT NULL)
);
COMMENT ON COLUMN orders.first_request IS 'the request as it was first placed, which request_sha256 belongs to; NULL = it was never corrected';
COMMENT ON COLUMN orders.nonce IS 'tag mp:order-nonce of everything that this order creates in AWS: what carries it is ours';
COMMENT ON COLUMN orders.leftovers IS 'what the undo could not put back';
COMMENT ON COLUMN orders.notes IS 'what the undo left alone on purpose, e.g. an alias that the customer changed meanwhile';
CREATE SEQUENCE orders_queue;
CREATE UNIQUE INDEX orders_queue_position ON orders (queue_position) WHERE queue_position IS NOT NULL;
CREATE INDEX orders_waiting ON orders (provider, marketplace, environment, queue_position) WHERE state = 'waiting_for_account';
CREATE INDEX orders_newest_first ON orders (provider, created_at DESC, id DESC);

CREATE TABLE accounts (
    id           text PRIMARY KEY,
    provider     text NOT NULL,
    marketplace  text NOT NULL,
    environment  text NOT NULL,
    model        text NOT NULL REFERENCES account_models (id),
    name         text NOT NULL,
    root_email   text NOT NULL,
    role_arn     text NOT NULL,
    external_id  text NOT NULL,
    added_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    added_seq    bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    status       text NOT NULL DEFAULT 'ready',
    status_since timestamptz NOT NULL DEFAULT now(),
    order_id     text,
    reason       text NOT NULL DEFAULT '',
    FOREIGN KEY (provider, marketplace, environment) REFERENCES pools,
    FOREIGN KEY (provider, order_id) REFERENCES orders (provider, id),
    CONSTRAINT accounts_id_has_12_digits CHECK (id ~ '^[0-9]{12}$'),
    CONSTRAINT accounts_external_id_unique UNIQUE (external_id),
    CONSTRAINT accounts_external_id_length CHECK (length(external_id) BETWEEN 16 AND 1224),
    CONSTRAINT accounts_role_is_in_the_account CHECK (split_part(role_arn, ':', 5) = id),
    CONSTRAINT accounts_status_known CHECK (status IN ('ready', 'provisioning', 'allocated', 'provisioning_failed', 'invalid')),
    CONSTRAINT accounts_held_by_an_order CHECK (CASE status
        WHEN 'ready' THEN order_id IS NULL
        WHEN 'invalid' THEN true
        ELSE order_id IS NOT NULL END),
    CONSTRAINT accounts_unusable_says_why CHECK (status NOT IN ('provisioning_failed', 'invalid') OR reason <> '')
);
COMMENT ON COLUMN accounts.added_at IS 'the age of the account: the claim takes the oldest, by added_at, then added_seq; kept when it returns to Ready';
-- The address names the root user at AWS, so no two accounts have one, whoever's they are.
CREATE UNIQUE INDEX accounts_root_email_unique ON accounts (lower(root_email));
-- One order never holds two accounts.
CREATE UNIQUE INDEX accounts_one_per_order ON accounts (provider, order_id) WHERE status IN ('provisioning', 'allocated');
-- The claim reads this and nothing else.
CREATE INDEX accounts_oldest_ready ON accounts (provider, marketplace, environment, added_at, added_seq) WHERE status = 'ready';
CREATE INDEX accounts_oldest_first ON accounts (provider, added_at, added_seq);

CREATE TABLE account_transitions (
    from_status text NOT NULL,
    to_status   text NOT NULL,
    meaning     text NOT NULL,
    PRIMARY KEY (from_status, to_status)
);
INSERT INTO account_transitions (from_status, to_status, meaning) VALUES
    ('ready',               'provisioning',        'claimed by an order'),
    ('provisioning',        'allocated',           'the order completed'),
    ('provisioning',        'ready',               'the order ended otherwise and the account is verified clean'),
    ('provisioning',        'provisioning_failed', 'the order ended otherwise and the account is not proven clean, or the pool parks'),
    ('provisioning',        'invalid',             'the account itself is unusable, or set aside because it cannot be entered; the order takes the next one'),
    ('ready',               'invalid',             'verification failed twice, or an operator said so'),
    ('invalid',             'ready',               'verification passed: of an account that was added, was set aside, or that an operator wants back'),
    ('provisioning_failed', 'ready',               'an operator, after verification'),
    ('provisioning_failed', 'invalid',             'an operator');

CREATE TABLE account_history (
    seq         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id  text NOT NULL,
    at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor       text NOT NULL,
    from_status text,
    to_status   text NOT NULL,
    reason      text NOT NULL,
    provider    text NOT NULL,
    order_id    text
);
CREATE INDEX account_history_of_account ON account_history (account_id, seq);

CREATE TABLE order_transitions (
    from_state text NOT NULL,
    to_state   text NOT NULL,
    PRIMARY KEY (from_state, to_state)
);
INSERT INTO order_transitions (from_state, to_state) VALUES
    ('accepted', 'waiting_for_account'), ('accepted', 'provisioning'), ('accepted', 'failed'), ('accepted', 'cancelled'),
    ('waiting_for_account', 'provisioning'), ('waiting_for_account', 'failed'), ('waiting_for_account', 'cancelled'),
    ('provisioning', 'waiting_for_account'), ('provisioning', 'action_required'), ('provisioning', 'compensating'),
    ('provisioning', 'completed'),
    ('action_required', 'provisioning'), ('action_required', 'waiting_for_account'), ('action_required', 'compensating'),
    ('compensating', 'failed'), ('compensating', 'cancelled');

CREATE TABLE order_history (
    seq        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    provider   text NOT NULL,
    order_id   text NOT NULL,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor      text NOT NULL,
    from_state text,
    to_state   text NOT NULL,
    code       text NOT NULL DEFAULT '',
    reason     text NOT NULL DEFAULT ''
);
COMMENT ON COLUMN order_history.code IS 'why the state changed (a failure), or what somebody did without changing it (correct, retry, cancel, fail, swap; the reconciler: restart, continue, restore)';
CREATE INDEX order_history_of_order ON order_history (provider, order_id, seq);

CREATE TABLE order_steps (
    provider    text NOT NULL,
    order_id    text NOT NULL,
    account_id  text NOT NULL,
    step        text NOT NULL,
    state       text NOT NULL,
    attempt     integer NOT NULL,
    started_at  timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    problem     text NOT NULL DEFAULT '',
    PRIMARY KEY (provider, order_id, account_id, step),
    FOREIGN KEY (provider, order_id) REFERENCES orders (provider, id),
    CONSTRAINT order_steps_state_known CHECK (state IN ('running', 'retrying', 'done', 'failed', 'undone'))
);

CREATE TABLE order_passwords (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    provider    text NOT NULL,
    order_id    text NOT NULL,
    account_id  text NOT NULL,
    sealed      bytea,
    created_at  timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz,
    revealed_at timestamptz,
    revealed_to text NOT NULL DEFAULT '',
    UNIQUE (provider, order_id, account_id),
    FOREIGN KEY (provider, order_id) REFERENCES orders (provider, id),
    CONSTRAINT order_passwords_revealed_is_gone CHECK (revealed_at IS NULL OR sealed IS NULL)
);
COMMENT ON COLUMN order_passwords.sealed IS 'AES-256-GCM, sealed before AWS is told; NULL once revealed or withdrawn';

-- Every transition is checked and audited here, whoever writes: the actor is the transaction-local setting qm.actor.
-- +goose StatementBegin
CREATE FUNCTION qm_actor() RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    actor text := current_setting('qm.actor', true);
BEGIN
    IF actor IS NULL OR actor = '' THEN
        RAISE EXCEPTION 'a change of status needs an actor: SELECT set_config(''qm.actor'', <who>, true) in the same transaction'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'history_names_the_actor';
    END IF;
    RETURN actor;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION accounts_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.status NOT IN ('ready', 'invalid') THEN
            RAISE EXCEPTION 'account %: a new account is ready or invalid, not %', NEW.id, NEW.status
                USING ERRCODE = 'check_violation', CONSTRAINT = 'accounts_transition_allowed';
        END IF;
        INSERT INTO account_history (account_id, actor, from_status, to_status, reason, provider, order_id)
        VALUES (NEW.id, qm_actor(), NULL, NEW.status, NEW.reason, NEW.provider, NEW.order_id);
        RETURN NEW;
    END IF;
    IF NEW.id <> OLD.id OR NEW.provider <> OLD.provider OR NEW.external_id <> OLD.external_id OR NEW.added_at <> OLD.added_at THEN
        RAISE EXCEPTION 'account %: id, provider, external id and the time it was added never change', OLD.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'accounts_identity_is_fixed';
    END IF;
    IF NEW.status = OLD.status THEN
        IF NEW.order_id IS DISTINCT FROM OLD.order_id THEN
            RAISE EXCEPTION 'account %: the order that holds it changes only with its status', OLD.id
                USING ERRCODE = 'check_violation', CONSTRAINT = 'accounts_transition_allowed';
        END IF;
        RETURN NEW;
    END IF;
    IF NOT EXISTS (SELECT 1 FROM account_transitions WHERE from_status = OLD.status AND to_status = NEW.status) THEN
        RAISE EXCEPTION 'account %: % to % is not a transition', OLD.id, OLD.status, NEW.status
            USING ERRCODE = 'check_violation', CONSTRAINT = 'accounts_transition_allowed';
    END IF;
    NEW.status_since := clock_timestamp();
    INSERT INTO account_history (account_id, actor, from_status, to_status, reason, provider, order_id)
    VALUES (NEW.id, qm_actor(), OLD.status, NEW.status, NEW.reason, NEW.provider, COALESCE(NEW.order_id, OLD.order_id));
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER accounts_history BEFORE INSERT OR UPDATE ON accounts FOR EACH ROW EXECUTE FUNCTION accounts_history();

-- +goose StatementBegin
CREATE FUNCTION accounts_keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.status NOT IN ('ready', 'invalid') THEN
        RAISE EXCEPTION 'account %: only a ready or invalid account may be deleted, this one is %', OLD.id, OLD.status
            USING ERRCODE = 'check_violation', CONSTRAINT = 'accounts_transition_allowed';
    END IF;
    RETURN OLD;
END $$;
-- +goose StatementEnd
CREATE TRIGGER accounts_keep BEFORE DELETE ON accounts FOR EACH ROW EXECUTE FUNCTION accounts_keep();

-- +goose StatementBegin
CREATE FUNCTION orders_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'accepted' THEN
            RAISE EXCEPTION 'order %: a new order is accepted, not %', NEW.id, NEW.state
                USING ERRCODE = 'check_violation', CONSTRAINT = 'orders_transition_allowed';
        END IF;
        IF TG_WHEN = 'AFTER' THEN -- a row that ON CONFLICT leaves out gets here only before, and was never written
            INSERT INTO order_history (provider, order_id, actor, from_state, to_state) VALUES (NEW.provider, NEW.id, qm_actor(), NULL, NEW.state);
        END IF;
        RETURN NEW;
    END IF;
    IF NEW.provider <> OLD.provider OR NEW.id <> OLD.id OR NEW.nonce <> OLD.nonce THEN
        RAISE EXCEPTION 'order %: provider, id and nonce never change', OLD.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'orders_identity_is_fixed';
    END IF;
    IF NEW.state = OLD.state THEN
        RETURN NEW;
    END IF;
    IF NOT EXISTS (SELECT 1 FROM order_transitions WHERE from_state = OLD.state AND to_state = NEW.state) THEN
        RAISE EXCEPTION 'order %: % to % is not a transition', OLD.id, OLD.state, NEW.state
            USING ERRCODE = 'check_violation', CONSTRAINT = 'orders_transition_allowed';
    END IF;
    NEW.state_since := clock_timestamp();
    -- Who acts gives a reason of his own in the transaction-local setting qm.reason; else the failure says why.
    INSERT INTO order_history (provider, order_id, actor, from_state, to_state, code, reason)
    VALUES (NEW.provider, NEW.id, qm_actor(), OLD.state, NEW.state, COALESCE(NEW.failure ->> 'code', ''),
            COALESCE(NULLIF(current_setting('qm.reason', true), ''), NEW.failure ->> 'reason', ''));
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER orders_history BEFORE INSERT OR UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION orders_history();
CREATE TRIGGER orders_history_new AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION orders_history();

-- Audit rows are written once.
-- +goose StatementBegin
CREATE FUNCTION history_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'check_violation', CONSTRAINT = 'history_is_append_only';
END $$;
-- +goose StatementEnd
CREATE TRIGGER account_history_append_only BEFORE UPDATE OR DELETE ON account_history FOR EACH ROW EXECUTE FUNCTION history_is_append_only();
CREATE TRIGGER order_history_append_only BEFORE UPDATE OR DELETE ON order_history FOR EACH ROW EXECUTE FUNCTION history_is_append_only();

-- An account and its order end together: when a transaction commits, an account in progress belongs to an order in
-- progress, and a completed order holds exactly one allocated account.
-- +goose StatementBegin
CREATE FUNCTION account_and_order_agree() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    a accounts%ROWTYPE;
    o orders%ROWTYPE;
BEGIN
    SELECT * INTO a FROM accounts WHERE id = NEW.id;
    IF NOT FOUND OR a.status NOT IN ('provisioning', 'allocated') THEN
        RETURN NULL;
    END IF;
    SELECT * INTO o FROM orders WHERE provider = a.provider AND id = a.order_id;
    IF a.status = 'allocated' AND o.state <> 'completed'
        OR a.status = 'provisioning' AND o.state NOT IN ('provisioning', 'action_required', 'compensating')
        OR (a.marketplace, a.environment) <> (o.marketplace, o.environment)
        OR o.model IS NOT NULL AND o.model <> a.model THEN
        RAISE EXCEPTION 'account % is % for order %, which is % in pool %/%', a.id, a.status, o.id, o.state, o.marketplace, o.environment
            USING ERRCODE = 'check_violation', CONSTRAINT = 'account_and_order_agree';
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE CONSTRAINT TRIGGER account_and_order_agree AFTER INSERT OR UPDATE ON accounts
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION account_and_order_agree();

-- +goose StatementBegin
CREATE FUNCTION order_and_account_agree() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    o orders%ROWTYPE;
    held text;
BEGIN
    SELECT * INTO o FROM orders WHERE provider = NEW.provider AND id = NEW.id;
    SELECT status INTO held FROM accounts WHERE provider = o.provider AND order_id = o.id AND status IN ('provisioning', 'allocated');
    IF o.state = 'completed' AND held IS DISTINCT FROM 'allocated'
        OR o.state IN ('action_required', 'provisioning') AND held IS DISTINCT FROM 'provisioning'
        OR o.state IN ('failed', 'cancelled', 'accepted', 'waiting_for_account') AND held IS NOT NULL THEN
        RAISE EXCEPTION 'order % is % and its account is %', o.id, o.state, COALESCE(held, 'none')
            USING ERRCODE = 'check_violation', CONSTRAINT = 'account_and_order_agree';
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE CONSTRAINT TRIGGER order_and_account_agree AFTER INSERT OR UPDATE OF state ON orders
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION order_and_account_agree();

-- +goose Down
DROP TABLE order_passwords, order_steps, order_history, order_transitions, account_history, account_transitions, accounts, orders, pools, account_models, api_keys, providers;
DROP SEQUENCE orders_queue;
DROP FUNCTION account_and_order_agree(), order_and_account_agree(), history_is_append_only(), orders_history(), accounts_keep(), accounts_history(), qm_actor();
