-- +goose Up
-- An order asks for one account of a pool. Its row, not its Temporal workflow, is the truth.

CREATE TABLE orders (
    provider       text NOT NULL,
    id             text NOT NULL,
    marketplace    text NOT NULL,
    environment    text NOT NULL,
    model          text REFERENCES account_models (id),
    nonce          uuid NOT NULL DEFAULT gen_random_uuid(),
    created_at     timestamptz NOT NULL,
    request        jsonb NOT NULL,
    earlier_requests jsonb NOT NULL DEFAULT '[]',
    request_sha256 bytea NOT NULL,
    settings       jsonb NOT NULL,
    earlier_settings jsonb NOT NULL DEFAULT '[]',
    state          text NOT NULL DEFAULT 'accepted',
    state_since    timestamptz NOT NULL DEFAULT now(),
    step           text NOT NULL DEFAULT '',
    queue_position bigint,
    refused_at     timestamptz,
    refused_by     text,
    failure        jsonb,
    result         jsonb,
    leftovers      text[] NOT NULL DEFAULT '{}',
    notes          text[] NOT NULL DEFAULT '{}',
    PRIMARY KEY (provider, id),
    FOREIGN KEY (provider, marketplace, environment) REFERENCES pools,
    CONSTRAINT orders_id_characters CHECK (id ~ '^[A-Za-z0-9._:-]{1,64}$'),
    CONSTRAINT orders_state_known CHECK (state IN ('accepted', 'waiting_for_account', 'provisioning', 'action_required',
        'completed', 'compensating', 'failed', 'cancelled')),
    CONSTRAINT orders_waiting_has_a_place CHECK (state <> 'waiting_for_account' OR queue_position IS NOT NULL),
    CONSTRAINT orders_result_iff_completed CHECK ((state = 'completed') = (result IS NOT NULL)),
    CONSTRAINT orders_failed_says_why CHECK (state NOT IN ('failed', 'action_required') OR failure IS NOT NULL)
) WITH (fillfactor = 80); -- room on the page for an update of a column without an index, which then writes to no index
COMMENT ON TABLE orders IS
    'what was ordered and how far it is; written by the worker, and by the API for cancel, fail, retry, swap and '
    'correct';
COMMENT ON COLUMN orders.model IS 'the account model that the order asks for; NULL = any';
COMMENT ON COLUMN orders.nonce IS
    'value of the tag mp:order-nonce on everything that the order creates in AWS; what carries it belongs to the '
    'order';
COMMENT ON COLUMN orders.created_at IS 'when the API accepted the order';
COMMENT ON COLUMN orders.earlier_requests IS 'the request before each correction, the first one first; empty = never corrected';
COMMENT ON COLUMN orders.request_sha256 IS
    'SHA-256 of the first request: distinguishes a repeated order from another order with the same id';
COMMENT ON COLUMN orders.settings IS
    'settings of the pool when the order was opened, or when someone last made the order read them again';
COMMENT ON COLUMN orders.earlier_settings IS
    'the settings before each change that the order has read; what an attempt has created under them must be found again';
COMMENT ON COLUMN orders.queue_position IS
    'place in the queue of the pool, drawn from orders_queue; kept when the order comes back to the queue';
COMMENT ON COLUMN orders.refused_at IS
    'when Quartermaster last could not open a session in the account that the order had claimed; NULL = it could, '
    'or none was claimed';
COMMENT ON COLUMN orders.refused_by IS 'the id of that account';
COMMENT ON COLUMN orders.failure IS
    'code, field and reason of the failure, or of the question in state action_required, which also has its deadline';
COMMENT ON COLUMN orders.result IS 'what the customer gets: account, IAM user, alias, report, instructions; never a password';
COMMENT ON COLUMN orders.leftovers IS 'what the undo could not remove or restore in the account';
COMMENT ON COLUMN orders.notes IS 'what the undo left alone on purpose, such as an alias that the customer has changed';
CREATE SEQUENCE orders_queue;
COMMENT ON SEQUENCE orders_queue IS 'places in the queues of all pools';
-- No two orders have one place.
CREATE UNIQUE INDEX orders_queue_position ON orders (queue_position) WHERE queue_position IS NOT NULL;
-- Counts the orders ahead in the queue of a pool.
CREATE INDEX orders_waiting ON orders (provider, marketplace, environment, queue_position) WHERE state = 'waiting_for_account';
-- The claim finds the head of a pool's queue for each model; '' means the orders that accept any model. An order that waits has a
-- queue_position: NULLS FIRST makes this the only index in the order that the claim asks for. Without it, PostgreSQL might walk
-- through orders_waiting, past the orders for other models.
CREATE INDEX orders_waiting_by_model ON orders (provider, marketplace, environment, COALESCE(model, ''), queue_position NULLS FIRST)
    WHERE state = 'waiting_for_account';
-- Finds the orders that got an account and have not begun with it.
CREATE INDEX orders_provisioning ON orders (state_since) WHERE state = 'provisioning';
-- Lists the orders of a provider by page.
CREATE INDEX orders_newest_first ON orders (provider, created_at DESC, id DESC);
-- Lists the orders of a customer by page.
CREATE INDEX orders_of_customer ON orders (provider, (request #>> '{customer,id}'), created_at DESC, id DESC)
    WHERE request #>> '{customer,id}' IS NOT NULL;
-- Lists the orders that have not ended, counts those of a pool by state, and finds the oldest of a state.
CREATE INDEX orders_in_progress ON orders (provider, marketplace, environment, state, state_since)
    WHERE state NOT IN ('completed', 'failed', 'cancelled');
-- Finds the orders, and so the events, of a callback URL.
CREATE INDEX orders_of_callback ON orders (provider, (request ->> 'callback_url')) WHERE request ->> 'callback_url' IS NOT NULL;
-- Lists the orders that a filter selects, by pool, state and model; '' means the orders that accept any model.
CREATE INDEX orders_of_pool ON orders (provider, marketplace, environment, state, COALESCE(model, ''), created_at DESC, id DESC);

CREATE TABLE order_transitions (
    from_state text NOT NULL,
    to_state   text NOT NULL,
    PRIMARY KEY (from_state, to_state)
);
COMMENT ON TABLE order_transitions IS
    'the state machine of orders (docs/states.md); a trigger of orders refuses every other change';
INSERT INTO order_transitions (from_state, to_state) VALUES
    ('accepted',            'waiting_for_account'),
    ('accepted',            'provisioning'),
    ('accepted',            'failed'),
    ('accepted',            'cancelled'),
    ('waiting_for_account', 'provisioning'),
    ('waiting_for_account', 'failed'),
    ('waiting_for_account', 'cancelled'),
    ('provisioning',        'waiting_for_account'),
    ('provisioning',        'action_required'),
    ('provisioning',        'compensating'),
    ('provisioning',        'completed'),
    ('action_required',     'provisioning'),
    ('action_required',     'waiting_for_account'),
    ('action_required',     'compensating'),
    ('compensating',        'failed'),
    ('compensating',        'cancelled');

CREATE TABLE order_history (
    seq         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    provider    text NOT NULL,
    order_id    text NOT NULL,
    marketplace text NOT NULL,
    environment text NOT NULL,
    at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor       text NOT NULL,
    from_state  text,
    to_state    text NOT NULL,
    code        text NOT NULL DEFAULT '',
    fields      text[] NOT NULL DEFAULT '{}',
    refused     text NOT NULL DEFAULT '',
    reason      text NOT NULL DEFAULT '',
    action_id   text NOT NULL DEFAULT ''
);
COMMENT ON TABLE order_history IS
    'every change of state, written by a trigger of orders, and every action of an operator, written by the program, those '
    'that were refused included';
COMMENT ON COLUMN order_history.marketplace IS 'of the order, as is environment';
COMMENT ON COLUMN order_history.from_state IS 'NULL = the order was created';
COMMENT ON COLUMN order_history.code IS
    'the failure that changed the state, or the action that did not change it: correct, retry, cancel, fail, swap, '
    'password, password_even_if_used, password_link_ended, password_issued, or why a new password was refused; by the '
    'reconciler: restart, continue, restore';
COMMENT ON COLUMN order_history.fields IS 'the fields that a correction replaced; never their values';
COMMENT ON COLUMN order_history.refused IS 'the code with which the action was refused; empty = it was not';
COMMENT ON COLUMN order_history.reason IS
    'of the actor in his own words, or of the failure; it may name people, so events do not contain it';
COMMENT ON COLUMN order_history.action_id IS
    'the update that asked for the action, by which a repeat is recognized; empty = it cannot be repeated';
-- Reads the history of one order, and its newest entry.
CREATE INDEX order_history_of_order ON order_history (provider, order_id, seq);
-- List the history of a provider by page, newest entry first: all of it, of one marketplace, and by one actor.
CREATE INDEX order_history_newest_first ON order_history (provider, at DESC, seq DESC);
CREATE INDEX order_history_of_marketplace ON order_history (provider, marketplace, at DESC, seq DESC);
CREATE INDEX order_history_of_actor ON order_history (provider, actor, at DESC, seq DESC);
-- A repeated action is recorded once.
CREATE UNIQUE INDEX order_history_action_once ON order_history (provider, order_id, action_id) WHERE action_id <> '';
CREATE TRIGGER order_history_append_only BEFORE UPDATE OR DELETE ON order_history
    FOR EACH ROW EXECUTE FUNCTION history_is_append_only();

CREATE TABLE order_steps (
    provider      text NOT NULL,
    order_id      text NOT NULL,
    account_id    text NOT NULL,
    step          text NOT NULL,
    state         text NOT NULL,
    attempt       integer NOT NULL,
    started_at    timestamptz NOT NULL DEFAULT now(),
    finished_at   timestamptz,
    problem       text NOT NULL DEFAULT '',
    refused       text NOT NULL DEFAULT '',
    refused_since timestamptz,
    attempts_open integer NOT NULL DEFAULT 0,
    undos_open    integer NOT NULL DEFAULT 0,
    fenced_at     timestamptz,
    PRIMARY KEY (provider, order_id, account_id, step),
    FOREIGN KEY (provider, order_id) REFERENCES orders (provider, id),
    CONSTRAINT order_steps_state_known CHECK (state IN ('running', 'retrying', 'stopped', 'done', 'failed', 'undoing', 'undone')),
    CONSTRAINT order_steps_fenced_while_undone CHECK ((state IN ('undoing', 'undone')) = (fenced_at IS NOT NULL)),
    CONSTRAINT order_steps_open_not_negative CHECK (attempts_open >= 0 AND undos_open >= 0),
    CONSTRAINT order_steps_refused_since_when CHECK ((refused = '') = (refused_since IS NULL))
) WITH (fillfactor = 80); -- as orders
COMMENT ON TABLE order_steps IS
    'each step of an order in an account, and which of its attempts may still write there; written by the worker '
    'before and after each attempt';
COMMENT ON COLUMN order_steps.problem IS 'why the last attempt failed; empty = it did not';
COMMENT ON COLUMN order_steps.refused IS 'the code with which AWS refuses the step, attempt after attempt; empty = it does not';
COMMENT ON COLUMN order_steps.refused_since IS
    'since when AWS refuses it with that code: a refusal that lasts becomes a question to an operator';
COMMENT ON COLUMN order_steps.attempts_open IS
    'attempts that began and have not reported their end: each may live for one more lease';
COMMENT ON COLUMN order_steps.undos_open IS 'the same for attempts at the undo';
COMMENT ON COLUMN order_steps.fenced_at IS
    'when the undo first began: no attempt at the step begins after it; NULL = it has not begun';

CREATE TABLE order_passwords (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    provider    text NOT NULL,
    order_id    text NOT NULL,
    account_id  text NOT NULL,
    request     text NOT NULL DEFAULT '',
    sealed      bytea,
    created_at  timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz,
    revealed_at timestamptz,
    revealed_to text NOT NULL DEFAULT '',
    replaced_at timestamptz,
    failure     jsonb,
    failed_at   timestamptz,
    UNIQUE (provider, order_id, account_id, request),
    FOREIGN KEY (provider, order_id) REFERENCES orders (provider, id),
    CONSTRAINT order_passwords_gone_is_empty CHECK (sealed IS NULL OR (revealed_at IS NULL AND replaced_at IS NULL AND failure IS NULL)),
    CONSTRAINT order_passwords_failed_is_no_link CHECK (failure IS NULL OR (expires_at IS NULL AND request <> '')),
    CONSTRAINT order_passwords_failed_says_when CHECK ((failure IS NULL) = (failed_at IS NULL))
);
COMMENT ON TABLE order_passwords IS
    'the passwords that were set for the customer''s IAM user, the first one and those that someone asked for later, '
    'each until it is revealed once; written by the worker, emptied by the API';
COMMENT ON COLUMN order_passwords.id IS 'part of the URL at which the password can be revealed';
COMMENT ON COLUMN order_passwords.request IS 'the id of the request for a new password; empty = the password that came with the order';
COMMENT ON COLUMN order_passwords.sealed IS 'stored before AWS gets the password; NULL once it is revealed, replaced or withdrawn';
COMMENT ON COLUMN order_passwords.created_at IS 'when the password was stored, or when the request for it was accepted';
COMMENT ON COLUMN order_passwords.expires_at IS
    'until when it can be revealed; NULL = the order is not completed, or AWS has not confirmed the new password';
COMMENT ON COLUMN order_passwords.revealed_to IS 'IP address of the client that revealed it';
COMMENT ON COLUMN order_passwords.replaced_at IS 'when a newer password took its place: its link no longer works';
COMMENT ON COLUMN order_passwords.failure IS 'why the new password was not set; NULL = it was, or it is being set';
-- An order has one link that works.
CREATE UNIQUE INDEX order_passwords_one_link ON order_passwords (provider, order_id, account_id)
    WHERE expires_at IS NOT NULL AND replaced_at IS NULL;
-- One new password of an order is being set at a time.
CREATE UNIQUE INDEX order_passwords_one_request ON order_passwords (provider, order_id)
    WHERE request <> '' AND expires_at IS NULL AND failure IS NULL;

-- +goose StatementBegin
CREATE FUNCTION orders_identity_is_fixed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'order %: provider, id and nonce never change', OLD.id
        USING ERRCODE = 'check_violation', CONSTRAINT = 'orders_identity_is_fixed';
END $$;
-- +goose StatementEnd
CREATE TRIGGER orders_identity_is_fixed BEFORE UPDATE ON orders FOR EACH ROW
    WHEN ((NEW.provider, NEW.id, NEW.nonce) IS DISTINCT FROM (OLD.provider, OLD.id, OLD.nonce))
    EXECUTE FUNCTION orders_identity_is_fixed();

-- Checks a change of state, and notes its time.
-- +goose StatementBegin
CREATE FUNCTION orders_transition_allowed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'accepted' THEN
            RAISE EXCEPTION 'order %: a new order is accepted, not %', NEW.id, NEW.state
                USING ERRCODE = 'check_violation', CONSTRAINT = 'orders_transition_allowed';
        END IF;
    ELSE
        IF NOT EXISTS (SELECT 1 FROM order_transitions WHERE from_state = OLD.state AND to_state = NEW.state) THEN
            RAISE EXCEPTION 'order %: % to % is not a transition', OLD.id, OLD.state, NEW.state
                USING ERRCODE = 'check_violation', CONSTRAINT = 'orders_transition_allowed';
        END IF;
        NEW.state_since := clock_timestamp();
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER orders_transition_allowed_of_insert BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION orders_transition_allowed();
CREATE TRIGGER orders_transition_allowed_of_update BEFORE UPDATE ON orders FOR EACH ROW
    WHEN (NEW.state <> OLD.state) EXECUTE FUNCTION orders_transition_allowed();

-- The transaction-local settings qm.code and qm.reason say what changes the state; without them the failure does.
-- +goose StatementBegin
CREATE FUNCTION orders_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO order_history (provider, order_id, marketplace, environment, actor, to_state)
        VALUES (NEW.provider, NEW.id, NEW.marketplace, NEW.environment, qm_actor(), NEW.state);
    ELSE
        INSERT INTO order_history (provider, order_id, marketplace, environment, actor, from_state, to_state, code, reason)
        VALUES (NEW.provider, NEW.id, NEW.marketplace, NEW.environment, qm_actor(), OLD.state, NEW.state,
                COALESCE(NULLIF(current_setting('qm.code', true), ''), NEW.failure ->> 'code', ''),
                COALESCE(NULLIF(current_setting('qm.reason', true), ''), NEW.failure ->> 'reason', ''));
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER orders_history_of_insert AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION orders_history();
CREATE TRIGGER orders_history_of_update AFTER UPDATE ON orders FOR EACH ROW
    WHEN (NEW.state <> OLD.state) EXECUTE FUNCTION orders_history();

-- Every change of an order's state is an event.
-- +goose StatementBegin
CREATE FUNCTION orders_emit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM emit_event(NEW.provider, 'order.' || NEW.state, NEW.id, jsonb_strip_nulls(jsonb_build_object(
        'order_id', NEW.id, 'marketplace', NEW.marketplace, 'environment', NEW.environment, 'state', NEW.state, 'since', NEW.state_since,
        'code', NEW.failure ->> 'code', 'field', NEW.failure ->> 'field', 'reason', NEW.failure ->> 'reason',
        'action_deadline', NEW.failure ->> 'answer_by', 'aws_account_id', NEW.result ->> 'account_id')));
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER orders_emit_of_insert AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION orders_emit();
CREATE TRIGGER orders_emit_of_update AFTER UPDATE ON orders FOR EACH ROW
    WHEN (NEW.state <> OLD.state) EXECUTE FUNCTION orders_emit();

-- +goose Down
DROP TABLE order_passwords, order_steps, order_history, order_transitions, orders;
DROP SEQUENCE orders_queue;
DROP FUNCTION orders_emit(), orders_history(), orders_transition_allowed(), orders_identity_is_fixed();
