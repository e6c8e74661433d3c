-- Modems: who may connect, with which credential. Revoked ones stay, for their epoch.

CREATE TABLE devices (
    id               TEXT    NOT NULL PRIMARY KEY,
    version          INTEGER NOT NULL,
    body             TEXT    NOT NULL,
    certificate_name TEXT
) STRICT;
CREATE UNIQUE INDEX devices_by_certificate_name ON devices (certificate_name) WHERE certificate_name IS NOT NULL;
