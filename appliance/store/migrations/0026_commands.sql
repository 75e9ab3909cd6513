-- A command that went to many devices at once. completed_at is NULL while its commands are still being written.
CREATE TABLE command_batch (
    batch_number INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    batch_id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    selection TEXT NOT NULL,
    device_count INTEGER NOT NULL,
    author TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    completed_at INTEGER,
    idempotency_key TEXT,
    digest TEXT NOT NULL
) STRICT;

CREATE UNIQUE INDEX command_batch_by_key ON command_batch (tenant_id, idempotency_key)
WHERE idempotency_key IS NOT NULL;

-- One command for one device: the ledger. offered_at is set before a byte of it is written to a connection, sent_at
-- after that. due_at is when something is to be done about it though nothing happens.
CREATE TABLE command (
    command_number INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    execution_id TEXT NOT NULL UNIQUE,
    batch_number INTEGER REFERENCES command_batch,
    device_id TEXT NOT NULL,
    name TEXT NOT NULL,
    payload BLOB NOT NULL,
    content_type TEXT NOT NULL,
    dialect TEXT NOT NULL,
    qos INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    may_repeat INTEGER NOT NULL,
    start_timeout_ms INTEGER NOT NULL,
    finish_timeout_ms INTEGER NOT NULL,
    state TEXT NOT NULL,
    version INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    retries_left INTEGER NOT NULL,
    is_repeated INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    not_before INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    offered_at INTEGER,
    sent_at INTEGER,
    acknowledged_at INTEGER,
    started_at INTEGER,
    ended_at INTEGER,
    ended_by TEXT NOT NULL,
    reason_code TEXT NOT NULL,
    reason TEXT NOT NULL,
    result TEXT,
    author TEXT NOT NULL,
    idempotency_key TEXT,
    digest TEXT NOT NULL
) STRICT;

CREATE UNIQUE INDEX command_by_key ON command (tenant_id, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX command_of_device ON command (tenant_id, device_id, command_number);
-- In the order in which they are offered; those that were offered already are few, and passed over.
CREATE INDEX command_open ON command (tenant_id, device_id, priority DESC, command_number) WHERE ended_at IS NULL;
CREATE INDEX command_due ON command (due_at) WHERE ended_at IS NULL;
CREATE INDEX command_ended ON command (ended_at) WHERE ended_at IS NOT NULL;
CREATE UNIQUE INDEX command_of_batch ON command (batch_number, device_id) WHERE batch_number IS NOT NULL;

-- What devices of a type understand. It hangs on the word that devices have as their type.
CREATE TABLE type_command (
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    type TEXT NOT NULL,
    name TEXT NOT NULL,
    definition TEXT NOT NULL,
    PRIMARY KEY (tenant_id, type, name)
) STRICT;
