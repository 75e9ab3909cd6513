-- A shadow that was deleted stays as a row without state: whoever makes it anew goes on with its version.
CREATE TABLE shadow (
    shadow_number INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    device_id TEXT NOT NULL,
    name TEXT NOT NULL,
    made_at INTEGER NOT NULL,
    version INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    has_delta INTEGER NOT NULL,
    state TEXT,
    metadata TEXT,
    UNIQUE (tenant_id, device_id, name)
) STRICT;
-- The one that was deleted first goes first where there is no room.
CREATE INDEX shadow_deleted ON shadow (tenant_id, updated_at, shadow_number) WHERE state IS NULL;

-- What became of shadows, oldest first; way_back is the patch that makes of the document what it was before.
CREATE TABLE shadow_change (
    change_number INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    shadow_number INTEGER NOT NULL REFERENCES shadow,
    version INTEGER NOT NULL,
    at INTEGER NOT NULL,
    author TEXT NOT NULL,
    kind TEXT NOT NULL,
    patch TEXT NOT NULL,
    way_back TEXT NOT NULL,
    byte_count INTEGER NOT NULL,
    UNIQUE (tenant_id, shadow_number, version)
) STRICT;

-- What all shadows, the deleted ones too, and all their changes come to: nobody has to count them or add them up.
CREATE TABLE shadow_total (
    total_number INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL UNIQUE REFERENCES tenant,
    shadow_count INTEGER NOT NULL,
    byte_count INTEGER NOT NULL
) STRICT;
