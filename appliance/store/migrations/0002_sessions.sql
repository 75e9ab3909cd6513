-- What MQTT sessions keep. The broker gives the numbers of sessions, deliveries and messages; AUTOINCREMENT remembers
-- the highest one of each table, also when its row is gone, so that a new start never gives one twice.

CREATE TABLE session (
    session_number INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    principal TEXT NOT NULL,
    client_id TEXT NOT NULL,
    expiry_s INTEGER NOT NULL,
    left_at INTEGER,
    is_operator INTEGER NOT NULL
) STRICT;

CREATE TABLE subscription (
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    session_number INTEGER NOT NULL REFERENCES session,
    topic_filter TEXT NOT NULL,
    qos INTEGER NOT NULL,
    no_local INTEGER NOT NULL,
    retain_as_published INTEGER NOT NULL,
    retain_handling INTEGER NOT NULL,
    identifier INTEGER NOT NULL,
    PRIMARY KEY (session_number, topic_filter)
) STRICT;

-- A message that somebody still waits for: once, however many deliveries there are of it.
CREATE TABLE waiting_message (
    message_number INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    principal TEXT NOT NULL,
    client_id TEXT NOT NULL,
    topic TEXT NOT NULL,
    payload BLOB NOT NULL,
    qos INTEGER NOT NULL,
    retain INTEGER NOT NULL,
    arrived_at INTEGER NOT NULL,
    properties BLOB NOT NULL,
    expires_at INTEGER,
    is_operators INTEGER NOT NULL
) STRICT;

CREATE TABLE delivery (
    delivery_number INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    session_number INTEGER NOT NULL REFERENCES session,
    message_number INTEGER NOT NULL REFERENCES waiting_message,
    qos INTEGER NOT NULL,
    retain INTEGER NOT NULL,
    identifiers TEXT NOT NULL DEFAULT '[]',
    packet_id INTEGER NOT NULL,
    is_released INTEGER NOT NULL
) STRICT;

CREATE INDEX delivery_of_session ON delivery (session_number);
CREATE INDEX delivery_of_message ON delivery (message_number);

-- QoS 2: packet identifiers of the client whose message was taken and whose PUBREL has not come.
CREATE TABLE taken_identifier (
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    session_number INTEGER NOT NULL REFERENCES session,
    packet_id INTEGER NOT NULL,
    PRIMARY KEY (session_number, packet_id)
) STRICT;

CREATE TABLE retained_message (
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    topic TEXT NOT NULL,
    principal TEXT NOT NULL,
    client_id TEXT NOT NULL,
    payload BLOB NOT NULL,
    qos INTEGER NOT NULL,
    retain INTEGER NOT NULL,
    arrived_at INTEGER NOT NULL,
    properties BLOB NOT NULL,
    expires_at INTEGER,
    is_operators INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, topic)
) STRICT;
