-- CAs of a tenant's own whose certificates may become those of devices. The gateway has no key of them.
CREATE TABLE own_authority (
    authority_number INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    fingerprint TEXT NOT NULL,
    issuer_key TEXT NOT NULL,
    subject TEXT NOT NULL,
    pem TEXT NOT NULL,
    mode TEXT NOT NULL CHECK (mode IN ('inactive', 'register', 'provision')),
    template TEXT NOT NULL,
    daily_limit INTEGER NOT NULL,
    registered_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    removed_at INTEGER
) STRICT;

CREATE UNIQUE INDEX own_authority_in_use ON own_authority (fingerprint) WHERE removed_at IS NULL;

-- What a CA is to sign to show that whoever registers it has its key. Of a code only its SHA-256 is kept.
CREATE TABLE own_authority_code (
    code_hash TEXT PRIMARY KEY,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    expires_at INTEGER NOT NULL
) STRICT;

-- Every certificate of those CAs that was ever let in or asked about. Rows stay: a serial number counts once.
CREATE TABLE own_certificate (
    certificate_number INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    authority_number INTEGER NOT NULL REFERENCES own_authority,
    issuer_key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    serial TEXT NOT NULL,
    subject TEXT NOT NULL,
    common_name TEXT NOT NULL,
    serial_number TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    pem TEXT NOT NULL,
    address TEXT NOT NULL,
    seen_at INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'refused', 'bound')),
    decided_at INTEGER,
    device_id TEXT NOT NULL,
    UNIQUE (tenant_id, fingerprint),
    UNIQUE (tenant_id, issuer_key, serial)
) STRICT;

CREATE INDEX own_certificate_by_age ON own_certificate (authority_number, seen_at);
