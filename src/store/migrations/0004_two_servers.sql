-- Numbers of facts that a server lost and does not use again (see `gaps`).
CREATE TABLE gaps (
    origin  BLOB    NOT NULL,
    resumed INTEGER NOT NULL,             -- the first fact above the gap
    after   INTEGER NOT NULL,             -- the last one before it
    stamp   INTEGER NOT NULL,
    reason  TEXT    NOT NULL,
    PRIMARY KEY (origin, resumed)
) WITHOUT ROWID;
