-- What devices may do beyond the default table, and which devices that concerns.

CREATE TABLE policy (
    policy_id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    name TEXT NOT NULL,
    replaces_default INTEGER NOT NULL CHECK (replaces_default IN (0, 1)),
    statements TEXT NOT NULL,
    changed_at INTEGER NOT NULL,
    UNIQUE (tenant_id, name)
) STRICT;

CREATE TABLE policy_target (
    policy_target_id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    policy_id INTEGER NOT NULL REFERENCES policy,
    kind TEXT NOT NULL CHECK (kind IN ('type', 'device')),
    name TEXT NOT NULL,
    UNIQUE (policy_id, kind, name)
) STRICT;
