"""What goes into day files and comes out of them, and where in an open one it lies.

A chunk's key is a turn, then its device, then a number. Devices are sealed one after the other, in the same order
every time: a turn ends when they begin anew, so a day file grows at its end.
"""

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from appliance.instant import DAY_MS, day_of, from_text
from appliance.telemetry.packing import ChunkError

TURN_SHIFT = 52
TURNS_LIMIT = 2_048
"""So many turns there are at most; one takes at least a minute."""
TURN_MS = 60_000
RANK_BITS = 32
DEVICE_SHIFT = 24
LOG_IDS_LIMIT = 1 << 48
"""No log comes as far: what a day file says of a log id beyond it was damaged."""
NUMBER_MASK = (1 << DEVICE_SHIFT) - 1
DEVICE_MASK = (1 << TURN_SHIFT - DEVICE_SHIFT) - 1


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
    latest: bytes | None
    """A log record with the newest reading of each metric; None when they are the last report of the last chunk."""
    chunks: Sequence[SealedChunk]


class DayDevice(NamedTuple):
    """What a day file says of one device."""

    tenant_id: int
    device_id: str
    last_log_id: int
    latest_log_id: int
    last_seen_at: int
    latest: bytes
    """A log record with the newest reading of each metric, or the chunk whose last report they are."""

    @property
    def newest_log_id(self) -> int:
        """The newest log id in its chunks; where damage keeps that from being told, one that is no older."""
        return self.last_log_id or self.latest_log_id


def day_number(path: Path) -> int:
    """The day of a day file: whole UTC days since 1970. Raises `ValueError` for any other file."""
    return from_text(path.stem) // DAY_MS


def is_day(path: Path) -> bool:
    """Whether a file is named for a day: a folder may hold others that somebody put there."""
    try:
        return day_of(day_number(path) * DAY_MS) == path.stem
    except ValueError:
        return False


def rank_of(device_id: str) -> int:
    """A number drawn from the name of a device: devices are sealed in the order of these."""
    return zlib.crc32(device_id.encode("utf-8", "surrogatepass"))


def is_device_number(number: int) -> bool:
    """Whether a device may have this number in a day file: the key of a chunk has no room for another."""
    return 0 < number <= DEVICE_MASK


def key_of(turn: int, device_number: int) -> int:
    """The first key of the chunks of a device that were sealed in a turn."""
    return turn << TURN_SHIFT | device_number << DEVICE_SHIFT


def turn_of(chunk_id: int) -> int:
    """The turn in which a chunk was sealed."""
    return chunk_id >> TURN_SHIFT
