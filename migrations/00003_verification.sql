-- +goose Up
-- Accounts are verified before they are Ready, and again and again while they are. An account that was added is Invalid
-- until its verification passes: what is not verified cannot be drawn.
ALTER TABLE accounts
    ADD COLUMN version             bigint NOT NULL DEFAULT 1,
    ADD COLUMN verify_at           timestamptz DEFAULT now(),
    ADD COLUMN verified_at         timestamptz,
    ADD COLUMN checked_at          timestamptz,
    ADD COLUMN strikes             smallint NOT NULL DEFAULT 0,
    ADD COLUMN finding             text NOT NULL DEFAULT '',
    ADD COLUMN ready_when_verified boolean NOT NULL DEFAULT false,
    ADD COLUMN ready_because       text NOT NULL DEFAULT '';
COMMENT ON COLUMN accounts.version IS 'counts what an editor sees of the account: its ETag';
COMMENT ON COLUMN accounts.verify_at IS 'when it is to be verified next; NULL = not by itself';
COMMENT ON COLUMN accounts.verified_at IS 'when it last passed';
COMMENT ON COLUMN accounts.checked_at IS 'when it was last looked at with a clear answer';
COMMENT ON COLUMN accounts.strikes IS 'how often in a row it did not pass';
COMMENT ON COLUMN accounts.finding IS 'why it did not pass the last time';
COMMENT ON COLUMN accounts.ready_when_verified IS 'it was added or set aside, or an operator wants it back: a verification that passes makes it Ready';
COMMENT ON COLUMN accounts.ready_because IS 'who wants it Ready and why, for the audit';
UPDATE accounts SET verify_at = NULL WHERE status <> 'ready';
CREATE INDEX accounts_due ON accounts (verify_at) WHERE verify_at IS NOT NULL;

ALTER TABLE pools ADD COLUMN verification_suspended_at timestamptz;
COMMENT ON COLUMN pools.verification_suspended_at IS 'since when so many of its accounts fail at once that none is made Invalid: AWS or ourselves are suspected';

-- An order that cannot enter its account judges no account by that: it sets the account aside (Invalid, back to Ready when its
-- verification passes) and takes the next one. When several accounts refuse, the pool serves no order until one can be entered again.
ALTER TABLE accounts
    ADD COLUMN claimed_at      timestamptz,
    ADD COLUMN set_aside_at    timestamptz,
    ADD COLUMN set_aside_count smallint NOT NULL DEFAULT 0;
COMMENT ON COLUMN accounts.claimed_at IS 'when an order last got it';
COMMENT ON COLUMN accounts.set_aside_at IS 'when an order last could not enter it; NULL = never, or an order has entered it since';
COMMENT ON COLUMN accounts.set_aside_count IS 'how many orders in a row could not enter it, although its verification passed in between';
CREATE INDEX accounts_claimed ON accounts (provider, marketplace, environment, claimed_at) WHERE claimed_at IS NOT NULL;

ALTER TABLE orders
    ADD COLUMN refused_at timestamptz,
    ADD COLUMN refused_by text;
COMMENT ON COLUMN orders.refused_at IS 'when the account that it tried last could not be entered; NULL = it was, or none was tried';
COMMENT ON COLUMN orders.refused_by IS 'that account';

ALTER TABLE pools
    ADD COLUMN claims_suspended_at      timestamptz,
    ADD COLUMN claims_suspended_because text NOT NULL DEFAULT '',
    ADD COLUMN claims_resumed_at        timestamptz,
    ADD CONSTRAINT pools_suspended_says_why CHECK ((claims_suspended_at IS NOT NULL) = (claims_suspended_because <> ''));
COMMENT ON COLUMN pools.claims_suspended_at IS 'since when orders get no account of this pool, because several accounts could not be entered; NULL = they do';
COMMENT ON COLUMN pools.claims_resumed_at IS 'when the last suspension of claims ended: what was refused before counts no more';

-- +goose StatementBegin
CREATE FUNCTION accounts_verification() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        NEW.ready_when_verified := NEW.status = 'invalid';
        RETURN NEW;
    END IF;
    IF (NEW.name, NEW.root_email, NEW.role_arn, NEW.marketplace, NEW.environment, NEW.model, NEW.status, NEW.reason, NEW.ready_when_verified)
        IS DISTINCT FROM (OLD.name, OLD.root_email, OLD.role_arn, OLD.marketplace, OLD.environment, OLD.model, OLD.status, OLD.reason, OLD.ready_when_verified) THEN
        NEW.version := OLD.version + 1;
    END IF;
    IF NEW.status = OLD.status THEN
        RETURN NEW;
    END IF;
    IF NEW.status = 'provisioning' THEN
        NEW.claimed_at := clock_timestamp();
    ELSIF OLD.status = 'provisioning' AND NOT (NEW.status = 'invalid' AND NEW.ready_when_verified) THEN -- not set aside: it was entered
        NEW.set_aside_at := NULL;
        NEW.set_aside_count := 0;
    END IF;
    IF NEW.status = 'ready' THEN
        IF OLD.status IN ('invalid', 'provisioning_failed') AND NOT (OLD.ready_when_verified AND NEW.verified_at IS DISTINCT FROM OLD.verified_at) THEN
            RAISE EXCEPTION 'account %: it becomes Ready only by a verification that passes', OLD.id
                USING ERRCODE = 'check_violation', CONSTRAINT = 'accounts_ready_is_verified';
        END IF;
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

-- +goose Down
DROP TRIGGER accounts_verification ON accounts;
DROP FUNCTION accounts_verification();
ALTER TABLE pools DROP COLUMN verification_suspended_at, DROP COLUMN claims_suspended_at, DROP COLUMN claims_suspended_because, DROP COLUMN claims_resumed_at;
ALTER TABLE orders DROP COLUMN refused_at, DROP COLUMN refused_by;
ALTER TABLE accounts DROP COLUMN claimed_at, DROP COLUMN set_aside_at, DROP COLUMN set_aside_count;
ALTER TABLE accounts DROP COLUMN version, DROP COLUMN verify_at, DROP COLUMN verified_at, DROP COLUMN checked_at, DROP COLUMN strikes, DROP COLUMN finding,
    DROP COLUMN ready_when_verified, DROP COLUMN ready_because;
