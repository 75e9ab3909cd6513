"""Every figure of the gateway by the name under which monitoring knows it. docs/reference/metrics.md lists them."""

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from appliance.instant import DAY_MS, SECOND_MS
from appliance.telemetry.keeping.room.model import Usage
from appliance.vitals.model import Buckets, ConsumerLag, Counts, Family, Kind, Release, Sample, Snapshot

CONSUMERS_LIMIT = 100
"""So many consumers are named, those that are furthest behind."""
REFUSED_PREFIX = "refused_"


class _Detail(NamedTuple):
    """A number that a part of the gateway tells of itself."""

    part: str
    key: str
    name: str
    kind: Kind
    told: str


_DETAILS = (
    _Detail("broker", "connections", "headworks_broker_connections", Kind.GAUGE, "MQTT connections that are open."),
    _Detail(
        "broker", "sessions", "headworks_broker_sessions", Kind.GAUGE, "MQTT sessions, of clients connected or away."
    ),
    _Detail(
        "broker",
        "retained_messages",
        "headworks_broker_retained_messages",
        Kind.GAUGE,
        "Topics with a retained message.",
    ),
    _Detail(
        "broker", "queued_bytes", "headworks_broker_queued_bytes", Kind.GAUGE, "Payloads that wait for MQTT clients."
    ),
    _Detail(
        "broker",
        "accepted_messages",
        "headworks_broker_messages_received",
        Kind.COUNTER,
        "Messages that clients published and that were accepted.",
    ),
    _Detail(
        "broker",
        "delivered_messages",
        "headworks_broker_messages_delivered",
        Kind.COUNTER,
        "Messages that were written to clients.",
    ),
    _Detail(
        "broker",
        "dropped_messages",
        "headworks_broker_messages_dropped",
        Kind.COUNTER,
        "Messages that sessions did not get because their bounds were reached.",
    ),
    _Detail(
        "broker",
        "unretained_messages",
        "headworks_broker_messages_unretained",
        Kind.COUNTER,
        "Messages that were not retained because there was no room for more.",
    ),
    _Detail(
        "ingestion",
        "committed_messages",
        "headworks_ingestion_messages_committed",
        Kind.COUNTER,
        "Messages that are on the disk.",
    ),
    _Detail(
        "ingestion",
        "backlog_messages",
        "headworks_ingestion_backlog_messages",
        Kind.GAUGE,
        "Messages that wait for their commit.",
    ),
    _Detail(
        "telemetry",
        "open_chunks",
        "headworks_telemetry_open_chunks",
        Kind.GAUGE,
        "Chunks in memory that collect readings.",
    ),
    _Detail(
        "telemetry",
        "reports_in_memory",
        "headworks_telemetry_unsealed_reports",
        Kind.GAUGE,
        "Reports in memory and in the event log that are in no day file yet.",
    ),
    _Detail(
        "telemetry", "damaged", "headworks_telemetry_damages", Kind.GAUGE, "Pieces of stored readings that are damaged."
    ),
    _Detail("room", "free_bytes", "headworks_disk_free_bytes", Kind.GAUGE, "Free on the disk of the data folder."),
    _Detail("stream", "consumers", "headworks_consumers", Kind.GAUGE, "Consumers of the event log, of all tenants."),
    _Detail("commands", "in_flight", "headworks_commands_in_flight", Kind.GAUGE, "Commands that are not answered for."),
    _Detail(
        "commands",
        "waiting_devices",
        "headworks_commands_waiting_devices",
        Kind.GAUGE,
        "Devices for which a command waits, of all tenants.",
    ),
    _Detail(
        "commands",
        "set_aside",
        "headworks_commands_set_aside",
        Kind.COUNTER,
        "Commands that were cancelled because the gateway could not go on with them.",
    ),
    _Detail("jobs", "jobs", "headworks_jobs", Kind.GAUGE, "Jobs that have not come to their end, of all tenants."),
    _Detail("jobs", "stuck", "headworks_jobs_stuck", Kind.GAUGE, "Jobs that cannot go on."),
    _Detail(
        "jobs",
        "throttled_requests",
        "headworks_job_requests_throttled",
        Kind.COUNTER,
        "Requests for jobs that were refused because their device asked too often at once.",
    ),
    _Detail(
        "jobs",
        "set_aside",
        "headworks_jobs_set_aside",
        Kind.COUNTER,
        "Jobs and executions that were cancelled because the gateway could not go on with them.",
    ),
    _Detail("notifications", "sent_count", "headworks_notices_sent", Kind.COUNTER, "Notices that a channel has taken."),
)


def families(snapshot: Snapshot, release: Release, counts: Counts) -> list[Family]:
    """Everything that is known of the gateway. `counts` are of the tenant of whoever asks."""
    return [
        *_of_gateway(snapshot, release, counts),
        *_of_parts(snapshot),
        *_of_ingestion(snapshot),
        *(_of_disk(snapshot.usage) if snapshot.usage is not None else ()),
        *_of_consumers(counts.consumers),
        *_of_process(snapshot, release),
    ]


def _of_gateway(snapshot: Snapshot, release: Release, counts: Counts) -> Iterator[Family]:
    yield Family("headworks_build", Kind.INFO, "The release that runs.", (Sample(1, (("version", release.version),)),))
    yield _gauge("headworks_ready", "Whether the gateway has started and takes in devices.", int(snapshot.ready))
    healthy = tuple(Sample(int(status.ok), (("part", part),)) for part, status in sorted(snapshot.statuses.items()))
    yield Family("headworks_part_healthy", Kind.GAUGE, "Whether a part says that it is well.", healthy)
    yield _gauge("headworks_devices", "Devices that are registered.", counts.devices)
    yield _gauge("headworks_devices_connected", "Devices that are connected.", counts.connected)
    yield _gauge("headworks_alerts_firing", "Alerts that are open.", counts.firing)
    yield _gauge("headworks_notices_waiting", "Notices that wait to be sent.", snapshot.waiting_notices)


def _of_parts(snapshot: Snapshot) -> Iterator[Family]:
    for detail in _DETAILS:
        status = snapshot.statuses.get(detail.part)
        value = status.details.get(detail.key) if status is not None else None
        if isinstance(value, int | float):
            yield Family(detail.name, detail.kind, detail.told, (Sample(value),))
    broker = snapshot.statuses.get("broker")
    refused = sorted(broker.details.items()) if broker is not None else ()
    yield Family(
        "headworks_broker_refused",
        Kind.COUNTER,
        "What was refused to MQTT clients.",
        tuple(
            Sample(value, (("reason", key.removeprefix(REFUSED_PREFIX)),))
            for key, value in refused
            if key.startswith(REFUSED_PREFIX) and isinstance(value, int)
        ),
    )


def _of_ingestion(snapshot: Snapshot) -> Iterator[Family]:
    yield _gauge(
        "headworks_ingestion_lag_seconds",
        "Now minus the arrival of the oldest message that is not committed; 0 when none waits.",
        snapshot.lag_ms / SECOND_MS,
    )
    yield Family(
        "headworks_ingestion_stage_seconds",
        Kind.HISTOGRAM,
        "How long messages took to be decided since they were received, committed since they were decided, "
        "acknowledged since they were committed.",
        tuple(Buckets(histogram, (("stage", stage.value),)) for stage, histogram in snapshot.stages.each.items()),
    )
    yield Family(
        "headworks_ingestion_acknowledgement_seconds",
        Kind.HISTOGRAM,
        "How long messages took from being received to being acknowledged.",
        (Buckets(snapshot.stages.whole),),
    )
    yield Family(
        "headworks_ingestion_store_seconds",
        Kind.HISTOGRAM,
        "How long messages took from being received to being on the disk.",
        (Buckets(snapshot.stages.stored),),
    )
    yield Family(
        "headworks_ingestion_event_age_seconds",
        Kind.HISTOGRAM,
        "How old reports were when they were committed, by the moments of devices whose clock is believed.",
        (Buckets(snapshot.stages.age),),
    )


def _of_disk(usage: Usage) -> Iterator[Family]:
    held = {
        "open_days": usage.open_bytes,
        "sealed_days": usage.sealed_bytes,
        "rollups": usage.rollup_bytes,
        "database": usage.database_bytes,
        "reserve": usage.reserve_bytes,
        "journal": usage.journal_bytes,
        "other": usage.other_bytes,
    }
    yield Family(
        "headworks_storage_bytes",
        Kind.GAUGE,
        "What takes room in the data folder.",
        tuple(Sample(size, (("held", name),)) for name, size in held.items()),
    )
    yield _gauge(
        "headworks_storage_log_bytes",
        "The event log, a part of the database: what was received and is in no day file yet.",
        usage.log_bytes,
    )
    yield _gauge("headworks_storage_budget_bytes", "What the data folder may take.", usage.budget_bytes)
    yield _gauge(
        "headworks_storage_time_left_seconds",
        "Until the budget is used up and the oldest day goes, as in the last week; +Inf when that will not be.",
        math.inf if usage.days_left is None else usage.days_left * (DAY_MS // SECOND_MS),
    )
    yield _gauge("headworks_disk_size_bytes", "The disk of the data folder.", usage.disk_bytes)


def _of_consumers(consumers: Iterable[ConsumerLag]) -> Iterator[Family]:
    named = sorted(consumers, key=lambda consumer: (-consumer.lag_ms, consumer.name))[:CONSUMERS_LIMIT]
    told = {
        "headworks_consumer_lag_seconds": ("How long ago what it has not taken was committed.", "lag_ms", SECOND_MS),
        "headworks_consumer_lag_reports": ("Reports of the event log that it has not taken.", "report_count", 1),
        "headworks_consumer_lag_bytes": ("Bytes of the event log that it has not taken.", "size_bytes", 1),
    }
    for name, (sentence, field, parts) in told.items():
        samples = tuple(
            Sample(getattr(consumer, field) / parts if parts > 1 else getattr(consumer, field), _of(consumer))
            for consumer in named
        )
        yield Family(name, Kind.GAUGE, f"Of a consumer of the event log: {sentence[0].lower()}{sentence[1:]}", samples)


def _of(consumer: ConsumerLag) -> tuple[tuple[str, str]]:
    return (("consumer", consumer.name),)


def _of_process(snapshot: Snapshot, release: Release) -> Iterator[Family]:
    process = snapshot.process
    yield Family(
        "process_cpu_seconds",
        Kind.COUNTER,
        "CPU time that the process took, user and system.",
        (Sample(process.cpu_s),),
    )
    for name, told, value in (
        ("process_resident_memory_bytes", "Memory of the process.", process.resident_bytes),
        ("process_virtual_memory_bytes", "Address space of the process.", process.virtual_bytes),
        ("process_open_fds", "File descriptors that are open.", process.open_files),
    ):
        if value is not None:
            yield _gauge(name, told, value)
    limit = math.inf if process.open_files_limit is None else process.open_files_limit
    yield _gauge("process_max_fds", "File descriptors that may be open.", limit)
    yield _gauge(
        "process_start_time_seconds", "When the process began, since 1970 in UTC.", release.started_at / SECOND_MS
    )
    yield Family(
        "headworks_event_loop_lag_seconds",
        Kind.HISTOGRAM,
        "How late the event loop came to what was due, looked at four times a second.",
        (Buckets(snapshot.loop_lag),),
    )


def _gauge(name: str, told: str, value: float) -> Family:
    return Family(name, Kind.GAUGE, told, (Sample(value),))
