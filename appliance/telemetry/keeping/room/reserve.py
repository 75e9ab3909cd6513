"""What is to be done about the room that is left, and the file that is given up first."""

import os
from enum import Enum, auto
from pathlib import Path
from typing import NamedTuple

MEGABYTE = 1_000_000
GIGABYTE = 1_000 * MEGABYTE
LEAST_BYTES = MEGABYTE
"""With less than this, SQLite cannot even put aside what it is about to change."""
PATIENCE_MS = 60_000
"""A file system may give room back only a while after a file is gone; or others take it at once."""
LEAST_BLOCK_BYTES = 4_096
"""SQLite maps the index of its log, and takes room for it by one byte in each so many: of smaller blocks most are
missing, and to touch one of them on a full disk ends the process."""


class Disk(NamedTuple):
    """How it stands with the room."""

    free_bytes: int
    total_bytes: int
    reserve_bytes: int
    """What the reserve file takes; 0 when there is none."""
    block_bytes: int = LEAST_BLOCK_BYTES
    """What the file system gives out at once."""


class Dropped(NamedTuple):
    """A day that went because the disk was full."""

    free_bytes: int
    """Before it went."""
    freed_bytes: int
    at_ms: int
    """By a clock that nobody sets."""


class Step(Enum):
    """What is to be done."""

    NOTHING = auto()
    GIVE_UP_RESERVE = auto()
    DROP_OLDEST = auto()
    MAKE_RESERVE = auto()
    WAIT = auto()
    """The disk is full, and only a person can help."""


def low_bytes(reserve_bytes: int) -> int:
    """The room below which the disk counts as full: a quarter of the reserve that is asked for."""
    return max(LEAST_BYTES, reserve_bytes // 4)


def next_step(disk: Disk, asked_bytes: int, *, may_drop: bool) -> Step:
    """What is to be done, with a reserve of so many bytes asked for. Asked again until it is nothing."""
    low = low_bytes(asked_bytes)
    if disk.free_bytes < low:
        if disk.reserve_bytes:
            return Step.GIVE_UP_RESERVE
        return Step.DROP_OLDEST if may_drop else Step.WAIT
    if disk.reserve_bytes < asked_bytes and disk.free_bytes - asked_bytes >= 2 * low:
        return Step.MAKE_RESERVE
    if disk.reserve_bytes > 0 and not asked_bytes:
        return Step.GIVE_UP_RESERVE
    return Step.NOTHING


def may_drop_again(last: Dropped | None, disk: Disk, uptime_ms: int) -> bool:
    """Whether the day that went last has been seen to help; if not, none follows it for a while."""
    if last is None or disk.free_bytes >= last.free_bytes + last.freed_bytes // 2:
        return True
    return uptime_ms - last.at_ms >= PATIENCE_MS


def make(path: Path, size: int) -> None:
    """Take room that is really there, and put it on the disk. Raises `OSError` when there is not enough."""
    with path.open("wb") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, size)
            os.fsync(file.fileno())
        except OSError:
            path.unlink()
            raise


def look(folder: Path, path: Path) -> Disk:
    """How it stands with the room of a folder whose reserve lies at this path."""
    room = os.statvfs(folder)
    reserve = path.stat().st_blocks * 512 if path.exists() else 0
    return Disk(room.f_bavail * room.f_frsize, room.f_blocks * room.f_frsize, reserve, room.f_frsize)
