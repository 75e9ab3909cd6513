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

-- What all changes together come to: nobody has to add them up.
CREATE TABLE shadow_history (
    history_number INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL UNIQUE REFERENCES tenant,
    byte_count INTEGER NOT NULL
) STRICT;
