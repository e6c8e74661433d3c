-- A record of usage keeps in columns what is searched or summed. What many have in
-- common stands once, and everything else is one value. Sums for bills are made from the
-- records, by an index that has all of what they need.

-- Texts are empty where records have none.
CREATE TABLE usage_parts (
    id       INTEGER NOT NULL PRIMARY KEY,
    cycle    TEXT    NOT NULL,
    account  TEXT    NOT NULL,
    line     TEXT    NOT NULL,
    plan     TEXT    NOT NULL,
    late_for TEXT    NOT NULL,
    source   TEXT    NOT NULL,
    UNIQUE (cycle, account, line, plan, late_for, source)
) STRICT;
CREATE INDEX usage_parts_by_line ON usage_parts (line, cycle);

INSERT INTO usage_parts (cycle, account, line, plan, late_for, source)
SELECT DISTINCT COALESCE(cycle, ''), COALESCE(account, ''), COALESCE(line, ''), COALESCE(plan, ''),
    COALESCE(late_for, ''), source
FROM usage_records;

-- `counted`: octets that bills sum, negative where they were given back. Key, rating
-- group and subscriber are there for records of suspense.
CREATE TABLE usage_rows (
    sequence     INTEGER NOT NULL PRIMARY KEY,
    part         INTEGER NOT NULL,
    counted      INTEGER,
    amount       INTEGER NOT NULL,
    body         BLOB    NOT NULL,
    outcome      TEXT    NOT NULL DEFAULT 'rated',
    suspense     INTEGER NOT NULL DEFAULT 0,
    key          TEXT,
    rating_group INTEGER,
    subscriber   TEXT,
    reason       TEXT
) STRICT;

INSERT INTO usage_rows
    (sequence, part, counted, amount, body, outcome, suspense, key, rating_group, subscriber, reason)
SELECT u.sequence, p.id,
    CASE WHEN u.outcome <> 'rated' OR u.source = 'top-up' THEN NULL
         WHEN EXISTS (SELECT 1 FROM json_each(u.postings) j WHERE json_extract(j.value, '$.side') = 'network'
                      AND json_extract(j.value, '$.unit') = 'octets' AND json_extract(j.value, '$.amount') > 0)
         THEN -u.octets ELSE u.octets END,
    u.amount,
    CAST(json_object('key', u.key, 'rating_group', u.rating_group, 'tariff_version', u.tariff_version, 'apn', u.apn,
        'starts', u.starts, 'ends', u.ends, 'received', u.received, 'octets', u.octets,
        'postings', json(u.postings), 'subscriber', json(u.subscriber), 'told', json(u.told),
        'detail', u.detail) AS BLOB),
    u.outcome, u.suspense, CASE WHEN u.suspense THEN u.key END, CASE WHEN u.suspense THEN u.rating_group END,
    CASE WHEN u.suspense THEN u.subscriber END, u.reason
FROM usage_records u JOIN usage_parts p
    ON p.cycle = COALESCE(u.cycle, '') AND p.account = COALESCE(u.account, '') AND p.line = COALESCE(u.line, '')
    AND p.plan = COALESCE(u.plan, '') AND p.late_for = COALESCE(u.late_for, '') AND p.source = u.source
ORDER BY u.sequence;

DROP TABLE usage_records;
DROP TABLE usage_totals;
ALTER TABLE usage_rows RENAME TO usage_records;

CREATE INDEX usage_by_part ON usage_records (part, sequence, counted, amount);
CREATE INDEX usage_by_outcome ON usage_records (outcome, sequence) WHERE outcome <> 'rated';
CREATE UNIQUE INDEX usage_suspense_once ON usage_records (key, rating_group) WHERE suspense;
CREATE INDEX usage_open_suspense ON usage_records (sequence)
    WHERE suspense AND outcome <> 'recycled' AND outcome <> 'dropped';

CREATE VIEW usage AS
SELECT u.sequence, u.amount, u.body, u.outcome, u.suspense, u.key, u.rating_group, u.subscriber, u.reason,
    p.cycle, p.account, p.line, p.plan, p.late_for, p.source
FROM usage_records u JOIN usage_parts p ON p.id = u.part;
