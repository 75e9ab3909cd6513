"""The files of a day: what they take, how one takes the place of another, and how they go.

Whatever is removed or renamed is on the disk when a function here returns: a power cut brings nothing back.
"""

import itertools
import os
from collections.abc import Sequence
from pathlib import Path

from appliance.telemetry.keeping import sealed_day
from appliance.telemetry.keeping.plan import DayUse

COMPANIONS = ("", "-wal", "-shm")
"""What stands behind the name of a database, of its log, and of the index of that log."""

_ASIDE = ".damaged-"


def use(day: int, path: Path, aside: Sequence[Path]) -> DayUse:
    """What a day takes on the disk, with what was set aside of it.

    That counts as sealed: nothing is written to it any more.
    """
    wal = path.with_name(path.name + "-wal")
    sealed = [sealed_day.sealed_path(path), *_with_companions(aside)]
    changed_at = max(_changed_at(path), _changed_at(wal))
    return DayUse(day, _room(path) + _room(wal), sum(map(_room, sealed)), changed_at)


def length(path: Path) -> int:
    """How many bytes there are of a day, both parts and the log of the open one."""
    parts = (path, path.with_name(path.name + "-wal"), sealed_day.sealed_path(path))
    return sum(part.stat().st_size for part in parts if part.exists())


def free_bytes(folder: Path) -> int:
    """What is free on the disk of a folder."""
    room = os.statvfs(folder)
    return room.f_bavail * room.f_frsize


def settle_sealed(path: Path, unfinished: Path | None) -> None:
    """Let the sealed part that was written take its place; with None nothing is left of it."""
    target = sealed_day.sealed_path(path)
    if unfinished is None:
        target.unlink(missing_ok=True)
        sealed_day.sync(path.parent)
    else:
        sealed_day.settle(unfinished, target)


def settle(path: Path, unfinished: Path | None) -> None:
    """Let the day that was written take the place of both parts that it was written from."""
    settle_sealed(path, unfinished)
    remove_open_day(path)


def settle_saved(path: Path, unfinished: Path | None, damaged: Sequence[Path]) -> list[Path]:
    """Let what was saved of a day take its place, and keep its damaged parts under other names. Gives those."""
    aside = [_free_name(part) for part in damaged]
    for part, name in zip(damaged, aside, strict=True):
        # Both names at first: after a power cut in between it lies there twice, and never nowhere.
        name.hardlink_to(part)
    settle(path, unfinished)
    return aside


def remove_open_day(path: Path) -> None:
    """Remove the open part of a day. Nobody may have it open."""
    _remove(path)


def drop(path: Path) -> int:
    """Remove a day and what was set aside of it, and give how many bytes that freed."""
    aside = set_aside(path.parent, path.stem)
    freed = use(0, path, aside).total_bytes
    sealed_day.sealed_path(path).unlink(missing_ok=True)
    for each in aside:
        _remove(each)
    remove_open_day(path)
    return freed


def set_aside(folder: Path, stem: str = "*") -> list[Path]:
    """The files of a folder that were damaged and set aside: those of one day or month, or all."""
    found = folder.glob(f"{stem}.*{_ASIDE}*")
    return sorted(path for path in found if not path.name.endswith(COMPANIONS[1:]))


def remove_set_aside(path: Path) -> None:
    """Remove a file that was set aside, with its companions."""
    _remove(path)


def stem_of(aside: Path) -> str:
    """The day or month of a file that was set aside."""
    return aside.name.partition(".")[0]


def _free_name(path: Path) -> Path:
    names = (path.with_name(f"{path.name}{_ASIDE}{number}") for number in itertools.count(1))
    return next(name for name in names if not name.exists())


def _remove(path: Path) -> None:
    for companion in _with_companions([path]):
        companion.unlink(missing_ok=True)
    sealed_day.sync(path.parent)


def _with_companions(paths: Sequence[Path]) -> list[Path]:
    return [path.with_name(path.name + suffix) for path in paths for suffix in COMPANIONS]


def _room(path: Path) -> int:
    try:
        return path.stat().st_blocks * 512
    except FileNotFoundError:
        return 0


def _changed_at(path: Path) -> int:
    """When a file was written last, UTC milliseconds; 0 when there is none."""
    try:
        return path.stat().st_mtime_ns // 1_000_000
    except FileNotFoundError:
        return 0
