-- Who reads the event log, and how far each has come. Everything before log_id was taken; of that record left_count
-- reports, its last ones, are still to come, or all of it when that is NULL.
CREATE TABLE stream_consumer (
    consumer_number INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    committed_at INTEGER NOT NULL,
    log_id INTEGER NOT NULL,
    left_count INTEGER,
    gap_log_id INTEGER,
    gap_count INTEGER,
    gap_until_at INTEGER,
    UNIQUE (tenant_id, name)
) STRICT;

-- How far the log was trimmed, and how far the day files need it no more though a consumer still does.
CREATE TABLE log_trim (
    trim_number INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL UNIQUE REFERENCES tenant,
    released_log_id INTEGER NOT NULL,
    trimmed_log_id INTEGER NOT NULL,
    trimmed_at INTEGER NOT NULL
) STRICT;

INSERT INTO log_trim (tenant_id, released_log_id, trimmed_log_id, trimmed_at)
SELECT
    tenant_id,
    0,
    COALESCE(
        (SELECT MIN(log_id) - 1 FROM log WHERE log.tenant_id = tenant.tenant_id),
        (SELECT seq FROM sqlite_sequence WHERE name = 'log'),
        0
    ),
    COALESCE(
        (SELECT MIN(committed_at) FROM log WHERE log.tenant_id = tenant.tenant_id),
        (SELECT CAST(strftime('%s', 'now') AS INTEGER) * 1000 FROM sqlite_sequence WHERE name = 'log'),
        0
    )
FROM tenant;

-- Which log id was on the disk at which moment, once an hour: it tells which chunks may hold what came in an interval.
CREATE TABLE log_mark (
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    log_id INTEGER NOT NULL,
    committed_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, log_id)
) STRICT;
