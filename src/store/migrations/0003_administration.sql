-- Administration in the browser: users, tokens, what is set there, and who did what when. The
-- tables that follow from the journal are filled from it anew after this (see `open`).

CREATE TABLE users (
    user_id       BLOB    PRIMARY KEY CHECK (length(user_id) = 16),
    name          TEXT    NOT NULL,
    role          TEXT    NOT NULL,
    password_hash TEXT    NOT NULL,       -- argon2id, PHC format
    deleted       INTEGER NOT NULL,
    created_stamp INTEGER NOT NULL,
    epoch         INTEGER NOT NULL,
    version       INTEGER NOT NULL,
    origin        BLOB    NOT NULL
) WITHOUT ROWID;

CREATE TABLE tokens (
    token_id      BLOB    PRIMARY KEY CHECK (length(token_id) = 16),
    name          TEXT    NOT NULL,
    role          TEXT    NOT NULL,
    digest        BLOB    NOT NULL,       -- SHA-256 of the token's text
    deleted       INTEGER NOT NULL,
    created_stamp INTEGER NOT NULL,
    epoch         INTEGER NOT NULL,
    version       INTEGER NOT NULL,
    origin        BLOB    NOT NULL
) WITHOUT ROWID;

CREATE TABLE preferences (
    name    TEXT    PRIMARY KEY,
    value   TEXT,                         -- JSON; absent when it was taken back
    epoch   INTEGER NOT NULL,
    version INTEGER NOT NULL,
    origin  BLOB    NOT NULL
) WITHOUT ROWID;

CREATE TABLE audit (
    stamp    INTEGER NOT NULL,            -- microseconds since 1970
    origin   BLOB    NOT NULL,
    sequence INTEGER NOT NULL,
    actor    TEXT    NOT NULL,
    action   TEXT    NOT NULL,
    subject  TEXT    NOT NULL,
    detail   TEXT    NOT NULL,
    address  TEXT    NOT NULL,
    PRIMARY KEY (stamp, origin, sequence)
) WITHOUT ROWID;

-- What was used in each slot of three minutes, by type and module.
CREATE TABLE usage_slots (
    code_id BLOB    NOT NULL,
    slot    INTEGER NOT NULL,             -- start, seconds since 1970
    item_id INTEGER NOT NULL,
    type    TEXT    NOT NULL,
    module  TEXT    NOT NULL,
    origin  BLOB    NOT NULL,
    units   INTEGER NOT NULL,
    PRIMARY KEY (code_id, slot, item_id, type, module, origin)
) WITHOUT ROWID;

-- What happened in each slot: reports of it, authorizations and refusals in it. Item 0 counts all.
CREATE TABLE slot_activity (
    code_id BLOB    NOT NULL,
    item_id INTEGER NOT NULL,
    slot    INTEGER NOT NULL,
    origin  BLOB    NOT NULL,
    reports INTEGER NOT NULL,
    granted INTEGER NOT NULL,
    refused INTEGER NOT NULL,
    PRIMARY KEY (code_id, item_id, slot, origin)
) WITHOUT ROWID;

-- Devices that were at work in a slot, and on a day. Item 0 counts all.
CREATE TABLE slot_devices (
    code_id BLOB    NOT NULL,
    slot    INTEGER NOT NULL,
    devices INTEGER NOT NULL,
    PRIMARY KEY (code_id, slot)
) WITHOUT ROWID;
CREATE TABLE day_devices (
    code_id BLOB    NOT NULL,
    item_id INTEGER NOT NULL,
    day     INTEGER NOT NULL,             -- days since 1970, UTC
    devices INTEGER NOT NULL,
    first   INTEGER NOT NULL,             -- of those, the ones that were never at work before
    PRIMARY KEY (code_id, item_id, day)
) WITHOUT ROWID;
CREATE TABLE day_peaks (
    code_id BLOB    NOT NULL,
    day     INTEGER NOT NULL,
    devices INTEGER NOT NULL,             -- the most that were at work in one of its slots
    PRIMARY KEY (code_id, day)
) WITHOUT ROWID;
CREATE TABLE device_firsts (
    code_id     BLOB    NOT NULL,
    item_id     INTEGER NOT NULL,
    client_uuid BLOB    NOT NULL,
    day         INTEGER NOT NULL,         -- the first day at work
    PRIMARY KEY (code_id, item_id, client_uuid)
) WITHOUT ROWID;

-- What each device did on a day. A device that is here was at work, whichever server's copy of
-- its reports counts.
DROP TABLE device_days;
CREATE TABLE device_days (
    code_id     BLOB    NOT NULL,
    item_id     INTEGER NOT NULL,         -- 0: whatever item
    day         INTEGER NOT NULL,
    client_uuid BLOB    NOT NULL,
    units       INTEGER NOT NULL,
    reports     INTEGER NOT NULL,
    PRIMARY KEY (code_id, item_id, day, client_uuid)
) WITHOUT ROWID;

-- Reports of a slot, for its details.
CREATE INDEX reports_by_slot ON reports (code_id, slot, client_uuid);

-- A client UUID is random: every index that begins with one costs a page of its own for each new
-- device. So UUIDs are looked up in one narrow table, and `devices` and `seats` lie in the order in
-- which their clients came. The journal fills them.
CREATE TABLE clients (
    client_uuid BLOB    PRIMARY KEY CHECK (length(client_uuid) = 16),
    client_id   INTEGER NOT NULL          -- this database's own number: another gives others
) WITHOUT ROWID;

DROP TABLE devices;
CREATE TABLE devices (
    client_id       INTEGER NOT NULL,
    code_id         BLOB    NOT NULL CHECK (length(code_id) = 16),
    first_seen_at   INTEGER NOT NULL,
    last_seen_at    INTEGER NOT NULL,     -- last authorization
    ticket          TEXT    NOT NULL,
    ticket_stamp    INTEGER NOT NULL,
    nonce           TEXT    NOT NULL,     -- of the request that got this ticket
    previous_ticket TEXT    NOT NULL,
    previous_stamp  INTEGER NOT NULL,
    PRIMARY KEY (client_id, code_id)
) WITHOUT ROWID;

DROP TABLE seats;
CREATE TABLE seats (
    client_id       INTEGER NOT NULL,
    item_id         INTEGER NOT NULL,
    held_until      INTEGER NOT NULL,     -- the latest end it was ever given
    refreshed_stamp INTEGER NOT NULL,
    released_stamp  INTEGER NOT NULL,
    active_until    INTEGER NOT NULL,     -- held_until, or 0 when released after the last refresh
    instances       INTEGER NOT NULL,     -- of a `concurrent_instance` item; all others hold one
    PRIMARY KEY (client_id, item_id)
) WITHOUT ROWID;
CREATE INDEX seats_by_end ON seats (item_id, active_until);
