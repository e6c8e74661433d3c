-- Modems: who may connect, with which credential. Revoked ones stay, for their epoch.

CREATE TABLE devices (
    id               TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    version          BIGINT NOT NULL,
    body             TEXT NOT NULL,
    certificate_name TEXT COLLATE "C"
);
CREATE UNIQUE INDEX devices_by_certificate_name ON devices (certificate_name) WHERE certificate_name IS NOT NULL;
