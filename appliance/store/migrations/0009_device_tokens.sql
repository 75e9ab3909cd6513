-- Tokens of devices that cannot do certificates. Of a secret only its HMAC is kept; the key to it lies among the keys.
CREATE TABLE device_token (
    token_number INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    device_number INTEGER NOT NULL REFERENCES device ON DELETE CASCADE,
    name TEXT NOT NULL,
    secret_hash TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at INTEGER,
    used_from TEXT NOT NULL DEFAULT '',
    revoked_at INTEGER
) STRICT;

CREATE INDEX device_token_of_device ON device_token (device_number);

-- What a script may do; until now each was an operator.
ALTER TABLE token ADD COLUMN role TEXT NOT NULL DEFAULT 'operator'
    CHECK (role IN ('owner', 'operator', 'viewer', 'installer'));
