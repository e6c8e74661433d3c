-- Times are milliseconds since the Unix epoch, amounts minor units, cycles
-- `YYYY-MM`. `body` is the whole aggregate as JSON; the columns beside it are
-- copies that reads filter and sort by. Text compares by octet.

-- Orders -------------------------------------------------------------------

CREATE TABLE orders (
    id          TEXT    NOT NULL PRIMARY KEY,
    version     INTEGER NOT NULL,
    body        TEXT    NOT NULL,
    state       TEXT    NOT NULL,
    customer    TEXT    NOT NULL,
    external_id TEXT,
    created     INTEGER NOT NULL
) STRICT;
CREATE INDEX orders_newest ON orders (created, id);
CREATE INDEX orders_by_state ON orders (state, created, id);
CREATE INDEX orders_by_customer ON orders (customer, created, id);
CREATE INDEX orders_by_external_id ON orders (external_id) WHERE external_id IS NOT NULL;

CREATE TABLE order_lines (
    line     TEXT NOT NULL,
    order_id TEXT NOT NULL REFERENCES orders (id),
    PRIMARY KEY (line, order_id)
) STRICT, WITHOUT ROWID;

-- How many orders are in each state: counting a million rows is no read.
CREATE TABLE order_counts (
    state  TEXT    NOT NULL PRIMARY KEY,
    orders INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TRIGGER orders_count_new AFTER INSERT ON orders BEGIN
    INSERT INTO order_counts (state, orders) VALUES (NEW.state, 1)
        ON CONFLICT (state) DO UPDATE SET orders = orders + 1;
END;
CREATE TRIGGER orders_count_moved AFTER UPDATE OF state ON orders WHEN OLD.state <> NEW.state BEGIN
    UPDATE order_counts SET orders = orders - 1 WHERE state = OLD.state;
    INSERT INTO order_counts (state, orders) VALUES (NEW.state, 1)
        ON CONFLICT (state) DO UPDATE SET orders = orders + 1;
END;

CREATE TABLE idempotency (
    key         TEXT    NOT NULL PRIMARY KEY,
    fingerprint TEXT    NOT NULL,
    order_id    TEXT    NOT NULL,
    response    TEXT    NOT NULL,
    created     INTEGER NOT NULL
) STRICT;

-- Sagas --------------------------------------------------------------------

CREATE TABLE sagas (
    id       TEXT    NOT NULL PRIMARY KEY,
    version  INTEGER NOT NULL,
    body     TEXT    NOT NULL,
    phase    TEXT    NOT NULL,
    -- 1 while neither final nor stuck
    active   INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    wake_at  INTEGER NOT NULL,
    created  INTEGER NOT NULL
) STRICT;
-- Sagas that only a signal wakes (wake_at at its largest) may wait for weeks
-- and are many: they stay out of the index that is asked all the time.
CREATE INDEX sagas_due ON sagas (priority, created, id, wake_at) WHERE active = 1 AND wake_at < 9223372036854775807;
CREATE INDEX sagas_next_wake ON sagas (wake_at) WHERE active = 1;
CREATE INDEX sagas_stuck ON sagas (created, id) WHERE phase = 'stuck';

CREATE TABLE saga_log (
    saga  TEXT    NOT NULL,
    place INTEGER NOT NULL,
    body  TEXT    NOT NULL,
    PRIMARY KEY (saga, place)
) STRICT, WITHOUT ROWID;

-- Lines --------------------------------------------------------------------

CREATE TABLE lines (
    id       TEXT    NOT NULL PRIMARY KEY,
    version  INTEGER NOT NULL,
    body     TEXT    NOT NULL,
    state    TEXT    NOT NULL,
    customer TEXT    NOT NULL,
    account  TEXT    NOT NULL,
    imsi     TEXT,
    msisdn   TEXT,
    device   TEXT,
    created  INTEGER NOT NULL
) STRICT;
CREATE INDEX lines_by_account ON lines (account, id);
CREATE INDEX lines_by_customer ON lines (customer, id);
CREATE INDEX lines_by_state ON lines (state, id);
CREATE INDEX lines_by_imsi ON lines (imsi, created, id) WHERE imsi IS NOT NULL;
CREATE INDEX lines_by_msisdn ON lines (msisdn, created, id) WHERE msisdn IS NOT NULL;
CREATE INDEX lines_by_device ON lines (device, created, id) WHERE device IS NOT NULL;

CREATE TABLE line_sessions (
    line TEXT NOT NULL PRIMARY KEY,
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Scheduling and field work --------------------------------------------------

CREATE TABLE workers (
    id   TEXT NOT NULL PRIMARY KEY,
    body TEXT NOT NULL
) STRICT;

CREATE TABLE slots (
    id       TEXT    NOT NULL PRIMARY KEY,
    worker   TEXT    NOT NULL,
    starts   INTEGER NOT NULL,
    ends     INTEGER NOT NULL,
    capacity INTEGER NOT NULL,
    held     INTEGER NOT NULL CHECK (held >= 0)
) STRICT;
CREATE INDEX slots_free ON slots (starts, id) WHERE held < capacity;

CREATE TABLE appointments (
    id       TEXT    NOT NULL PRIMARY KEY,
    version  INTEGER NOT NULL,
    body     TEXT    NOT NULL,
    order_id TEXT    NOT NULL,
    created  INTEGER NOT NULL
) STRICT;
CREATE INDEX appointments_newest ON appointments (created, id);
CREATE INDEX appointments_by_order ON appointments (order_id, created, id);

CREATE TABLE calls (
    id           TEXT    NOT NULL PRIMARY KEY,
    version      INTEGER NOT NULL,
    body         TEXT    NOT NULL,
    state        TEXT    NOT NULL,
    next_attempt INTEGER NOT NULL
) STRICT;
CREATE INDEX calls_next ON calls (next_attempt, id);
CREATE INDEX calls_by_state ON calls (state, next_attempt, id);

CREATE TABLE work_orders (
    id       TEXT    NOT NULL PRIMARY KEY,
    version  INTEGER NOT NULL,
    body     TEXT    NOT NULL,
    worker   TEXT    NOT NULL,
    state    TEXT    NOT NULL,
    order_id TEXT    NOT NULL,
    planned  INTEGER NOT NULL
) STRICT;
CREATE INDEX work_orders_planned ON work_orders (planned, id);
CREATE INDEX work_orders_by_worker ON work_orders (worker, state, planned, id);
CREATE INDEX work_orders_by_state ON work_orders (state, planned, id);
CREATE INDEX work_orders_by_order ON work_orders (order_id, planned, id);

-- Events and outbox ----------------------------------------------------------

CREATE TABLE happenings (
    sequence INTEGER NOT NULL PRIMARY KEY,
    order_id TEXT,
    body     TEXT NOT NULL
) STRICT;
CREATE INDEX happenings_by_order ON happenings (order_id, sequence) WHERE order_id IS NOT NULL;

CREATE TABLE outbox (
    sequence     INTEGER NOT NULL PRIMARY KEY,
    id           TEXT    NOT NULL UNIQUE,
    once_key     TEXT    UNIQUE,
    stream       TEXT    NOT NULL,
    channel      TEXT    NOT NULL,
    recipient    TEXT    NOT NULL,
    body         TEXT    NOT NULL,
    state        TEXT    NOT NULL,
    -- 1 on the oldest pending message of its stream and recipient
    head         INTEGER NOT NULL,
    attempts     INTEGER NOT NULL,
    next_attempt INTEGER NOT NULL,
    -- what the last try said while pending, why it was given up once dead
    reason       TEXT,
    -- when it was sent or given up
    ended        INTEGER
) STRICT;
CREATE INDEX outbox_due ON outbox (next_attempt, sequence) WHERE head = 1;
CREATE INDEX outbox_pending ON outbox (stream, recipient, sequence) WHERE state = 'pending';
CREATE INDEX outbox_by_state ON outbox (state, channel, sequence);

CREATE TABLE listeners (
    id       TEXT NOT NULL PRIMARY KEY,
    callback TEXT NOT NULL,
    query    TEXT NOT NULL,
    api      TEXT NOT NULL,
    secret   TEXT NOT NULL
) STRICT;

-- Usage ----------------------------------------------------------------------

CREATE TABLE usage_records (
    sequence       INTEGER NOT NULL PRIMARY KEY,
    key            TEXT    NOT NULL,
    rating_group   INTEGER NOT NULL,
    source         TEXT    NOT NULL,
    outcome        TEXT    NOT NULL,
    suspense       INTEGER NOT NULL,
    line           TEXT,
    account        TEXT,
    cycle          TEXT,
    late_for       TEXT,
    plan           TEXT,
    tariff_version INTEGER NOT NULL,
    apn            TEXT,
    subscriber     TEXT,
    starts         INTEGER NOT NULL,
    ends           INTEGER NOT NULL,
    received       INTEGER NOT NULL,
    octets         INTEGER NOT NULL,
    amount         INTEGER NOT NULL,
    postings       TEXT,
    detail         TEXT
) STRICT;
CREATE INDEX usage_by_line ON usage_records (line, cycle, sequence) WHERE line IS NOT NULL;
CREATE INDEX usage_by_outcome ON usage_records (outcome, sequence) WHERE outcome <> 'rated';
CREATE UNIQUE INDEX usage_suspense_once ON usage_records (key, rating_group) WHERE suspense = 1;

-- The same sums that a scan of usage_records would give, kept with each drain.
-- `late_for` is empty where usage is not late.
CREATE TABLE usage_totals (
    cycle    TEXT    NOT NULL,
    account  TEXT    NOT NULL,
    line     TEXT    NOT NULL,
    plan     TEXT    NOT NULL,
    late_for TEXT    NOT NULL,
    octets   INTEGER NOT NULL,
    amount   INTEGER NOT NULL,
    records  INTEGER NOT NULL,
    PRIMARY KEY (cycle, account, line, plan, late_for)
) STRICT, WITHOUT ROWID;

-- How many records there are, for lists that are not of one line; `cycle` is
-- empty where a record has none.
CREATE TABLE usage_counts (
    cycle   TEXT    NOT NULL,
    source  TEXT    NOT NULL,
    outcome TEXT    NOT NULL,
    records INTEGER NOT NULL,
    PRIMARY KEY (cycle, source, outcome)
) STRICT, WITHOUT ROWID;

-- Bills ----------------------------------------------------------------------

CREATE TABLE invoices (
    id       TEXT    NOT NULL PRIMARY KEY,
    series   TEXT    NOT NULL,
    number   INTEGER NOT NULL,
    account  TEXT    NOT NULL,
    cycle    TEXT    NOT NULL,
    customer TEXT    NOT NULL,
    body     TEXT    NOT NULL,
    UNIQUE (series, number),
    UNIQUE (cycle, account)
) STRICT;
CREATE INDEX invoices_by_cycle ON invoices (cycle, series, number);
CREATE INDEX invoices_by_customer ON invoices (customer, series, number);

CREATE TABLE invoice_series (
    series TEXT    NOT NULL PRIMARY KEY,
    last   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE ledger (
    cycle   TEXT    NOT NULL,
    invoice TEXT    NOT NULL,
    place   INTEGER NOT NULL,
    side    TEXT    NOT NULL,
    unit    TEXT    NOT NULL,
    amount  INTEGER NOT NULL,
    PRIMARY KEY (cycle, invoice, place)
) STRICT, WITHOUT ROWID;

CREATE TABLE settlements (
    cycle TEXT NOT NULL PRIMARY KEY,
    body  TEXT NOT NULL
) STRICT;

CREATE TABLE close_runs (
    id      TEXT    NOT NULL PRIMARY KEY,
    version INTEGER NOT NULL,
    body    TEXT    NOT NULL
) STRICT;

-- Small things ---------------------------------------------------------------

CREATE TABLE cursors (
    name     TEXT    NOT NULL PRIMARY KEY,
    position INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE meta (
    key   TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
