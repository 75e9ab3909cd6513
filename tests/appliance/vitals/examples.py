"""A gateway at one moment, as the tests of its figures make it."""

import msgspec

from appliance.health import Status
from appliance.histogram import MICROSECONDS_PER_S, Histogram
from appliance.ingestion.stages import Stage, Stages
from appliance.telemetry.keeping.room.model import Usage
from appliance.vitals.model import ConsumerLag, Counts, ProcessUse, Release, Snapshot

NOW = 1_800_000_000_000
RELEASE = Release("1.2.3", NOW - 60_000)
CONSUMERS = (ConsumerLag("uplink", 5, 600, 7_000), ConsumerLag('odd"\\\nname', 0, 0, 0))
COUNTS = Counts(devices=20, connected=19, firing=1, consumers=CONSUMERS)
USAGE = Usage(
    day_count=2,
    oldest_day=20_000,
    newest_day=20_001,
    open_bytes=1,
    sealed_bytes=2,
    rollup_bytes=3,
    log_bytes=4,
    database_bytes=50,
    reserve_bytes=6,
    journal_bytes=8,
    other_bytes=7,
    used_bytes=77,
    budget_bytes=100,
    staying_bytes=10,
    free_bytes=1_000,
    disk_bytes=2_000,
    growth_bytes=1,
    days_left=31,
    notices=(),
    damages=(),
    erasing=(),
)
STATUSES = {
    "broker": Status(
        ok=True,
        summary="",
        details={
            "connections": 7,
            "sessions": 8,
            "retained_messages": 9,
            "queued_bytes": 10,
            "accepted_messages": 11,
            "delivered_messages": 12,
            "dropped_messages": 13,
            "unretained_messages": 14,
            "refused_publish_denied": 15,
            "refused_connect_denied": 16,
        },
    ),
    "ingestion": Status(ok=True, summary="", details={"committed_messages": 17, "backlog_messages": 18}),
    "telemetry": Status(ok=False, summary="", details={"open_chunks": 19, "reports_in_memory": 20, "damaged": 21}),
    "stream": Status(ok=True, summary="", details={"consumers": 24, "lag_ms": 7_000}),
    "commands": Status(ok=True, summary="", details={"in_flight": 28, "waiting_devices": 29, "set_aside": 30}),
    "jobs": Status(ok=True, summary="", details={"jobs": 25, "stuck": 26, "throttled_requests": 27, "set_aside": 31}),
    "room": Status(ok=True, summary="", details={"free_bytes": 22}),
    "notifications": Status(ok=True, summary="", details={"sent_count": 23}),
}


def snapshot(**changed: object) -> Snapshot:
    stages, loop_lag = Stages(), Histogram()
    for length_us in (50, 5_000, 500_000_000):
        stages.whole.observe(length_us)
        loop_lag.observe(length_us)
    stages.stored.observe(3_000_000)
    for stage, length_us in zip(Stage, (90_000, 5_000, 200), strict=True):
        stages.each[stage].observe(length_us)
    stages.age.observe(7_200 * MICROSECONDS_PER_S)
    made = Snapshot(
        now=NOW,
        ready=True,
        statuses=STATUSES,
        lag_ms=1_500,
        stages=stages,
        recent=stages,
        loop_lag=loop_lag,
        worst_loop_lag_us=250_000,
        usage=USAGE,
        process=ProcessUse(12.5, 1_000, 2_000, 30, 1_024),
        cpu_ratio=0.25,
        waiting_notices=3,
    )
    return msgspec.structs.replace(made, **changed)
