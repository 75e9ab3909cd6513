-- When a certificate was renewed: one that is not used within a day may have been lost.
ALTER TABLE succession ADD COLUMN made_at INTEGER NOT NULL DEFAULT 0;

-- How often a device has renewed on the day (since 1970, UTC) when it did so last, and when it was asked to.
CREATE TABLE renewal (
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    device_number INTEGER NOT NULL REFERENCES device ON DELETE CASCADE,
    day INTEGER NOT NULL DEFAULT 0,
    day_count INTEGER NOT NULL DEFAULT 0,
    asked_at INTEGER,
    PRIMARY KEY (tenant_id, device_number)
) STRICT, WITHOUT ROWID;

CREATE INDEX succession_of_device ON succession (tenant_id, device_id);
