"""The nouns of roll-ups."""

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

from appliance.telemetry.packing import ChunkError
from appliance.telemetry.rollups.stale import Device

Reader = Callable[[Path], AbstractContextManager[Any]]
"""Gives a connection to a file, for one question."""


DeviceDay = tuple[str, int]
"""A device and a day, counted since 1970."""

PackedRow = tuple[str, int, int, bytes]
"""Device, day since 1970, where the row lies, and the row: all hours of the day, or those of one metric."""


class DamagedRollUpsError(ChunkError):
    """A file of roll-ups cannot be used any more."""


class HourRow(NamedTuple):
    """The roll-up of one device's hour, counted since 1970, on its way into its file."""

    tenant_id: int
    device_id: str
    hour: int
    reading_count: int
    record: bytes
    """Empty when the hour was found to have no readings."""
    is_certain: bool
    """Every chunk of the device and day that reaches into the hour could be read."""


class Progress(NamedTuple):
    """How far a day is rolled up."""

    day: int
    last_log_id: int
    """Every chunk of the day whose last log id is not greater is in the roll-ups."""
    is_whole: bool
    """The roll-ups of the day were computed for every device."""
    is_closed: bool
    """Nothing is computed for the day any more: its readings were let go."""
    is_packed: bool
    """Hours of the day are packed; when it is whole too, all of them are."""


class MonthFile(NamedTuple):
    """The file of a month, to be read."""

    path: Path
    reader: Reader
    is_whole: bool
    """Each of its pages was looked at since the start; else each answer looks for pages that are not in their place."""


class Wanted(NamedTuple):
    """Of what roll-ups are asked for."""

    tenant_id: int
    device_ids: Sequence[str]
    metrics: Collection[str]
    """None named is all of them."""


class Stored(NamedTuple):
    """Roll-ups out of a file, with the days of which they are all there is."""

    progress: dict[int, Progress]
    records: list[tuple[str, int, bytes]]
    """Device, hour or day since 1970, and the roll-up."""
    packed: list[PackedRow]
    """Those of a device's day stand side by side."""


class Found(NamedTuple):
    """What the chunks of one device and day came to."""

    device: Device
    rows: list[HourRow]
    left: set[int]
    """Hours that are not to be rolled up yet."""
    log_id: int
