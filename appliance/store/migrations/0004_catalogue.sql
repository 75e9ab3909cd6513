-- What is known of devices beyond their names, the types they are of, and the searches people keep.

ALTER TABLE device ADD COLUMN groups TEXT NOT NULL DEFAULT '[]';
ALTER TABLE device ADD COLUMN attributes TEXT NOT NULL DEFAULT '{}';
ALTER TABLE device ADD COLUMN notes TEXT NOT NULL DEFAULT '';

-- A device names its type in words; a row here says more about that word.
CREATE TABLE device_type (
    device_type_id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    name TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    units TEXT NOT NULL DEFAULT '{}',
    expected_interval_ms INTEGER,
    created_at INTEGER NOT NULL,
    UNIQUE (tenant_id, name)
) STRICT;

CREATE TABLE device_filter (
    device_filter_id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    name TEXT NOT NULL,
    query TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (tenant_id, name)
) STRICT;
