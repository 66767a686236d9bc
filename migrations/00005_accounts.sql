-- +goose Up
-- The AWS accounts of the pools. An account that is added is invalid until its verification passes, and is verified again and
-- again while it is ready: no order can claim what is not verified.

CREATE TABLE accounts (
    id                  text PRIMARY KEY,
    provider            text NOT NULL,
    marketplace         text NOT NULL,
    environment         text NOT NULL,
    model               text NOT NULL REFERENCES account_models (id),
    name                text NOT NULL,
    root_email          text NOT NULL,
    role_arn            text NOT NULL,
    external_id         text NOT NULL,
    version             bigint NOT NULL DEFAULT 1,
    added_at            timestamptz NOT NULL DEFAULT clock_timestamp(),
    added_seq           bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    status              text NOT NULL DEFAULT 'ready',
    status_since        timestamptz NOT NULL DEFAULT now(),
    reason              text NOT NULL DEFAULT '',
    order_id            text,
    claimed_at          timestamptz,
    -- Verification.
    verify_at           timestamptz DEFAULT now(),
    checked_at          timestamptz,
    verified_at         timestamptz,
    strikes             smallint NOT NULL DEFAULT 0,
    finding             text NOT NULL DEFAULT '',
    ready_when_verified boolean NOT NULL DEFAULT false,
    ready_because       text NOT NULL DEFAULT '',
    -- Orders that could not use it.
    set_aside_at        timestamptz,
    set_aside_count     smallint NOT NULL DEFAULT 0,
    removing_since      timestamptz,
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
COMMENT ON TABLE accounts IS
    'every account that is or was in a pool; added and corrected by operators and imports, claimed and verified by '
    'the worker';
COMMENT ON COLUMN accounts.root_email IS 'address of the root user';
COMMENT ON COLUMN accounts.role_arn IS 'the role that Quartermaster assumes in the account';
COMMENT ON COLUMN accounts.external_id IS
    'the secret that the role demands; 16 to 1,224 characters, of which AWS sets the upper limit';
COMMENT ON COLUMN accounts.version IS 'counts the changes that an editor sees: the ETag of the account';
COMMENT ON COLUMN accounts.added_at IS
    'age of the account in the stock, kept when it becomes ready again; a claim takes the oldest, by added_at, then '
    'added_seq';
COMMENT ON COLUMN accounts.reason IS 'why it has its status';
COMMENT ON COLUMN accounts.order_id IS 'the order that holds it, or that made it unusable';
COMMENT ON COLUMN accounts.claimed_at IS 'when an order last claimed it';
COMMENT ON COLUMN accounts.verify_at IS 'when it is due for verification; NULL = not until an operator asks';
COMMENT ON COLUMN accounts.checked_at IS 'when a verification last had a clear answer, passed or not';
COMMENT ON COLUMN accounts.verified_at IS 'when it last passed';
COMMENT ON COLUMN accounts.strikes IS 'how often in a row it did not pass; throttling, 5xx responses and timeouts do not count';
COMMENT ON COLUMN accounts.finding IS 'why it did not pass the last time';
COMMENT ON COLUMN accounts.ready_when_verified IS
    'the next verification that passes makes it ready: it was added or set aside, or an operator wants it back';
COMMENT ON COLUMN accounts.ready_because IS 'who wants it ready and why, for the history';
COMMENT ON COLUMN accounts.set_aside_at IS
    'when an order last set it aside because no session could be opened in it; NULL = never, or a later order could '
    'use it';
COMMENT ON COLUMN accounts.set_aside_count IS
    'how many orders in a row set it aside, although its verification passed in between';
COMMENT ON COLUMN accounts.removing_since IS 'since when a workflow removes what an order left in it; NULL = none does';
-- The address identifies the root user throughout AWS, so no two accounts of any providers share one.
CREATE UNIQUE INDEX accounts_root_email_unique ON accounts (lower(root_email));
-- One order never holds two accounts, or one and another that it left unclean. Also finds the account of an order.
CREATE UNIQUE INDEX accounts_one_per_order ON accounts (provider, order_id)
    WHERE status IN ('provisioning', 'allocated', 'provisioning_failed');
-- The claim takes the oldest ready account of a model in a pool; for any model, the oldest of those. added_at is never NULL:
-- NULLS FIRST makes this the only index in the order that the claim asks for. Without it, PostgreSQL might rather walk through
-- another one, past accounts that are not ready.
CREATE INDEX accounts_oldest_ready ON accounts (provider, marketplace, environment, model, added_at NULLS FIRST, added_seq)
    WHERE status = 'ready';
-- Finds the accounts that are due for verification.
CREATE INDEX accounts_due ON accounts (verify_at) WHERE verify_at IS NOT NULL;
-- Counts the ready accounts of a pool that were verified lately, and finds those that were not for the longest time.
CREATE INDEX accounts_ready_checked ON accounts (provider, marketplace, environment, checked_at NULLS FIRST, added_seq)
    INCLUDE (strikes) WHERE status = 'ready';
-- Counts, of the accounts that a pool's orders claimed lately, those in which no session could be opened.
CREATE INDEX accounts_claimed ON accounts (provider, marketplace, environment, claimed_at) WHERE claimed_at IS NOT NULL;
-- Lists the accounts of a provider by page: all of them, and those that a filter selects, by pool, status and model.
CREATE INDEX accounts_oldest_first ON accounts (provider, added_at, id);
CREATE INDEX accounts_of_pool ON accounts (provider, marketplace, environment, status, model, added_at, id);

CREATE TABLE account_transitions (
    from_status text NOT NULL,
    to_status   text NOT NULL,
    meaning     text NOT NULL,
    PRIMARY KEY (from_status, to_status)
);
COMMENT ON TABLE account_transitions IS
    'the state machine of accounts (docs/states.md); a trigger of accounts refuses every other change';
INSERT INTO account_transitions (from_status, to_status, meaning) VALUES
    ('ready',               'provisioning',        'an order claimed it'),
    ('provisioning',        'allocated',           'the order completed'),
    ('provisioning',        'ready',               'the order ended otherwise, and the account is verified clean'),
    ('provisioning',        'provisioning_failed', 'the order ended otherwise, and the account is not proven clean or the pool parks it'),
    ('provisioning',        'invalid',             'it is unusable, or no session can be opened in it; the order takes another one'),
    ('ready',               'invalid',             'its verification failed twice, or an operator invalidated it'),
    ('invalid',             'ready',               'its verification passed; it was added or set aside, or an operator wanted it back'),
    ('provisioning_failed', 'ready',               'its verification passed; an operator wanted it back'),
    ('provisioning_failed', 'invalid',             'an operator invalidated it');

CREATE TABLE account_history (
    seq         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    provider    text NOT NULL,
    account_id  text NOT NULL,
    marketplace text NOT NULL,
    environment text NOT NULL,
    at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor       text NOT NULL,
    from_status text,
    to_status   text NOT NULL,
    code        text NOT NULL DEFAULT '',
    fields      text[] NOT NULL DEFAULT '{}',
    refused     text NOT NULL DEFAULT '',
    reason      text NOT NULL,
    order_id    text
);
COMMENT ON TABLE account_history IS
    'every change of status, written by a trigger of accounts; and every action of an operator, those that were refused '
    'included, and the results of verifications, written by the program';
COMMENT ON COLUMN account_history.marketplace IS 'of the account, as is environment';
COMMENT ON COLUMN account_history.code IS
    'what did not change the status: update, delete, invalidate, return, verify, remove-leftovers, protect, verified, '
    'not-verified';
COMMENT ON COLUMN account_history.fields IS 'the fields that an update changed; never their values';
COMMENT ON COLUMN account_history.refused IS 'the code with which the action was refused; empty = it was not';
COMMENT ON COLUMN account_history.from_status IS 'NULL = the account was added';
COMMENT ON COLUMN account_history.order_id IS 'the order that held the account before or after the change';
-- Reads the history of one account, and its newest entry.
CREATE INDEX account_history_of_account ON account_history (account_id, seq);
-- List the history of a provider by page, newest entry first: all of it, of one marketplace, by one actor, and of one order.
CREATE INDEX account_history_newest_first ON account_history (provider, at DESC, seq DESC);
CREATE INDEX account_history_of_marketplace ON account_history (provider, marketplace, at DESC, seq DESC);
CREATE INDEX account_history_of_actor ON account_history (provider, actor, at DESC, seq DESC);
CREATE INDEX account_history_of_order ON account_history (provider, order_id, at DESC, seq DESC) WHERE order_id IS NOT NULL;
CREATE TRIGGER account_history_append_only BEFORE UPDATE OR DELETE ON account_history
    FOR EACH ROW EXECUTE FUNCTION history_is_append_only();

CREATE TABLE kept_undos (
    id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    provider   text NOT NULL,
    order_id   text NOT NULL,
    account_id text NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    sealed     bytea NOT NULL,
    kept_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    FOREIGN KEY (provider, order_id) REFERENCES orders (provider, id),
    CONSTRAINT kept_undos_one_per_account UNIQUE (account_id)
);
COMMENT ON TABLE kept_undos IS
    'undos that left something in an account, so that it can be removed later; written by the worker, deleted when '
    'nothing is left, or when the account becomes ready or allocated';
COMMENT ON COLUMN kept_undos.sealed IS
    'what the account looked like before the order and what the order wrote; sealed because it holds contacts';

-- The rules of an account's row.

-- +goose StatementBegin
CREATE FUNCTION accounts_identity_is_fixed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'account %: id, provider, external id and the time it was added never change', OLD.id
        USING ERRCODE = 'check_violation', CONSTRAINT = 'accounts_identity_is_fixed';
END $$;
-- +goose StatementEnd
CREATE TRIGGER accounts_identity_is_fixed BEFORE UPDATE ON accounts FOR EACH ROW
    WHEN ((NEW.id, NEW.provider, NEW.external_id, NEW.added_at) IS DISTINCT FROM (OLD.id, OLD.provider, OLD.external_id, OLD.added_at))
    EXECUTE FUNCTION accounts_identity_is_fixed();

-- +goose StatementBegin
CREATE FUNCTION accounts_not_protected() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM lock_account(NEW.id);
    END IF;
    IF EXISTS (SELECT 1 FROM protected_accounts WHERE provider = NEW.provider AND account_id = NEW.id) THEN
        RAISE EXCEPTION 'account %: it is protected, so it never enters a pool', NEW.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'accounts_not_protected';
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER accounts_not_protected_of_insert BEFORE INSERT ON accounts FOR EACH ROW EXECUTE FUNCTION accounts_not_protected();
CREATE TRIGGER accounts_not_protected_of_update BEFORE UPDATE ON accounts FOR EACH ROW
    WHEN (NEW.status = 'ready' AND OLD.status <> 'ready') EXECUTE FUNCTION accounts_not_protected();

-- +goose StatementBegin
CREATE FUNCTION accounts_ready_is_verified() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'account %: it becomes ready only by a verification that passes', OLD.id
        USING ERRCODE = 'check_violation', CONSTRAINT = 'accounts_ready_is_verified';
END $$;
-- +goose StatementEnd
CREATE TRIGGER accounts_ready_is_verified BEFORE UPDATE ON accounts FOR EACH ROW
    WHEN (NEW.status = 'ready' AND OLD.status IN ('invalid', 'provisioning_failed')
        AND NOT (OLD.ready_when_verified AND NEW.verified_at IS DISTINCT FROM OLD.verified_at))
    EXECUTE FUNCTION accounts_ready_is_verified();

-- +goose StatementBegin
CREATE FUNCTION accounts_removal_ends_first() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'account %: what an order left there is being removed', OLD.id
        USING ERRCODE = 'check_violation', CONSTRAINT = 'accounts_removal_ends_first';
END $$;
-- +goose StatementEnd
CREATE TRIGGER accounts_removal_ends_first BEFORE UPDATE ON accounts FOR EACH ROW
    WHEN (OLD.removing_since IS NOT NULL AND NEW.removing_since IS NOT NULL AND (NEW.status <> OLD.status OR NEW.ready_when_verified))
    EXECUTE FUNCTION accounts_removal_ends_first();

-- Checks a change of status, and notes its time.
-- +goose StatementBegin
CREATE FUNCTION accounts_transition_allowed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.status NOT IN ('ready', 'invalid') THEN
            RAISE EXCEPTION 'account %: only a ready or invalid account may be deleted, this one is %', OLD.id, OLD.status
                USING ERRCODE = 'check_violation', CONSTRAINT = 'accounts_transition_allowed';
        END IF;
        RETURN OLD;
    END IF;
    IF TG_OP = 'INSERT' THEN
        IF NEW.status NOT IN ('ready', 'invalid') THEN
            RAISE EXCEPTION 'account %: a new account is ready or invalid, not %', NEW.id, NEW.status
                USING ERRCODE = 'check_violation', CONSTRAINT = 'accounts_transition_allowed';
        END IF;
    ELSIF NEW.status <> OLD.status THEN
        IF NOT EXISTS (SELECT 1 FROM account_transitions WHERE from_status = OLD.status AND to_status = NEW.status) THEN
            RAISE EXCEPTION 'account %: % to % is not a transition', OLD.id, OLD.status, NEW.status
                USING ERRCODE = 'check_violation', CONSTRAINT = 'accounts_transition_allowed';
        END IF;
        NEW.status_since := clock_timestamp();
    ELSE
        RAISE EXCEPTION 'account %: the order that holds it changes only with its status', OLD.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'accounts_transition_allowed';
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER accounts_transition_allowed BEFORE INSERT OR DELETE ON accounts
    FOR EACH ROW EXECUTE FUNCTION accounts_transition_allowed();
CREATE TRIGGER accounts_transition_allowed_of_update BEFORE UPDATE ON accounts FOR EACH ROW
    WHEN (NEW.status <> OLD.status OR NEW.order_id IS DISTINCT FROM OLD.order_id) EXECUTE FUNCTION accounts_transition_allowed();

-- Keeps the columns that follow from a change: version, claimed_at, and those of verification. PostgreSQL fires the triggers
-- of a row in the order of their names, so this one comes after the rules.
-- +goose StatementBegin
CREATE FUNCTION accounts_verification() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        NEW.ready_when_verified := NEW.status = 'invalid';
        RETURN NEW;
    END IF;
    IF (NEW.name, NEW.root_email, NEW.role_arn, NEW.marketplace, NEW.environment, NEW.model,
        NEW.status, NEW.reason, NEW.ready_when_verified)
        IS DISTINCT FROM
       (OLD.name, OLD.root_email, OLD.role_arn, OLD.marketplace, OLD.environment, OLD.model,
        OLD.status, OLD.reason, OLD.ready_when_verified)
    THEN
        NEW.version := OLD.version + 1;
    END IF;
    IF NEW.status = OLD.status THEN
        RETURN NEW;
    END IF;
    IF NEW.status = 'provisioning' THEN
        NEW.claimed_at := clock_timestamp();
    ELSIF OLD.status = 'provisioning' AND NOT (NEW.status = 'invalid' AND NEW.ready_when_verified) THEN
        NEW.set_aside_at := NULL; -- the order did not set it aside, so it could open a session there
        NEW.set_aside_count := 0;
    END IF;
    IF NEW.status = 'ready' THEN
        NEW.ready_when_verified := false;
        NEW.ready_because := '';
        NEW.strikes := 0;
        NEW.verify_at := COALESCE(NEW.verify_at, now());
    ELSIF NOT NEW.ready_when_verified THEN
        NEW.verify_at := NULL;
        NEW.strikes := 0;
        NEW.finding := '';
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER accounts_verification BEFORE INSERT OR UPDATE ON accounts FOR EACH ROW EXECUTE FUNCTION accounts_verification();

-- What follows from a change of status in other tables.

-- For an INSERT, OLD is NULL.
-- +goose StatementBegin
CREATE FUNCTION accounts_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO account_history (provider, account_id, marketplace, environment, actor, from_status, to_status, reason, order_id)
    VALUES (NEW.provider, NEW.id, NEW.marketplace, NEW.environment, qm_actor(), OLD.status, NEW.status, NEW.reason,
            COALESCE(NEW.order_id, OLD.order_id));
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER accounts_history_of_insert AFTER INSERT ON accounts FOR EACH ROW EXECUTE FUNCTION accounts_history();
CREATE TRIGGER accounts_history_of_update AFTER UPDATE ON accounts FOR EACH ROW
    WHEN (NEW.status <> OLD.status) EXECUTE FUNCTION accounts_history();

-- +goose StatementBegin
CREATE FUNCTION accounts_forget_undo() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM kept_undos WHERE account_id = NEW.id;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER accounts_forget_undo AFTER UPDATE ON accounts FOR EACH ROW
    WHEN (NEW.status <> OLD.status AND NEW.status IN ('ready', 'allocated')) EXECUTE FUNCTION accounts_forget_undo();

-- How accounts and orders agree when a transaction commits: an account in progress belongs to an order in progress of the same
-- pool and model, and a completed order holds exactly one allocated account. One trigger looks from each side, at the rows as
-- they are then.

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
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.status IN ('provisioning', 'allocated')) EXECUTE FUNCTION account_and_order_agree();

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
DROP TRIGGER order_and_account_agree ON orders;
DROP TABLE kept_undos, account_history, account_transitions, accounts;
DROP FUNCTION order_and_account_agree(), account_and_order_agree(), accounts_forget_undo(), accounts_history(), accounts_verification(),
    accounts_transition_allowed(), accounts_removal_ends_first(), accounts_ready_is_verified(), accounts_not_protected(),
    accounts_identity_is_fixed();
