-- Versions of the tariff that were put by REST, and how often they have changed.

CREATE TABLE tariffs (
    version BIGINT NOT NULL PRIMARY KEY,
    body    TEXT NOT NULL
);
CREATE TABLE tariff_revision (
    revision BIGINT NOT NULL
);
INSERT INTO tariff_revision VALUES (0);
