-- Records of suspense that are recycled or dropped keep why they were in it, and what
-- prices may ask of them.

ALTER TABLE usage_records ADD COLUMN reason TEXT COLLATE "C";
ALTER TABLE usage_records ADD COLUMN told TEXT COLLATE "C";

-- Those that are still open; empty where nothing waits.
CREATE INDEX usage_open_suspense ON usage_records (sequence)
    WHERE suspense AND outcome <> 'recycled' AND outcome <> 'dropped';

-- What was done about them, in order.
CREATE TABLE suspense_log (
    place        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key          TEXT COLLATE "C" NOT NULL,
    rating_group BIGINT NOT NULL,
    at           BIGINT NOT NULL,
    operator     TEXT NOT NULL,
    verb         TEXT NOT NULL,
    note         TEXT NOT NULL
);
CREATE INDEX suspense_log_by_key ON suspense_log (key, rating_group, place);
