-- Log ids are counted from the log itself and from what was taken out of it: a counter of SQLite's own would be one
-- more page to write with each commit.
CREATE TABLE log_floor (
    floor_number INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL UNIQUE REFERENCES tenant,
    log_id INTEGER NOT NULL
) STRICT;

INSERT INTO log_floor (tenant_id, log_id)
SELECT tenant_id, COALESCE((SELECT MAX(seq) FROM sqlite_sequence WHERE name = 'log'), 0) FROM tenant;

CREATE TABLE log_counted (
    log_id INTEGER PRIMARY KEY,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    committed_at INTEGER NOT NULL,
    message_count INTEGER NOT NULL,
    record BLOB NOT NULL
) STRICT;

INSERT INTO log_counted (log_id, tenant_id, committed_at, message_count, record)
SELECT log_id, tenant_id, committed_at, message_count, record FROM log;

DROP TABLE log;

ALTER TABLE log_counted RENAME TO log;

-- Fills the free pages of the file with zeros while devices are erased, and is empty otherwise.
CREATE TABLE zeros (
    zeros_number INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    content BLOB NOT NULL
) STRICT;

-- The newest log id that was ever given, of all tenants together.
CREATE VIEW log_end AS
SELECT MAX(
    COALESCE((SELECT MAX(log_id) FROM log), 0),
    COALESCE((SELECT MAX(log_id) FROM log_floor), 0)
) AS log_id;
