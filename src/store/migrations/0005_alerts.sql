-- What was told of alerts, one row an alert (see `alerts`).
CREATE TABLE alert_history (
    stamp    INTEGER NOT NULL,            -- microseconds since 1970
    origin   BLOB    NOT NULL,
    sequence INTEGER NOT NULL,
    position INTEGER NOT NULL,            -- within its fact: one message tells several
    severity TEXT    NOT NULL,
    item_id  INTEGER,                     -- the item it is about, if it is about one
    code     TEXT    NOT NULL,            -- the handshake code's name then; empty: about none
    kind     TEXT    NOT NULL,
    text     TEXT    NOT NULL,
    PRIMARY KEY (stamp, origin, sequence, position)
) WITHOUT ROWID;

-- The threshold that each subject has reached; the last writer wins by (epoch, version, origin).
CREATE TABLE alert_levels (
    subject TEXT    PRIMARY KEY,          -- JSON: of what, and which aspect of it
    level   TEXT,                         -- JSON; absent when it fell below all
    epoch   INTEGER NOT NULL,
    version INTEGER NOT NULL,
    origin  BLOB    NOT NULL
) WITHOUT ROWID;

-- Messages that this machine has still to send; no part of the journal, as `local`.
CREATE TABLE outbox (
    id      INTEGER PRIMARY KEY,
    way     TEXT    NOT NULL,
    made_at INTEGER NOT NULL,             -- seconds since 1970
    due_at  INTEGER NOT NULL,             -- when it is tried (again)
    tries   INTEGER NOT NULL,
    body    TEXT    NOT NULL              -- JSON
);
