-- A client UUID is random: every index that begins with one costs a page of its own for each new
-- device. So UUIDs are looked up in one narrow table, and `devices` and `seats` lie in the order in
-- which their clients came.
CREATE TABLE clients (
    client_uuid BLOB    PRIMARY KEY CHECK (length(client_uuid) = 16),
    client_id   INTEGER NOT NULL          -- this database's own number: another gives others
) WITHOUT ROWID;
INSERT INTO clients
    SELECT client_uuid, ROW_NUMBER() OVER (ORDER BY client_uuid) FROM (SELECT client_uuid FROM devices UNION SELECT client_uuid FROM seats);

CREATE TABLE devices_by_client (
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
INSERT INTO devices_by_client
    SELECT client_id, code_id, first_seen_at, last_seen_at, ticket, ticket_stamp, nonce, previous_ticket, previous_stamp FROM devices JOIN clients USING (client_uuid);
DROP TABLE devices;
ALTER TABLE devices_by_client RENAME TO devices;

CREATE TABLE seats_by_client (
    client_id       INTEGER NOT NULL,
    item_id         INTEGER NOT NULL,
    held_until      INTEGER NOT NULL,     -- the latest end it was ever given
    refreshed_stamp INTEGER NOT NULL,
    released_stamp  INTEGER NOT NULL,
    active_until    INTEGER NOT NULL,     -- held_until, or 0 when released after the last refresh
    instances       INTEGER NOT NULL,     -- of a `concurrent_instance` item; all others hold one
    PRIMARY KEY (client_id, item_id)
) WITHOUT ROWID;
INSERT INTO seats_by_client
    SELECT client_id, item_id, held_until, refreshed_stamp, released_stamp, active_until, instances FROM seats JOIN clients USING (client_uuid);
DROP TABLE seats;
ALTER TABLE seats_by_client RENAME TO seats;
CREATE INDEX seats_by_end ON seats (item_id, active_until);
