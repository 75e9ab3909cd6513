-- What all migrations together give; nothing reads this but people and a test.
-- Written by: python -m appliance.store.migrate > appliance/store/schema.sql

CREATE TABLE alert (
    alert_id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    rule_id INTEGER NOT NULL REFERENCES alert_rule,
    device_id TEXT NOT NULL,
    breached_at INTEGER NOT NULL,
    opened_at INTEGER NOT NULL,
    opened_value REAL NOT NULL,
    resolved_at INTEGER,
    acknowledged_at INTEGER,
    acknowledged_by TEXT
) STRICT;

CREATE INDEX alert_open ON alert (tenant_id, rule_id, device_id) WHERE resolved_at IS NULL;

CREATE TABLE alert_rule (
    rule_id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    name TEXT NOT NULL,
    metric TEXT NOT NULL,
    operator TEXT NOT NULL,
    threshold REAL NOT NULL,
    clear_threshold REAL NOT NULL,
    hold_ms INTEGER NOT NULL,
    severity TEXT NOT NULL,
    zones TEXT NOT NULL DEFAULT '[]',
    recipients TEXT NOT NULL DEFAULT '[]',
    enabled INTEGER NOT NULL DEFAULT 1,
    created_at INTEGER NOT NULL,
    UNIQUE (tenant_id, name)
) STRICT;

CREATE TABLE alert_state (
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    rule_id INTEGER NOT NULL REFERENCES alert_rule,
    device_id TEXT NOT NULL,
    phase TEXT NOT NULL CHECK (phase IN ('normal', 'pending', 'firing')),
    breached_at INTEGER,
    opened_at INTEGER,
    noticed_at INTEGER,
    PRIMARY KEY (tenant_id, rule_id, device_id)
) STRICT;

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

CREATE TABLE audit_head (
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    position INTEGER NOT NULL,
    hash TEXT NOT NULL,
    PRIMARY KEY (tenant_id)
) STRICT;

CREATE TABLE certificate (
    certificate_number INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    device_number INTEGER NOT NULL REFERENCES device,
    fingerprint TEXT NOT NULL UNIQUE,
    serial TEXT NOT NULL,
    issued_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER,
    pem TEXT NOT NULL
) STRICT;

CREATE INDEX certificate_of_device ON certificate (device_number);

CREATE TABLE claim (
    claim_hash TEXT PRIMARY KEY,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at INTEGER
) STRICT;

CREATE TABLE claim_serial (
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    claim_number INTEGER NOT NULL REFERENCES enrolment_claim,
    serial_number TEXT NOT NULL,
    device_id TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (tenant_id, claim_number, serial_number)
) STRICT, WITHOUT ROWID;

CREATE TABLE clock_mark (
    tenant_id INTEGER PRIMARY KEY REFERENCES tenant,
    marked_at INTEGER NOT NULL
, doubted_at INTEGER, doubt_held_ms INTEGER) STRICT;

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

CREATE TABLE cold_part (
    cold_part_number INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenant (tenant_id),
    day INTEGER NOT NULL,
    part_number INTEGER NOT NULL,
    tag TEXT NOT NULL,
    UNIQUE (tenant_id, day, part_number)
) STRICT;

CREATE TABLE command (
    command_number INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    execution_id TEXT NOT NULL UNIQUE,
    batch_number INTEGER REFERENCES command_batch,
    device_id TEXT NOT NULL,
    name TEXT NOT NULL,
    payload BLOB NOT NULL,
    content_type TEXT NOT NULL,
    dialect TEXT NOT NULL,
    qos INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    may_repeat INTEGER NOT NULL,
    start_timeout_ms INTEGER NOT NULL,
    finish_timeout_ms INTEGER NOT NULL,
    state TEXT NOT NULL,
    version INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    retries_left INTEGER NOT NULL,
    is_repeated INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    not_before INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    offered_at INTEGER,
    sent_at INTEGER,
    acknowledged_at INTEGER,
    started_at INTEGER,
    ended_at INTEGER,
    ended_by TEXT NOT NULL,
    reason_code TEXT NOT NULL,
    reason TEXT NOT NULL,
    result TEXT,
    author TEXT NOT NULL,
    idempotency_key TEXT,
    digest TEXT NOT NULL
) STRICT;

CREATE UNIQUE INDEX command_by_key ON command (tenant_id, idempotency_key) WHERE idempotency_key IS NOT NULL;

CREATE INDEX command_due ON command (due_at) WHERE ended_at IS NULL;

CREATE INDEX command_ended ON command (ended_at) WHERE ended_at IS NOT NULL;

CREATE UNIQUE INDEX command_of_batch ON command (batch_number, device_id) WHERE batch_number IS NOT NULL;

CREATE INDEX command_of_device ON command (tenant_id, device_id, command_number);

CREATE INDEX command_open ON command (tenant_id, device_id, priority DESC, command_number) WHERE ended_at IS NULL;

CREATE TABLE command_batch (
    batch_number INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    batch_id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    selection TEXT NOT NULL,
    device_count INTEGER NOT NULL,
    author TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    completed_at INTEGER,
    idempotency_key TEXT,
    digest TEXT NOT NULL
) STRICT;

CREATE UNIQUE INDEX command_batch_by_key ON command_batch (tenant_id, idempotency_key)
WHERE idempotency_key IS NOT NULL;

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

CREATE INDEX connection_event_by_age ON connection_event (last_at);

CREATE INDEX connection_event_of_device ON connection_event (device_number, event_number);

CREATE TABLE declared_unit (
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    device_id TEXT NOT NULL,
    units TEXT NOT NULL,
    PRIMARY KEY (tenant_id, device_id)
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

CREATE INDEX delivery_of_message ON delivery (message_number);

CREATE INDEX delivery_of_session ON delivery (session_number);

CREATE TABLE device (
    device_number INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    device_id TEXT NOT NULL,
    name TEXT NOT NULL DEFAULT '',
    type TEXT NOT NULL DEFAULT '',
    zone TEXT NOT NULL DEFAULT '',
    serial_number TEXT NOT NULL DEFAULT '',
    state TEXT NOT NULL CHECK (state IN ('pending', 'active', 'suspended', 'retired')),
    created_at INTEGER NOT NULL, groups TEXT NOT NULL DEFAULT '[]', attributes TEXT NOT NULL DEFAULT '{}', notes TEXT NOT NULL DEFAULT '',
    UNIQUE (tenant_id, device_id)
) STRICT;

CREATE TABLE device_filter (
    device_filter_id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    name TEXT NOT NULL,
    query TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (tenant_id, name)
) STRICT;

CREATE TABLE device_token (
    token_number INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    device_number INTEGER NOT NULL REFERENCES device ON DELETE CASCADE,
    name TEXT NOT NULL,
    secret_hash TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at INTEGER,
    used_from TEXT NOT NULL DEFAULT '',
    revoked_at INTEGER
) STRICT;

CREATE INDEX device_token_of_device ON device_token (device_number);

CREATE TABLE device_type (
    device_type_id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    name TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    units TEXT NOT NULL DEFAULT '{}',
    expected_interval_ms INTEGER,
    created_at INTEGER NOT NULL, metrics TEXT NOT NULL DEFAULT '{}', unknown_metrics TEXT NOT NULL DEFAULT 'keep',
    UNIQUE (tenant_id, name)
) STRICT;

CREATE TABLE enrolment_claim (
    claim_number INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    name TEXT NOT NULL,
    template TEXT NOT NULL,
    serial_pattern TEXT NOT NULL,
    use_limit INTEGER NOT NULL,
    use_count INTEGER NOT NULL DEFAULT 0,
    fingerprint TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT;

CREATE TABLE enrolment_code (
    code_number INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    code_hash TEXT NOT NULL UNIQUE,
    target TEXT NOT NULL,
    type TEXT NOT NULL,
    zone TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER,
    used_at INTEGER,
    used_by TEXT NOT NULL DEFAULT '',
    used_from TEXT NOT NULL DEFAULT '',
    used_key TEXT NOT NULL DEFAULT '',
    use_count INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE erasure (
    erasure_number INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenant (tenant_id),
    device_id TEXT NOT NULL,
    through_log_id INTEGER NOT NULL,
    asked_at INTEGER NOT NULL,
    done_at INTEGER
) STRICT;

CREATE INDEX erasure_undone ON erasure (tenant_id) WHERE done_at IS NULL;

CREATE TABLE job (
    job_number INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    job_id TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('scheduled', 'in_progress', 'completed', 'cancelled', 'deletion_in_progress')),
    document TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    is_continuous INTEGER NOT NULL DEFAULT 0,
    is_command INTEGER NOT NULL DEFAULT 0,
    terms TEXT NOT NULL DEFAULT '{}',
    config TEXT NOT NULL DEFAULT '{}',
    targets TEXT NOT NULL DEFAULT '[]',
    author TEXT NOT NULL DEFAULT '',
    reason TEXT NOT NULL DEFAULT '',
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    ended_at INTEGER,
    UNIQUE (tenant_id, job_id)
) STRICT;

CREATE INDEX job_ended ON job (ended_at) WHERE ended_at IS NOT NULL;

CREATE INDEX job_live ON job (tenant_id, job_number) WHERE ended_at IS NULL AND is_command = 0;

CREATE TABLE job_execution (
    execution_id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    job_number INTEGER NOT NULL REFERENCES job,
    device_id TEXT NOT NULL,
    try_number INTEGER NOT NULL,
    is_retried INTEGER NOT NULL DEFAULT 0,
    state TEXT NOT NULL CHECK (state IN (
        'queued', 'in_progress', 'succeeded', 'failed', 'rejected', 'timed_out', 'cancelled', 'removed'
    )),
    details TEXT NOT NULL DEFAULT '{}',
    version INTEGER NOT NULL DEFAULT 1,
    reason TEXT NOT NULL DEFAULT '',
    queued_at INTEGER NOT NULL,
    started_at INTEGER,
    updated_at INTEGER NOT NULL,
    ended_at INTEGER,
    limit_ms INTEGER,
    due_ms INTEGER,
    UNIQUE (job_number, device_id, try_number),
    FOREIGN KEY (tenant_id, device_id) REFERENCES device (tenant_id, device_id) ON DELETE CASCADE
) STRICT;

CREATE INDEX job_execution_due ON job_execution (due_ms) WHERE due_ms IS NOT NULL;

CREATE INDEX job_execution_of_device ON job_execution (tenant_id, device_id, execution_id);

CREATE INDEX job_execution_of_job ON job_execution (job_number, tenant_id, is_retried, state);

CREATE INDEX job_execution_open ON job_execution (tenant_id, device_id, execution_id) WHERE ended_at IS NULL;

CREATE TABLE job_forgotten (
    job_number INTEGER NOT NULL REFERENCES job ON DELETE CASCADE,
    device_id TEXT NOT NULL,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    PRIMARY KEY (job_number, device_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE job_plan (
    job_number INTEGER PRIMARY KEY REFERENCES job ON DELETE CASCADE,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    targeted_count INTEGER NOT NULL DEFAULT 0,
    starts TEXT NOT NULL DEFAULT '{}',
    sweep TEXT NOT NULL DEFAULT '' CHECK (sweep IN ('', 'queued', 'all', 'deleted')),
    is_rollout_over INTEGER NOT NULL DEFAULT 0,
    comment TEXT NOT NULL DEFAULT ''
) STRICT;

CREATE INDEX job_plan_sweep ON job_plan (job_number) WHERE sweep <> '';

CREATE TABLE job_running_time (
    tenant_id INTEGER PRIMARY KEY REFERENCES tenant,
    running_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE job_target (
    job_number INTEGER PRIMARY KEY REFERENCES job ON DELETE CASCADE,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    device_ids TEXT NOT NULL
) STRICT;

CREATE TABLE knock (
    knock_number INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    key_fingerprint TEXT NOT NULL,
    key_kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    common_name TEXT NOT NULL,
    serial_number TEXT NOT NULL,
    label TEXT NOT NULL,
    address TEXT NOT NULL,
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'accepted', 'refused')),
    decided_at INTEGER,
    device_id TEXT NOT NULL DEFAULT '',
    certificate TEXT NOT NULL DEFAULT '',
    request BLOB NOT NULL, way TEXT NOT NULL DEFAULT 'request' CHECK (way IN ('request', 'certificate')), network TEXT NOT NULL DEFAULT '', knock_count INTEGER NOT NULL DEFAULT 1, wanted_id TEXT NOT NULL DEFAULT '', note TEXT NOT NULL DEFAULT '', fetched_at INTEGER, origin TEXT NOT NULL DEFAULT '',
    UNIQUE (tenant_id, key_fingerprint)
) STRICT;

CREATE TABLE "log" (
    log_id INTEGER PRIMARY KEY,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    committed_at INTEGER NOT NULL,
    message_count INTEGER NOT NULL,
    record BLOB NOT NULL
) STRICT;

CREATE VIEW log_end AS
SELECT MAX(
    COALESCE((SELECT MAX(log_id) FROM log), 0),
    COALESCE((SELECT MAX(log_id) FROM log_floor), 0)
) AS log_id;

CREATE TABLE log_floor (
    floor_number INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL UNIQUE REFERENCES tenant,
    log_id INTEGER NOT NULL
) STRICT;

CREATE TABLE log_mark (
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    log_id INTEGER NOT NULL,
    committed_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, log_id)
) STRICT;

CREATE TABLE log_trim (
    trim_number INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL UNIQUE REFERENCES tenant,
    released_log_id INTEGER NOT NULL,
    trimmed_log_id INTEGER NOT NULL,
    trimmed_at INTEGER NOT NULL
) STRICT;

CREATE TABLE mapping_rule (
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    name TEXT NOT NULL,
    document TEXT NOT NULL,
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, name)
) STRICT;

CREATE TABLE outbox (
    notice_id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    alert_id INTEGER REFERENCES alert,
    channel TEXT NOT NULL,
    recipient TEXT NOT NULL,
    subject TEXT NOT NULL,
    body TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    due_at INTEGER,
    attempt_count INTEGER NOT NULL DEFAULT 0,
    sent_at INTEGER,
    given_up_at INTEGER,
    last_error TEXT
) STRICT;

CREATE INDEX outbox_due ON outbox (due_at) WHERE due_at IS NOT NULL;

CREATE TABLE own_authority (
    authority_number INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    fingerprint TEXT NOT NULL,
    issuer_key TEXT NOT NULL,
    subject TEXT NOT NULL,
    pem TEXT NOT NULL,
    mode TEXT NOT NULL CHECK (mode IN ('inactive', 'register', 'provision')),
    template TEXT NOT NULL,
    daily_limit INTEGER NOT NULL,
    registered_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    removed_at INTEGER
) STRICT;

CREATE UNIQUE INDEX own_authority_in_use ON own_authority (fingerprint) WHERE removed_at IS NULL;

CREATE TABLE own_authority_code (
    code_hash TEXT PRIMARY KEY,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    expires_at INTEGER NOT NULL
) STRICT;

CREATE TABLE own_certificate (
    certificate_number INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    authority_number INTEGER NOT NULL REFERENCES own_authority,
    issuer_key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    serial TEXT NOT NULL,
    subject TEXT NOT NULL,
    common_name TEXT NOT NULL,
    serial_number TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    pem TEXT NOT NULL,
    address TEXT NOT NULL,
    seen_at INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'refused', 'bound')),
    decided_at INTEGER,
    device_id TEXT NOT NULL,
    UNIQUE (tenant_id, fingerprint),
    UNIQUE (tenant_id, issuer_key, serial)
) STRICT;

CREATE INDEX own_certificate_by_age ON own_certificate (authority_number, seen_at);

CREATE TABLE pending_certificate (
    fingerprint TEXT PRIMARY KEY,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    claim_number INTEGER NOT NULL REFERENCES enrolment_claim,
    client_id TEXT NOT NULL,
    token_hash TEXT NOT NULL UNIQUE,
    serial TEXT NOT NULL,
    issued_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    pem TEXT NOT NULL
) STRICT;

CREATE INDEX pending_certificate_of_claim ON pending_certificate (tenant_id, claim_number, issued_at);

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

CREATE TABLE problem (
    problem_id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    device_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    reason TEXT NOT NULL,
    occurrence_count INTEGER NOT NULL,
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    UNIQUE (tenant_id, device_id, kind)
) STRICT;

CREATE TABLE provisioning_template (
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    name TEXT NOT NULL,
    body TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, name)
) STRICT;

CREATE TABLE renewal (
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    device_number INTEGER NOT NULL REFERENCES device ON DELETE CASCADE,
    day INTEGER NOT NULL DEFAULT 0,
    day_count INTEGER NOT NULL DEFAULT 0,
    asked_at INTEGER,
    PRIMARY KEY (tenant_id, device_number)
) STRICT, WITHOUT ROWID;

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

CREATE TABLE retention_night (
    tenant_id INTEGER PRIMARY KEY REFERENCES tenant,
    boot_id TEXT NOT NULL,
    began_ms INTEGER NOT NULL,
    seen_ms INTEGER NOT NULL,
    day_count INTEGER NOT NULL,
    budget_bytes INTEGER NOT NULL
) STRICT;

CREATE TABLE revoked_issuer (
    issuer_number INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    fingerprint TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    pem TEXT NOT NULL,
    revoked_at INTEGER NOT NULL,
    -- When all certificates that it had issued were marked; until then a start goes on with it.
    finished_at INTEGER
) STRICT;

CREATE TABLE session (
    session_number INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    principal TEXT NOT NULL,
    client_id TEXT NOT NULL,
    expiry_s INTEGER NOT NULL,
    left_at INTEGER,
    is_operator INTEGER NOT NULL
) STRICT;

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

CREATE INDEX shadow_deleted ON shadow (tenant_id, updated_at, shadow_number) WHERE state IS NULL;

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

CREATE TABLE shadow_total (
    total_number INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL UNIQUE REFERENCES tenant,
    shadow_count INTEGER NOT NULL,
    byte_count INTEGER NOT NULL
) STRICT;

CREATE TABLE stream_consumer (
    consumer_number INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    committed_at INTEGER NOT NULL,
    log_id INTEGER NOT NULL,
    left_count INTEGER,
    gap_log_id INTEGER,
    gap_count INTEGER,
    gap_until_at INTEGER,
    UNIQUE (tenant_id, name)
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

CREATE TABLE succession (
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    fingerprint TEXT NOT NULL,
    replaced TEXT NOT NULL,
    device_id TEXT NOT NULL, made_at INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, fingerprint)
) STRICT;

CREATE INDEX succession_of_device ON succession (tenant_id, device_id);

CREATE TABLE taken_identifier (
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    session_number INTEGER NOT NULL REFERENCES session,
    packet_id INTEGER NOT NULL,
    PRIMARY KEY (session_number, packet_id)
) STRICT;

CREATE TABLE tenant (
    tenant_id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE token (
    token_id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    name TEXT NOT NULL,
    secret_hash TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER
, role TEXT NOT NULL DEFAULT 'operator'
    CHECK (role IN ('owner', 'operator', 'viewer', 'installer'))) STRICT;

CREATE TABLE type_command (
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    type TEXT NOT NULL,
    name TEXT NOT NULL,
    definition TEXT NOT NULL,
    PRIMARY KEY (tenant_id, type, name)
) STRICT;

CREATE TABLE user (
    user_id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    email TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('owner', 'operator', 'viewer', 'installer')),
    password_hash TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (email)
) STRICT;

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

CREATE TABLE web_session (
    session_hash TEXT PRIMARY KEY,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    user_id INTEGER NOT NULL REFERENCES user,
    created_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL
) STRICT;

CREATE TABLE zeros (
    zeros_number INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    content BLOB NOT NULL
) STRICT;
