-- CAs whose certificates open nothing any more, whatever the row of a certificate says.
CREATE TABLE revoked_issuer (
    issuer_number INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    fingerprint TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    pem TEXT NOT NULL,
    revoked_at INTEGER NOT NULL,
    -- When all certificates that it had issued were marked; until then a start goes on with it.
    finished_at INTEGER
) STRICT;
