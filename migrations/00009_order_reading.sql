-- +goose NO TRANSACTION
-- +goose Up
-- What people look for in the orders: search, orders that have ended, failed attempts, and manual steps that are done. Orders go on
-- while this runs: no statement blocks writes for longer than it takes to change the catalog. Each statement can be repeated, because
-- a file without a transaction can stop halfway.

ALTER TABLE orders ADD COLUMN IF NOT EXISTS manual_steps_done jsonb;
COMMENT ON COLUMN orders.manual_steps_done IS
    'the manual steps that someone has ticked, by their number from 1: when (at), and by whom (by); NULL = none was ever ticked; '
    'written by the API';

ALTER TABLE order_steps ADD COLUMN IF NOT EXISTS failed_attempts jsonb;
COMMENT ON COLUMN order_steps.failed_attempts IS
    'the first attempts that failed and the last ones, each with its number among those that failed: a gap in the numbers shows '
    'how many were dropped; NULL = none failed';

COMMENT ON COLUMN order_history.code IS
    'the failure that changed the state, or the action that did not change it: correct, retry, cancel, fail, swap, '
    'password, password_even_if_used, password_link_ended, password_issued, tick, untick, or why a new password was refused; by the '
    'reconciler: restart, continue, restore';

-- Finds orders by the beginning of their id, in upper or lower case.
DROP INDEX CONCURRENTLY IF EXISTS orders_by_id_prefix;
CREATE INDEX CONCURRENTLY orders_by_id_prefix ON orders (provider, lower(id COLLATE "C"));
-- Finds orders by the beginning of their alias.
DROP INDEX CONCURRENTLY IF EXISTS orders_by_alias_prefix;
CREATE INDEX CONCURRENTLY orders_by_alias_prefix ON orders (provider, ((request ->> 'aws_account_alias') COLLATE "C"));
-- Finds, and counts, the orders of a pool that ended in a span of time.
DROP INDEX CONCURRENTLY IF EXISTS orders_ended;
CREATE INDEX CONCURRENTLY orders_ended ON orders (provider, marketplace, environment, state_since)
    WHERE state IN ('completed', 'failed', 'cancelled');

-- +goose Down
DROP INDEX orders_ended, orders_by_alias_prefix, orders_by_id_prefix;
ALTER TABLE order_steps DROP COLUMN failed_attempts;
ALTER TABLE orders DROP COLUMN manual_steps_done;
