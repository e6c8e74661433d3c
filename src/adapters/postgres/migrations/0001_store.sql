-- Times are milliseconds since the Unix epoch, amounts minor units, cycles
-- `YYYY-MM`. `body` is the whole aggregate as JSON, kept as text so that it comes
-- back as it was written; the columns beside it are copies that reads filter and
-- sort by. Text compares by octet, whatever the database's collation.
--
-- `claimed_by` is the gateway that works on a row, until `claimed_until` by this
-- server's clock.

-- Orders -------------------------------------------------------------------

CREATE TABLE orders (
    id          TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    version     BIGINT NOT NULL,
    body        TEXT NOT NULL,
    state       TEXT COLLATE "C" NOT NULL,
    customer    TEXT COLLATE "C" NOT NULL,
    external_id TEXT COLLATE "C",
    created     BIGINT NOT NULL
);
CREATE INDEX orders_newest ON orders (created, id);
CREATE INDEX orders_by_state ON orders (state, created, id);
CREATE INDEX orders_by_customer ON orders (customer, created, id);
CREATE INDEX orders_by_external_id ON orders (external_id) WHERE external_id IS NOT NULL;

CREATE TABLE order_lines (
    line     TEXT COLLATE "C" NOT NULL,
    order_id TEXT COLLATE "C" NOT NULL REFERENCES orders (id),
    PRIMARY KEY (line, order_id)
);

-- How many orders are in each state: counting a million rows is no read.
CREATE TABLE order_counts (
    state  TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    orders BIGINT NOT NULL
);
CREATE FUNCTION orders_count() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        UPDATE order_counts SET orders = orders - 1 WHERE state = OLD.state;
    END IF;
    INSERT INTO order_counts (state, orders) VALUES (NEW.state, 1)
        ON CONFLICT (state) DO UPDATE SET orders = order_counts.orders + 1;
    RETURN NULL;
END $$;
CREATE TRIGGER orders_count_new AFTER INSERT ON orders
    FOR EACH ROW EXECUTE FUNCTION orders_count();
CREATE TRIGGER orders_count_moved AFTER UPDATE ON orders
    FOR EACH ROW WHEN (OLD.state <> NEW.state) EXECUTE FUNCTION orders_count();

CREATE TABLE idempotency (
    key         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    order_id    TEXT COLLATE "C" NOT NULL,
    response    TEXT NOT NULL,
    created     BIGINT NOT NULL
);

-- Sagas --------------------------------------------------------------------

CREATE TABLE sagas (
    id       TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    version  BIGINT NOT NULL,
    body     TEXT NOT NULL,
    phase    TEXT COLLATE "C" NOT NULL,
    -- while neither final nor stuck
    active   BOOLEAN NOT NULL,
    priority BIGINT NOT NULL,
    wake_at  BIGINT NOT NULL,
    created  BIGINT NOT NULL,
    claimed_by    TEXT COLLATE "C" NOT NULL,
    claimed_until TIMESTAMPTZ NOT NULL
);
-- Sagas that only a signal wakes (wake_at at its largest) may wait for weeks
-- and are many: they stay out of the index that is asked all the time.
CREATE INDEX sagas_due ON sagas (priority, created, id, wake_at) WHERE active AND wake_at < 9223372036854775807;
CREATE INDEX sagas_next_wake ON sagas (wake_at) WHERE active;
CREATE INDEX sagas_stuck ON sagas (created, id) WHERE phase = 'stuck';

CREATE TABLE saga_log (
    saga  TEXT COLLATE "C" NOT NULL,
    place BIGINT NOT NULL,
    body  TEXT NOT NULL,
    PRIMARY KEY (saga, place)
);

-- Lines --------------------------------------------------------------------

CREATE TABLE lines (
    id       TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    version  BIGINT NOT NULL,
    body     TEXT NOT NULL,
    state    TEXT COLLATE "C" NOT NULL,
    customer TEXT COLLATE "C" NOT NULL,
    account  TEXT COLLATE "C" NOT NULL,
    imsi     TEXT COLLATE "C",
    msisdn   TEXT COLLATE "C",
    device   TEXT COLLATE "C",
    created  BIGINT NOT NULL
);
CREATE INDEX lines_by_account ON lines (account, id);
CREATE INDEX lines_by_customer ON lines (customer, id);
CREATE INDEX lines_by_state ON lines (state, id);
CREATE INDEX lines_by_imsi ON lines (imsi, created, id) WHERE imsi IS NOT NULL;
CREATE INDEX lines_by_msisdn ON lines (msisdn, created, id) WHERE msisdn IS NOT NULL;
CREATE INDEX lines_by_device ON lines (device, created, id) WHERE device IS NOT NULL;

CREATE TABLE line_sessions (
    line    TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    body    TEXT NOT NULL,
    -- the gateway that holds the modem's connection, while it is up
    gateway TEXT COLLATE "C"
);
CREATE INDEX line_sessions_by_gateway ON line_sessions (gateway) WHERE gateway IS NOT NULL;

-- Scheduling and field work --------------------------------------------------

CREATE TABLE workers (
    id   TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    body TEXT NOT NULL
);

CREATE TABLE slots (
    id       TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    worker   TEXT COLLATE "C" NOT NULL,
    starts   BIGINT NOT NULL,
    ends     BIGINT NOT NULL,
    capacity BIGINT NOT NULL,
    held     BIGINT NOT NULL CHECK (held >= 0)
);
CREATE INDEX slots_free ON slots (starts, id) WHERE held < capacity;

CREATE TABLE appointments (
    id       TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    version  BIGINT NOT NULL,
    body     TEXT NOT NULL,
    order_id TEXT COLLATE "C" NOT NULL,
    created  BIGINT NOT NULL
);
CREATE INDEX appointments_newest ON appointments (created, id);
CREATE INDEX appointments_by_order ON appointments (order_id, created, id);

CREATE TABLE calls (
    id           TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    version      BIGINT NOT NULL,
    body         TEXT NOT NULL,
    state        TEXT COLLATE "C" NOT NULL,
    next_attempt BIGINT NOT NULL
);
CREATE INDEX calls_next ON calls (next_attempt, id);
CREATE INDEX calls_by_state ON calls (state, next_attempt, id);

CREATE TABLE work_orders (
    id       TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    version  BIGINT NOT NULL,
    body     TEXT NOT NULL,
    worker   TEXT COLLATE "C" NOT NULL,
    state    TEXT COLLATE "C" NOT NULL,
    order_id TEXT COLLATE "C" NOT NULL,
    planned  BIGINT NOT NULL
);
CREATE INDEX work_orders_planned ON work_orders (planned, id);
CREATE INDEX work_orders_by_worker ON work_orders (worker, state, planned, id);
CREATE INDEX work_orders_by_state ON work_orders (state, planned, id);
CREATE INDEX work_orders_by_order ON work_orders (order_id, planned, id);

-- Events and outbox ----------------------------------------------------------

CREATE TABLE happenings (
    sequence BIGINT NOT NULL PRIMARY KEY,
    order_id TEXT COLLATE "C",
    body     TEXT NOT NULL
);
CREATE INDEX happenings_by_order ON happenings (order_id, sequence) WHERE order_id IS NOT NULL;

CREATE TABLE outbox (
    sequence     BIGINT NOT NULL PRIMARY KEY,
    id           TEXT COLLATE "C" NOT NULL UNIQUE,
    once_key     TEXT COLLATE "C" UNIQUE,
    stream       TEXT COLLATE "C" NOT NULL,
    channel      TEXT COLLATE "C" NOT NULL,
    recipient    TEXT COLLATE "C" NOT NULL,
    body         TEXT NOT NULL,
    state        TEXT COLLATE "C" NOT NULL,
    -- on the oldest pending message of its stream and recipient
    head         BOOLEAN NOT NULL,
    attempts     BIGINT NOT NULL,
    next_attempt BIGINT NOT NULL,
    -- what the last try said while pending, why it was given up once dead
    reason       TEXT,
    -- when it was sent or given up
    ended        BIGINT,
    claimed_by    TEXT COLLATE "C" NOT NULL,
    claimed_until TIMESTAMPTZ NOT NULL
);
CREATE INDEX outbox_due ON outbox (next_attempt, sequence) WHERE head;
CREATE INDEX outbox_pending ON outbox (stream, recipient, sequence) WHERE state = 'pending';
CREATE INDEX outbox_by_state ON outbox (state, channel, sequence);

CREATE TABLE listeners (
    id       TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    callback TEXT NOT NULL,
    query    TEXT NOT NULL,
    api      TEXT COLLATE "C" NOT NULL,
    secret   TEXT NOT NULL
);

-- Usage ----------------------------------------------------------------------

CREATE TABLE usage_records (
    sequence       BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key            TEXT COLLATE "C" NOT NULL,
    rating_group   BIGINT NOT NULL,
    source         TEXT COLLATE "C" NOT NULL,
    outcome        TEXT COLLATE "C" NOT NULL,
    suspense       BOOLEAN NOT NULL,
    line           TEXT COLLATE "C",
    account        TEXT COLLATE "C",
    cycle          TEXT COLLATE "C",
    late_for       TEXT COLLATE "C",
    plan           TEXT COLLATE "C",
    tariff_version BIGINT NOT NULL,
    apn            TEXT COLLATE "C",
    subscriber     TEXT,
    starts         BIGINT NOT NULL,
    ends           BIGINT NOT NULL,
    received       BIGINT NOT NULL,
    octets         BIGINT NOT NULL,
    amount         BIGINT NOT NULL,
    postings       TEXT,
    detail         TEXT
);
CREATE INDEX usage_by_line ON usage_records (line, cycle, sequence) WHERE line IS NOT NULL;
CREATE INDEX usage_by_outcome ON usage_records (outcome, sequence) WHERE outcome <> 'rated';
CREATE UNIQUE INDEX usage_suspense_once ON usage_records (key, rating_group) WHERE suspense;

-- The same sums that a scan of usage_records would give, kept with each drain.
-- `late_for` is empty where usage is not late.
CREATE TABLE usage_totals (
    cycle    TEXT COLLATE "C" NOT NULL,
    account  TEXT COLLATE "C" NOT NULL,
    line     TEXT COLLATE "C" NOT NULL,
    plan     TEXT COLLATE "C" NOT NULL,
    late_for TEXT COLLATE "C" NOT NULL,
    octets   BIGINT NOT NULL,
    amount   BIGINT NOT NULL,
    records  BIGINT NOT NULL,
    PRIMARY KEY (cycle, account, line, plan, late_for)
);

-- How many records there are, for lists that are not of one line; `cycle` is
-- empty where a record has none.
CREATE TABLE usage_counts (
    cycle   TEXT COLLATE "C" NOT NULL,
    source  TEXT COLLATE "C" NOT NULL,
    outcome TEXT COLLATE "C" NOT NULL,
    records BIGINT NOT NULL,
    PRIMARY KEY (cycle, source, outcome)
);

-- Bills ----------------------------------------------------------------------

CREATE TABLE invoices (
    id       TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    series   TEXT COLLATE "C" NOT NULL,
    number   BIGINT NOT NULL,
    account  TEXT COLLATE "C" NOT NULL,
    cycle    TEXT COLLATE "C" NOT NULL,
    customer TEXT COLLATE "C" NOT NULL,
    body     TEXT NOT NULL,
    UNIQUE (series, number),
    UNIQUE (cycle, account)
);
CREATE INDEX invoices_by_cycle ON invoices (cycle, series, number);
CREATE INDEX invoices_by_customer ON invoices (customer, series, number);

CREATE TABLE invoice_series (
    series TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    last   BIGINT NOT NULL
);

CREATE TABLE ledger (
    cycle   TEXT COLLATE "C" NOT NULL,
    invoice TEXT COLLATE "C" NOT NULL,
    place   BIGINT NOT NULL,
    side    TEXT COLLATE "C" NOT NULL,
    unit    TEXT COLLATE "C" NOT NULL,
    amount  BIGINT NOT NULL,
    PRIMARY KEY (cycle, invoice, place)
);

CREATE TABLE settlements (
    cycle TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    body  TEXT NOT NULL
);

CREATE TABLE close_runs (
    id      TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL,
    body    TEXT NOT NULL
);

-- Small things ---------------------------------------------------------------

CREATE TABLE cursors (
    name     TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    position BIGINT NOT NULL
);

CREATE TABLE meta (
    key   TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);
