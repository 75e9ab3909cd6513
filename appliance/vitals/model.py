"""The nouns of the gateway's own figures."""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from appliance.health import Status
from appliance.histogram import Histogram
from appliance.ingestion.stages import Stages
from appliance.telemetry.keeping.room.model import Usage

Labels = tuple[tuple[str, str], ...]
"""Names and values."""


class Kind(StrEnum):
    """What may be done with a figure."""

    COUNTER = "counter"
    """It only grows, from 0 at the start of the process."""
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    INFO = "info"
    """Its labels say everything; its value is 1."""


class Sample(msgspec.Struct, frozen=True):
    """One value of a family."""

    value: float
    labels: Labels = ()


class Buckets(msgspec.Struct, frozen=True):
    """One histogram of a family."""

    histogram: Histogram
    labels: Labels = ()


class Family(msgspec.Struct, frozen=True):
    """Figures of one name that differ by their labels."""

    name: str
    """Without `_total`, `_info`, `_bucket`, which the kind adds; a unit is its last word."""
    kind: Kind
    told: str
    """What it is, in one line for people."""
    samples: tuple[Sample | Buckets, ...] = ()


class ConsumerLag(msgspec.Struct, frozen=True):
    """How far a consumer of the event log is behind what was committed."""

    name: str
    report_count: int
    size_bytes: int
    lag_ms: int
    """Now minus the commit of the oldest report that it has not taken; 0 when it has all."""


class ProcessUse(msgspec.Struct, frozen=True):
    """What the process takes of the machine."""

    cpu_s: float
    """Since its start, of all its threads, user and system."""
    resident_bytes: int | None
    """None while no file descriptor is left to ask with."""
    virtual_bytes: int | None
    """The same."""
    open_files: int | None
    """None while the whole machine has none left."""
    open_files_limit: int | None
    """None when there is none."""


class Release(msgspec.Struct, frozen=True):
    """What runs, and since when."""

    version: str
    started_at: int
    """UTC milliseconds."""


class Counts(msgspec.Struct, frozen=True):
    """What there is of one tenant."""

    devices: int
    connected: int
    firing: int
    consumers: tuple[ConsumerLag, ...] = ()
    """Of the event log."""


class Snapshot(msgspec.Struct, frozen=True):
    """The gateway at one moment."""

    now: int
    ready: bool
    statuses: Mapping[str, Status]
    """By part."""
    lag_ms: int
    """Now minus the arrival of the oldest message that is not committed."""
    stages: Stages
    """Since the start."""
    recent: Stages
    """Of the last minute or two."""
    loop_lag: Histogram
    """How late the event loop came to what was due."""
    worst_loop_lag_us: int
    """Since somebody looked last for alerts."""
    usage: Usage | None
    """Of the disk, not older than a minute or two; None before it was looked at."""
    process: ProcessUse
    cpu_ratio: float
    """The part of one core that the process took lately; above 1 with several."""
    waiting_notices: int
