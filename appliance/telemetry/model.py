"""The nouns of telemetry."""

from collections.abc import Mapping, Sequence
from enum import IntEnum

import msgspec

Value = float | int | bool | str | None
"""One reading's value. None means that the device said it has no value."""


class TimeSource(IntEnum):
    """Where the moment of a report comes from."""

    DEVICE = 0
    ARRIVAL_NO_CLOCK = 1
    """The device sent no moment, or one from before 2000: it has no clock."""
    ARRIVAL_CLOCK_AHEAD = 2
    """The device's moment lay too far in the future."""
    ARRIVAL_CLOCK_BEHIND = 3
    """The device's moment lay too far in the past."""


class Report(msgspec.Struct, frozen=True, gc=False):
    """The readings of one device at one moment, as one message brought them.

    The garbage collector need not look at it: nothing in it can refer back to it, and millions are made.
    """

    tenant_id: int
    device_id: str
    at: int
    arrived_at: int
    time_source: TimeSource
    topic: str
    client_id: str
    values: Mapping[str, Value]
    sequence: int | None = None


class ReportsCommitted(msgspec.Struct, frozen=True):
    """Event: reports of some tenants are on disk."""

    counts: Mapping[int, int]
    """How many of each."""


class Latest(msgspec.Struct, frozen=True, gc=False):
    """The newest reading of one metric of one device."""

    at: int
    value: Value
    time_source: TimeSource


class Series(msgspec.Struct, frozen=True):
    """Readings of one metric of one device, oldest first, in two columns of equal length, which nobody changes."""

    metric: str
    at: Sequence[int]
    values: Sequence[Value]
    truncated: bool
    """More readings lie in the range than the limit let through; the newest were kept."""
    sources: bytes | None = None
    """Where each moment comes from, as the number of a `TimeSource`; None when all are the device's own."""
