"""What goes into day files and comes out of them, and where in an open one it lies.

A chunk's key is the ten minutes of its day in which it begins, then its device, then a number: chunks are
sealed in that order, so a day file grows at its end, and late chunks find room beside the first ones.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from appliance.instant import DAY_MS, day_of, from_text
from appliance.telemetry.packing import ChunkError

SLOT_MS = 600_000
SLOT_SHIFT = 52
DEVICE_SHIFT = 24
NUMBER_MASK = (1 << DEVICE_SHIFT) - 1
DEVICE_MASK = (1 << SLOT_SHIFT - DEVICE_SHIFT) - 1


class SealedChunk(NamedTuple):
    """One chunk on its way into a day file."""

    report_count: int
    first_at: int
    last_at: int
    blob: bytes


class StoredChunk(NamedTuple):
    """One chunk out of a day file."""

    chunk_id: int
    blob: bytes


class DamagedDayError(ChunkError):
    """A part of a day cannot be read; `chunks` is what the other part has."""

    def __init__(self, message: str, chunks: Sequence[StoredChunk]) -> None:
        super().__init__(message)
        self.chunks = list(chunks)


class SealedDevice(NamedTuple):
    """What is sealed of one device in one transaction."""

    tenant_id: int
    device_id: str
    last_log_id: int
    """Whatever the log holds of this device and day up to here is in chunks of this day file."""
    latest_log_id: int
    """The newest log record when `latest` was taken."""
    last_seen_at: int
    latest: bytes
    """A log record with the newest reading of each metric."""
    chunks: Sequence[SealedChunk]


class DayDevice(NamedTuple):
    """What a day file says of one device."""

    tenant_id: int
    device_id: str
    last_log_id: int
    latest_log_id: int
    last_seen_at: int
    latest: bytes


def day_number(path: Path) -> int:
    """The day of a day file: whole UTC days since 1970. Raises `ValueError` for any other file."""
    return from_text(path.stem) // DAY_MS


def is_day(path: Path) -> bool:
    """Whether a file is named for a day: a folder may hold others that somebody put there."""
    try:
        return day_of(day_number(path) * DAY_MS) == path.stem
    except ValueError:
        return False


def key_of(slot: int, device_number: int) -> int:
    """The first key of the chunks of a device that begin in ten minutes of the day."""
    return slot << SLOT_SHIFT | device_number << DEVICE_SHIFT
