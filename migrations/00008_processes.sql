-- +goose Up
-- Which processes run, and with which keys they seal. A process writes its row before it seals anything, and seals with the first
-- of its keys that all processes have: so while a key is rotated, no process receives what it cannot open.

CREATE TABLE processes (
    id         uuid PRIMARY KEY,
    kind       text NOT NULL,
    host       text NOT NULL,
    pid        integer NOT NULL,
    version    text NOT NULL DEFAULT '',
    key_names  text[] NOT NULL,
    seals_with text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT processes_kind_known CHECK (kind IN ('api', 'worker')),
    CONSTRAINT processes_seals_with_its_own CHECK (seals_with = ANY (key_names))
);
COMMENT ON TABLE processes IS 'the APIs and workers that run; each writes its own row, and deletes rows that are a day old';
COMMENT ON COLUMN processes.key_names IS 'id:fingerprint of each key, the preferred one first; no secret';
COMMENT ON COLUMN processes.seals_with IS 'the key that it seals with now';
COMMENT ON COLUMN processes.seen_at IS
    'written every few seconds; a process that has not written it for 30 seconds counts as gone';

CREATE TABLE seal_keys (
    key_id       text PRIMARY KEY,
    last_used_at timestamptz NOT NULL
);
COMMENT ON TABLE seal_keys IS
    'the keys that were used, so that operators learn when one can be deleted; written by the APIs and workers';
COMMENT ON COLUMN seal_keys.last_used_at IS 'when it last sealed or signed: nothing newer needs it';

-- +goose Down
DROP TABLE seal_keys, processes;
