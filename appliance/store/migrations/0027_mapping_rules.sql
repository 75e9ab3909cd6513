-- What devices publish on topics of their own, and how it is turned into their telemetry.
CREATE TABLE mapping_rule (
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    name TEXT NOT NULL,
    document TEXT NOT NULL,
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, name)
) STRICT;

-- The units that a device declares for its metrics, as JSON, as it declared them last.
CREATE TABLE declared_unit (
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    device_id TEXT NOT NULL,
    units TEXT NOT NULL,
    PRIMARY KEY (tenant_id, device_id)
) STRICT;
