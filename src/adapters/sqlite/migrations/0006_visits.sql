-- Appointments by customer, worker and state; every slot of a worker; searches
-- for free time, kept with their answers.

ALTER TABLE appointments ADD COLUMN state TEXT NOT NULL DEFAULT '';
ALTER TABLE appointments ADD COLUMN customer TEXT NOT NULL DEFAULT '';
ALTER TABLE appointments ADD COLUMN worker TEXT;
UPDATE appointments SET state = json_extract(body, '$.state'), customer = json_extract(body, '$.customer'),
    worker = json_extract(body, '$.worker');
CREATE INDEX appointments_by_customer ON appointments (customer, created, id);
CREATE INDEX appointments_by_worker ON appointments (worker, state, created, id);

CREATE INDEX slots_by_start ON slots (starts, id);
CREATE INDEX slots_by_worker ON slots (worker, starts, id);

CREATE TABLE slot_searches (
    id      TEXT    NOT NULL PRIMARY KEY,
    body    TEXT    NOT NULL,
    created INTEGER NOT NULL
) STRICT;
CREATE INDEX slot_searches_newest ON slot_searches (created, id);
