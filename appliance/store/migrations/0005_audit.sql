-- What was done with identities, by whom: only appended to, each entry holding the hash of the one before it.

CREATE TABLE audit_entry (
    entry_number INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    position INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    address TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    result TEXT NOT NULL,
    details TEXT NOT NULL,
    hash TEXT NOT NULL,
    UNIQUE (tenant_id, position)
) STRICT;

-- The end of each tenant's chain: without it, entries could be cut off the end unseen.
CREATE TABLE audit_head (
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    position INTEGER NOT NULL,
    hash TEXT NOT NULL,
    PRIMARY KEY (tenant_id)
) STRICT;
