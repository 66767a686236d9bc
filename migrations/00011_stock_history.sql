-- +goose Up
-- The stock of the past, hour by hour.

CREATE TABLE stock_history (
    provider       text NOT NULL,
    marketplace    text NOT NULL,
    environment    text NOT NULL,
    model          text NOT NULL,
    hour           timestamptz NOT NULL,
    ready          integer NOT NULL,
    orders_waiting integer NOT NULL,
    allocated      integer NOT NULL,
    PRIMARY KEY (provider, marketplace, environment, model, hour)
);
COMMENT ON TABLE stock_history IS
    'the stock of each pool, and of each model in it, when it was last checked in each hour; written by the stock watch, which also '
    'deletes what is older than 90 days';
COMMENT ON COLUMN stock_history.model IS 'empty = the whole pool';
COMMENT ON COLUMN stock_history.orders_waiting IS 'of a model: orders that accept only this model';
COMMENT ON COLUMN stock_history.allocated IS
    'all accounts that were ever allocated: the difference of two hours is what was allocated between them';
-- Finds the hours that are too old.
CREATE INDEX stock_history_oldest ON stock_history (hour);

-- +goose Down
DROP TABLE stock_history;
