-- Orders for many devices. What of a job's configuration bears on each execution is in terms, the rest in config.
-- is_command: made for one command, which alone hears of it.
CREATE TABLE job (
    job_number INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    job_id TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('scheduled', 'in_progress', 'completed', 'cancelled', 'deletion_in_progress')),
    document TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    is_continuous INTEGER NOT NULL DEFAULT 0,
    is_command INTEGER NOT NULL DEFAULT 0,
    terms TEXT NOT NULL DEFAULT '{}',
    config TEXT NOT NULL DEFAULT '{}',
    targets TEXT NOT NULL DEFAULT '[]',
    author TEXT NOT NULL DEFAULT '',
    reason TEXT NOT NULL DEFAULT '',
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    ended_at INTEGER,
    UNIQUE (tenant_id, job_id)
) STRICT;

CREATE INDEX job_ended ON job (ended_at) WHERE ended_at IS NOT NULL;

-- A job on one device, once per try. Execution ids grow in the order of queueing, whatever the clock says. A timer ends
-- at a moment of the running time: limit_ms is the end of the whole, due_ms the first end of all timers.
CREATE TABLE job_execution (
    execution_id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    job_number INTEGER NOT NULL REFERENCES job,
    device_id TEXT NOT NULL,
    try_number INTEGER NOT NULL,
    is_retried INTEGER NOT NULL DEFAULT 0,
    state TEXT NOT NULL CHECK (state IN (
        'queued', 'in_progress', 'succeeded', 'failed', 'rejected', 'timed_out', 'cancelled', 'removed'
    )),
    details TEXT NOT NULL DEFAULT '{}',
    version INTEGER NOT NULL DEFAULT 1,
    reason TEXT NOT NULL DEFAULT '',
    queued_at INTEGER NOT NULL,
    started_at INTEGER,
    updated_at INTEGER NOT NULL,
    ended_at INTEGER,
    limit_ms INTEGER,
    due_ms INTEGER,
    UNIQUE (job_number, device_id, try_number),
    FOREIGN KEY (tenant_id, device_id) REFERENCES device (tenant_id, device_id) ON DELETE CASCADE
) STRICT;

-- Devices of which every execution of a job may be forgotten: they have had it all the same.
CREATE TABLE job_forgotten (
    job_number INTEGER NOT NULL REFERENCES job ON DELETE CASCADE,
    device_id TEXT NOT NULL,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    PRIMARY KEY (job_number, device_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX job_execution_of_device ON job_execution (tenant_id, device_id, execution_id);

CREATE INDEX job_execution_open ON job_execution (tenant_id, device_id, execution_id) WHERE ended_at IS NULL;

CREATE INDEX job_execution_of_job ON job_execution (job_number, tenant_id, is_retried, state);

CREATE INDEX job_execution_due ON job_execution (due_ms) WHERE due_ms IS NOT NULL;

-- For how long the gateway has run in all, as far as it was kept: timers go by it, and by no clock that can be set.
CREATE TABLE job_running_time (
    tenant_id INTEGER PRIMARY KEY REFERENCES tenant,
    running_ms INTEGER NOT NULL
) STRICT;
