-- The whole licensing engine: concurrent use, modules, trials, revocations, why requests
-- were refused, usage statements.

-- `concurrent_instance` seats hold several instances; all others hold one.
ALTER TABLE seats ADD COLUMN instances INTEGER NOT NULL DEFAULT 1;

-- Pages are counted per module as well; '' where there is none.
CREATE TABLE usage_days_by_module (
    code_id BLOB    NOT NULL,
    item_id INTEGER NOT NULL,
    day     INTEGER NOT NULL,             -- days since 1970, UTC
    type    TEXT    NOT NULL,
    module  TEXT    NOT NULL,
    origin  BLOB    NOT NULL,
    units   INTEGER NOT NULL,
    PRIMARY KEY (code_id, item_id, day, type, module, origin)
) WITHOUT ROWID;
INSERT INTO usage_days_by_module SELECT code_id, item_id, day, type, '', origin, units FROM usage_days;
DROP TABLE usage_days;
ALTER TABLE usage_days_by_module RENAME TO usage_days;

-- Who was at work with a `concurrent_*` item in a slot: one row a report. A machine counts
-- once, with the largest number that one of its reports has.
CREATE TABLE slot_uses (
    item_id     INTEGER NOT NULL,
    slot        INTEGER NOT NULL,         -- start, seconds since 1970
    client_uuid BLOB    NOT NULL,
    report_id   BLOB    NOT NULL,
    instances   INTEGER NOT NULL,
    PRIMARY KEY (item_id, slot, client_uuid, report_id)
) WITHOUT ROWID;

-- The sum of those over all machines.
CREATE TABLE slot_totals (
    item_id INTEGER NOT NULL,
    slot    INTEGER NOT NULL,
    active  INTEGER NOT NULL,
    PRIMARY KEY (item_id, slot)
) WITHOUT ROWID;

-- A device has one public trial in its life; the earliest of two servers' counts.
CREATE TABLE trials (
    client_uuid   BLOB    PRIMARY KEY CHECK (length(client_uuid) = 16),
    item_id       INTEGER NOT NULL,
    started_stamp INTEGER NOT NULL,
    origin        BLOB    NOT NULL,
    ends_at       INTEGER NOT NULL,
    address       TEXT    NOT NULL
) WITHOUT ROWID;
CREATE INDEX trials_by_address ON trials (address, started_stamp);

-- Items that the vendor revoked. One counts only for licenses of the same vendor, and may
-- come before the license does.
CREATE TABLE revocations (
    license_id INTEGER NOT NULL,
    item_id    INTEGER NOT NULL,
    vendor_kid TEXT    NOT NULL,
    revoked_at INTEGER NOT NULL,          -- when the vendor made it
    reason     TEXT    NOT NULL,
    PRIMARY KEY (license_id, item_id, vendor_kid)
) WITHOUT ROWID;

-- Why requests were refused: the latest of each device, for 30 days.
CREATE TABLE refusals (
    client_uuid BLOB    NOT NULL,
    stamp       INTEGER NOT NULL,
    origin      BLOB    NOT NULL,
    code_id     BLOB,                     -- absent when no such code exists
    asked       TEXT    NOT NULL,         -- the code or organization that the request named
    reason      INTEGER NOT NULL,         -- error code
    detail      TEXT    NOT NULL,
    tried       TEXT    NOT NULL,         -- JSON: how far each item got
    PRIMARY KEY (client_uuid, stamp, origin)
) WITHOUT ROWID;
CREATE INDEX refusals_by_time ON refusals (stamp);

-- Usage statements that were made, so that the next one can name the one before.
CREATE TABLE statements (
    statement_id    BLOB    NOT NULL CHECK (length(statement_id) = 16),
    organization_id TEXT    NOT NULL,
    vendor_kid      TEXT    NOT NULL,     -- the vendor whom it is for
    stamp           INTEGER NOT NULL,
    origin          BLOB    NOT NULL,
    to_day          INTEGER NOT NULL,     -- days since 1970, UTC
    head_sequence   INTEGER NOT NULL,
    head_hash       BLOB    NOT NULL,
    PRIMARY KEY (statement_id, origin)
) WITHOUT ROWID;
