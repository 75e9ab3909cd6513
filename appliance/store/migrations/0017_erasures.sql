-- Devices whose readings are to go: everything up to a log id. A row without done_at is gone on with after a restart.
CREATE TABLE erasure (
    erasure_number INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenant (tenant_id),
    device_id TEXT NOT NULL,
    through_log_id INTEGER NOT NULL,
    asked_at INTEGER NOT NULL,
    done_at INTEGER
) STRICT;
CREATE INDEX erasure_undone ON erasure (tenant_id) WHERE done_at IS NULL;
