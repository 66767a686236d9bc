-- +goose Up
-- Which APIs and workers run, and which keys that seal each of them has. A process writes its row before it seals anything, and seals
-- with the first of its keys that all of them have: so no process is handed what it cannot open while a key is rotated.
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
COMMENT ON COLUMN processes.key_names IS 'id:fingerprint of each key, the preferred one first; no secret';
COMMENT ON COLUMN processes.seen_at IS 'a process writes it every few seconds; one that is not seen for 30 seconds counts as gone';

CREATE TABLE seal_keys (
    key_id       text PRIMARY KEY,
    last_used_at timestamptz NOT NULL
);
COMMENT ON COLUMN seal_keys.last_used_at IS 'when it sealed or signed last; nothing that is younger needs it';

-- +goose Down
DROP TABLE seal_keys, processes;
