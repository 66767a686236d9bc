-- +goose Up
-- Who may still write in an account: a step knows which of its attempts have not reported their end, and that its undo has begun.
ALTER TABLE order_steps
    ADD COLUMN attempts_open integer NOT NULL DEFAULT 0,
    ADD COLUMN undos_open    integer NOT NULL DEFAULT 0,
    ADD COLUMN fenced_at     timestamptz,
    ADD COLUMN refused       text NOT NULL DEFAULT '',
    ADD COLUMN refused_since timestamptz,
    ADD CONSTRAINT order_steps_refused_since_when CHECK ((refused = '') = (refused_since IS NULL)),
    ADD CONSTRAINT order_steps_open_not_negative CHECK (attempts_open >= 0 AND undos_open >= 0);
UPDATE order_steps SET fenced_at = COALESCE(finished_at, started_at) WHERE state = 'undone';
ALTER TABLE order_steps
    DROP CONSTRAINT order_steps_state_known,
    ADD CONSTRAINT order_steps_state_known CHECK (state IN ('running', 'retrying', 'stopped', 'done', 'failed', 'undoing', 'undone')),
    ADD CONSTRAINT order_steps_fenced_while_undone CHECK ((state IN ('undoing', 'undone')) = (fenced_at IS NOT NULL));
COMMENT ON COLUMN order_steps.attempts_open IS 'attempts that began and have not reported their end: each may live for one lease more';
COMMENT ON COLUMN order_steps.undos_open IS 'the same for attempts at the undo';
COMMENT ON COLUMN order_steps.refused IS 'the code with which AWS refuses the step, attempt after attempt; empty = it does not';
COMMENT ON COLUMN order_steps.refused_since IS 'since when AWS refuses it with that code: a refusal that lasts becomes a question to an operator';
COMMENT ON COLUMN order_steps.fenced_at IS 'when the undo first began: no attempt at the step begins after that';

-- A repeat of an action is known by the id of the update that asked for it.
ALTER TABLE order_history ADD COLUMN action_id text NOT NULL DEFAULT '';
COMMENT ON COLUMN order_history.action_id IS 'of the update that asked for what was done; empty = nothing can repeat it';
CREATE UNIQUE INDEX order_history_action_once ON order_history (provider, order_id, action_id) WHERE action_id <> '';

-- The head of a pool's queue for each model: '' are the orders that take any.
CREATE INDEX orders_waiting_by_model ON orders (provider, marketplace, environment, COALESCE(model, ''), queue_position) WHERE state = 'waiting_for_account';
-- added_at is never NULL. NULLS FIRST makes these the only indexes in the order that the claim asks for: with the others PostgreSQL
-- would rather walk through all accounts, oldest first, in the hope of a Ready one.
CREATE INDEX accounts_oldest_ready_of_model ON accounts (provider, marketplace, environment, model, added_at NULLS FIRST, added_seq) WHERE status = 'ready';
DROP INDEX accounts_oldest_ready;
CREATE INDEX accounts_oldest_ready ON accounts (provider, marketplace, environment, added_at NULLS FIRST, added_seq) WHERE status = 'ready';

-- +goose Down
DROP INDEX orders_waiting_by_model, accounts_oldest_ready_of_model, accounts_oldest_ready;
CREATE INDEX accounts_oldest_ready ON accounts (provider, marketplace, environment, added_at, added_seq) WHERE status = 'ready';
DROP INDEX order_history_action_once;
ALTER TABLE order_history DROP COLUMN action_id;
ALTER TABLE order_steps
    DROP CONSTRAINT order_steps_fenced_while_undone,
    DROP CONSTRAINT order_steps_state_known,
    DROP COLUMN attempts_open,
    DROP COLUMN undos_open,
    DROP CONSTRAINT order_steps_refused_since_when,
    DROP COLUMN refused,
    DROP COLUMN refused_since,
    DROP COLUMN fenced_at;
UPDATE order_steps SET state = CASE state WHEN 'undoing' THEN 'failed' ELSE 'retrying' END WHERE state IN ('undoing', 'stopped');
ALTER TABLE order_steps ADD CONSTRAINT order_steps_state_known CHECK (state IN ('running', 'retrying', 'done', 'failed', 'undone'));
