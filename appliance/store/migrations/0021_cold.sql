-- Days as Parquet: what their files were made of, and how far each has come into the bucket.
CREATE TABLE cold_day (
    cold_day_number INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenant (tenant_id),
    day INTEGER NOT NULL,
    source TEXT NOT NULL,
    reading_count INTEGER NOT NULL,
    file_bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    extra_count INTEGER NOT NULL,
    erasure_number INTEGER NOT NULL,
    is_local INTEGER NOT NULL,
    exported_at INTEGER NOT NULL,
    uploaded_sha256 TEXT NOT NULL,
    uploaded_to TEXT NOT NULL,
    uploaded_at INTEGER NOT NULL,
    upload_id TEXT NOT NULL,
    upload_sha256 TEXT NOT NULL,
    upload_to TEXT NOT NULL,
    former TEXT NOT NULL,
    UNIQUE (tenant_id, day)
) STRICT;

-- The parts of an upload that has begun, so that it is gone on with after a restart.
CREATE TABLE cold_part (
    cold_part_number INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenant (tenant_id),
    day INTEGER NOT NULL,
    part_number INTEGER NOT NULL,
    tag TEXT NOT NULL,
    UNIQUE (tenant_id, day, part_number)
) STRICT;
