-- Appointments by customer, worker and state; every slot of a worker; searches
-- for free time, kept with their answers.

ALTER TABLE appointments
    ADD COLUMN state    TEXT COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN customer TEXT COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN worker   TEXT COLLATE "C";
UPDATE appointments SET state = body::json ->> 'state', customer = body::json ->> 'customer',
    worker = body::json ->> 'worker';
CREATE INDEX appointments_by_customer ON appointments (customer, created, id);
CREATE INDEX appointments_by_worker ON appointments (worker, state, created, id);

CREATE INDEX slots_by_start ON slots (starts, id);
CREATE INDEX slots_by_worker ON slots (worker, starts, id);

CREATE TABLE slot_searches (
    id      TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    body    TEXT NOT NULL,
    created BIGINT NOT NULL
);
CREATE INDEX slot_searches_newest ON slot_searches (created, id);
