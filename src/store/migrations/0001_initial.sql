-- The journal: everything this server remembers, one row a fact. Each row carries the hash
-- of the one before it from the same origin. All other tables but `local` follow from it.
CREATE TABLE journal (
    origin   BLOB    NOT NULL CHECK (length(origin) = 16),
    sequence INTEGER NOT NULL CHECK (sequence > 0),
    stamp    INTEGER NOT NULL,            -- microseconds since 1970, growing within an origin
    kind     TEXT    NOT NULL,
    body     BLOB    NOT NULL,            -- JSON, the exact bytes that were hashed
    hash     BLOB    NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (origin, sequence)
) WITHOUT ROWID;

-- What belongs to this machine alone: identity, sealed keys, findings about the hardware.
CREATE TABLE local (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE licenses (
    license_id      INTEGER PRIMARY KEY,
    organization_id TEXT    NOT NULL,
    alias           TEXT    NOT NULL,
    issued_at       INTEGER NOT NULL,
    imported_at     INTEGER NOT NULL,     -- when this issue of it was imported
    vendor_kid      TEXT    NOT NULL,
    document        TEXT    NOT NULL      -- the signed file, compact JWS
);

-- What each license says. Two servers cut off from each other can import two licenses that
-- name the same item; the catalog then takes the one of the lower license.
CREATE TABLE items (
    license_id INTEGER NOT NULL REFERENCES licenses (license_id) DEFERRABLE INITIALLY DEFERRED,
    item_id    INTEGER NOT NULL,
    position   INTEGER NOT NULL,
    terms      TEXT    NOT NULL,          -- the item as in the license file, JSON
    PRIMARY KEY (license_id, item_id)
) WITHOUT ROWID;

-- One row a handshake code, whatever it is called; the last writer wins by (epoch, version, origin).
CREATE TABLE handshake_codes (
    code_id         BLOB    PRIMARY KEY CHECK (length(code_id) = 16),
    organization_id TEXT    NOT NULL,
    custom          TEXT    NOT NULL,
    deleted         INTEGER NOT NULL,
    created_stamp   INTEGER NOT NULL,
    epoch           INTEGER NOT NULL,
    version         INTEGER NOT NULL,
    origin          BLOB    NOT NULL,
    state           TEXT    NOT NULL      -- JSON: items, order, aliases, validation fields, sealed password
) WITHOUT ROWID;

CREATE TABLE default_codes (
    organization_id TEXT    PRIMARY KEY,
    code_id         BLOB    NOT NULL,
    epoch           INTEGER NOT NULL,
    version         INTEGER NOT NULL,
    origin          BLOB    NOT NULL
) WITHOUT ROWID;

-- A device under a handshake code. New rows of `devices` and `seats` lie side by side, whatever
-- their UUIDs: that is why these two have a rowid. Tickets tell a device from its copy.
CREATE TABLE devices (
    client_uuid     BLOB    NOT NULL CHECK (length(client_uuid) = 16),
    code_id         BLOB    NOT NULL CHECK (length(code_id) = 16),
    first_seen_at   INTEGER NOT NULL,
    last_seen_at    INTEGER NOT NULL,     -- last authorization
    ticket          TEXT    NOT NULL,
    ticket_stamp    INTEGER NOT NULL,
    nonce           TEXT    NOT NULL,     -- of the request that got this ticket
    previous_ticket TEXT    NOT NULL,
    previous_stamp  INTEGER NOT NULL,
    PRIMARY KEY (client_uuid, code_id)
);

-- When a device last sent usage reports; apart from `devices`, because the other server may
-- have authorized it.
CREATE TABLE device_reports (
    client_uuid      BLOB    PRIMARY KEY CHECK (length(client_uuid) = 16),
    last_reported_at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE device_resets (
    client_uuid BLOB    PRIMARY KEY CHECK (length(client_uuid) = 16),
    reset_stamp INTEGER NOT NULL
) WITHOUT ROWID;

-- A seat is active until `active_until`, which is 0 once it has been released.
CREATE TABLE seats (
    client_uuid     BLOB    NOT NULL CHECK (length(client_uuid) = 16),
    item_id         INTEGER NOT NULL,
    held_until      INTEGER NOT NULL,     -- the latest end it was ever given
    refreshed_stamp INTEGER NOT NULL,
    released_stamp  INTEGER NOT NULL,
    active_until    INTEGER NOT NULL,     -- held_until, or 0 when released after the last refresh
    PRIMARY KEY (client_uuid, item_id)
);
CREATE INDEX seats_by_end ON seats (item_id, active_until);

-- How often the admin freed a seat by hand, against the item's allowance.
CREATE TABLE seat_releases (
    item_id INTEGER NOT NULL,
    origin  BLOB    NOT NULL,
    count   INTEGER NOT NULL,
    PRIMARY KEY (item_id, origin)
) WITHOUT ROWID;

CREATE TABLE reports (
    report_id   BLOB    PRIMARY KEY CHECK (length(report_id) = 16),
    origin      BLOB    NOT NULL,
    sequence    INTEGER NOT NULL,
    slot        INTEGER NOT NULL,         -- start, seconds since 1970
    client_uuid BLOB    NOT NULL,
    code_id     BLOB    NOT NULL,
    charges     TEXT    NOT NULL          -- JSON: which item paid what
) WITHOUT ROWID;

-- Counters are kept per origin and summed on reading, so that two servers can merge them.
CREATE TABLE item_usage (
    item_id INTEGER NOT NULL,
    origin  BLOB    NOT NULL,
    used    INTEGER NOT NULL,
    overuse INTEGER NOT NULL,
    PRIMARY KEY (item_id, origin)
) WITHOUT ROWID;

CREATE TABLE usage_days (
    code_id BLOB    NOT NULL,
    item_id INTEGER NOT NULL,
    day     INTEGER NOT NULL,             -- days since 1970, UTC
    type    TEXT    NOT NULL,
    origin  BLOB    NOT NULL,
    units   INTEGER NOT NULL,
    PRIMARY KEY (code_id, item_id, day, type, origin)
) WITHOUT ROWID;

CREATE TABLE device_days (
    code_id     BLOB    NOT NULL,
    item_id     INTEGER NOT NULL,
    day         INTEGER NOT NULL,
    client_uuid BLOB    NOT NULL,
    PRIMARY KEY (code_id, item_id, day, client_uuid)
) WITHOUT ROWID;

-- outcome: 0 granted, else the error code. item_id 0 counts requests, others count what
-- became of the item.
CREATE TABLE authorization_days (
    code_id BLOB    NOT NULL,
    item_id INTEGER NOT NULL,
    day     INTEGER NOT NULL,
    outcome INTEGER NOT NULL,
    origin  BLOB    NOT NULL,
    count   INTEGER NOT NULL,
    PRIMARY KEY (code_id, item_id, day, outcome, origin)
) WITHOUT ROWID;
