-- When devices connected, were refused and lost their connections: the newest 1,000 of each, for 90 days.
CREATE TABLE connection_event (
    event_number INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    device_number INTEGER NOT NULL REFERENCES device,
    kind TEXT NOT NULL CHECK (kind IN ('connected', 'disconnected', 'refused')),
    at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    occurrence_count INTEGER NOT NULL,
    client_id TEXT NOT NULL,
    address TEXT NOT NULL,
    reason TEXT NOT NULL,
    version INTEGER NOT NULL
) STRICT;

CREATE INDEX connection_event_of_device ON connection_event (device_number, event_number);

CREATE INDEX connection_event_by_age ON connection_event (last_at);

-- The latest moment that is known to be past, so that a clock that was set back is found out after a restart.
CREATE TABLE clock_mark (
    tenant_id INTEGER PRIMARY KEY REFERENCES tenant,
    marked_at INTEGER NOT NULL
) STRICT;
