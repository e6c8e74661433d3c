-- Versions of the tariff that were put by REST, and how often they have changed.

CREATE TABLE tariffs (
    version INTEGER NOT NULL PRIMARY KEY,
    body    TEXT    NOT NULL
) STRICT;
CREATE TABLE tariff_revision (
    revision INTEGER NOT NULL
) STRICT;
INSERT INTO tariff_revision VALUES (0);
