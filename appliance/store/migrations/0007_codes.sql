-- One-time codes by which a device enrols: of the code itself only its SHA-256 is kept.
CREATE TABLE enrolment_code (
    code_number INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    code_hash TEXT NOT NULL UNIQUE,
    target TEXT NOT NULL,
    type TEXT NOT NULL,
    zone TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER,
    used_at INTEGER,
    used_by TEXT NOT NULL DEFAULT '',
    used_from TEXT NOT NULL DEFAULT '',
    used_key TEXT NOT NULL DEFAULT '',
    use_count INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Who knocked with a certificate signing request and nothing else.
CREATE TABLE knock (
    knock_number INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    key_fingerprint TEXT NOT NULL,
    key_kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    common_name TEXT NOT NULL,
    serial_number TEXT NOT NULL,
    label TEXT NOT NULL,
    address TEXT NOT NULL,
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'accepted', 'refused')),
    decided_at INTEGER,
    device_id TEXT NOT NULL DEFAULT '',
    certificate TEXT NOT NULL DEFAULT '',
    request BLOB NOT NULL,
    UNIQUE (tenant_id, key_fingerprint)
) STRICT;

-- Which certificate a renewed one takes the place of, until the renewed one is used.
CREATE TABLE succession (
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    fingerprint TEXT NOT NULL,
    replaced TEXT NOT NULL,
    device_id TEXT NOT NULL,
    PRIMARY KEY (tenant_id, fingerprint)
) STRICT;
