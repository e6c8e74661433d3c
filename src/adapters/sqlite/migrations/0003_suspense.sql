-- Records of suspense that are recycled or dropped keep why they were in it, and what
-- prices may ask of them.

ALTER TABLE usage_records ADD COLUMN reason TEXT;
ALTER TABLE usage_records ADD COLUMN told TEXT;

-- Those that are still open; empty where nothing waits.
CREATE INDEX usage_open_suspense ON usage_records (sequence)
    WHERE suspense = 1 AND outcome <> 'recycled' AND outcome <> 'dropped';

-- What was done about them, in order.
CREATE TABLE suspense_log (
    key          TEXT    NOT NULL,
    rating_group INTEGER NOT NULL,
    place        INTEGER NOT NULL,
    at           INTEGER NOT NULL,
    operator     TEXT    NOT NULL,
    verb         TEXT    NOT NULL,
    note         TEXT    NOT NULL,
    PRIMARY KEY (key, rating_group, place)
) STRICT, WITHOUT ROWID;
