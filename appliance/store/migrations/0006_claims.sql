-- Certificates that open nothing but the way to a device's own, and what is made of whoever comes that way.
CREATE TABLE enrolment_claim (
    claim_number INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    name TEXT NOT NULL,
    template TEXT NOT NULL,
    serial_pattern TEXT NOT NULL,
    use_limit INTEGER NOT NULL,
    use_count INTEGER NOT NULL DEFAULT 0,
    fingerprint TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT;

-- With any row here, the serial numbers of a claim are these and no others, each for the device that used it first.
CREATE TABLE claim_serial (
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    claim_number INTEGER NOT NULL REFERENCES enrolment_claim,
    serial_number TEXT NOT NULL,
    device_id TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (tenant_id, claim_number, serial_number)
) STRICT, WITHOUT ROWID;

-- Issued to whoever showed a claim, and bound to no device yet: it opens nothing. Of its token only the SHA-256 is kept.
CREATE TABLE pending_certificate (
    fingerprint TEXT PRIMARY KEY,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    claim_number INTEGER NOT NULL REFERENCES enrolment_claim,
    client_id TEXT NOT NULL,
    token_hash TEXT NOT NULL UNIQUE,
    serial TEXT NOT NULL,
    issued_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    pem TEXT NOT NULL
) STRICT;

CREATE INDEX pending_certificate_of_claim ON pending_certificate (tenant_id, claim_number, issued_at);

CREATE TABLE provisioning_template (
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    name TEXT NOT NULL,
    body TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, name)
) STRICT;
