-- +goose Up
-- What an undo could not take back can be removed later. What that needs is kept, sealed, because it holds contacts.
CREATE TABLE kept_undos (
    id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    provider   text NOT NULL,
    order_id   text NOT NULL,
    account_id text NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    sealed     bytea NOT NULL,
    kept_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT kept_undos_one_of_an_account UNIQUE (account_id),
    FOREIGN KEY (provider, order_id) REFERENCES orders (provider, id)
);
COMMENT ON TABLE kept_undos IS 'undos that left something in the account: gone when nothing is left, or when the account becomes Ready or is handed out';
COMMENT ON COLUMN kept_undos.sealed IS 'AES-256-GCM: what the account looked like before the order, and what the order wrote';

ALTER TABLE accounts ADD COLUMN removing_since timestamptz;
COMMENT ON COLUMN accounts.removing_since IS 'since when a workflow removes what an order has left there; NULL = none does';

-- +goose StatementBegin
CREATE FUNCTION accounts_leftovers() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.removing_since IS NOT NULL AND NEW.removing_since IS NOT NULL AND (NEW.status <> OLD.status OR NEW.ready_when_verified) THEN
        RAISE EXCEPTION 'account %: what an order left there is being removed', OLD.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'accounts_removal_ends_first';
    END IF;
    IF NEW.status IN ('ready', 'allocated') AND NEW.status <> OLD.status THEN
        DELETE FROM kept_undos WHERE account_id = NEW.id;
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER accounts_leftovers BEFORE UPDATE ON accounts FOR EACH ROW EXECUTE FUNCTION accounts_leftovers();

-- +goose Down
DROP TRIGGER accounts_leftovers ON accounts;
DROP FUNCTION accounts_leftovers();
ALTER TABLE accounts DROP COLUMN removing_since;
DROP TABLE kept_undos;
