"""Where the Parquet files of a data folder lie, and which sealed day they can be made of."""

import contextlib
import hashlib
import io
import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from appliance.instant import DAY_MS, day_of, from_text
from appliance.telemetry.keeping import sealed_day
from appliance.telemetry.packing import ChunkError

NAME = "part.parquet"
FOLDER = "day="
UNFINISHED = ".tmp"

_ASIDE = re.compile(r"_damaged-(\d+)-\d+\.parquet")
"""Readers of whole folders pass over names that begin like this. The number is that of the newest erasing."""

_ORIGIN = re.compile(rb'headworks\.origin\x18[\x80-\xff]*[\x00-\x7f]\["[^"]*", (\d{1,18}), \d+\]')
"""What the end of a file says of itself, as it stands there: between name and value are a mark and a length."""
_END_BYTES = 1 << 16
"""It stands behind what the end says of each part, which may be long."""


class Aside(NamedTuple):
    """A file that was damaged, kept beside the one that was written instead."""

    day: int
    erasure_number: int
    """Every erasing up to this one had been seen to in it."""
    path: Path


def path_of(folder: Path, day: int) -> Path:
    """The file of a day, counted since 1970, whether or not it is there."""
    return folder / f"{FOLDER}{day_of(day * DAY_MS)}" / NAME


def key_of(day: int) -> str:
    """The end of the name of a day's object in a bucket."""
    return f"{FOLDER}{day_of(day * DAY_MS)}/{NAME}"


def days_in(folder: Path) -> dict[int, int]:
    """The days that have a file, and how many bytes it has."""
    found = {}
    for path in folder.glob(f"{FOLDER}????-??-??/{NAME}"):
        day = _day(path.parent)
        # It may go while it is looked at; and people make folders of their own.
        with contextlib.suppress(FileNotFoundError):
            if day is not None:
                found[day] = path.stat().st_size
    return found


def set_aside(path: Path, erasure_number: int) -> Path:
    """Keep a damaged file under another name beside its place, and give that name."""
    names = (path.with_name(f"_damaged-{erasure_number}-{count}.parquet") for count in itertools.count(1))
    target = next(name for name in names if not name.exists())
    path.rename(target)
    sealed_day.sync(path.parent)
    return target


def aside(folder: Path) -> list[Aside]:
    """What was set aside of any day, the oldest first."""
    found = []
    for path in sorted(folder.glob(f"{FOLDER}????-??-??/_damaged-*.parquet")):
        day, name = _day(path.parent), _ASIDE.fullmatch(path.name)
        if day is not None and name is not None:
            found.append(Aside(day, int(name[1]), path))
    return found


def unfinished(path: Path) -> Path:
    """Where a file is written until it is whole: no other process writes there."""
    return path.with_name(f"{path.name}.{os.getpid()}{UNFINISHED}")


def made_room(path: Path) -> Path:
    """The folder of a file, made and put on the disk if it is not there yet; gives the path of what is written."""
    for folder in (path.parent.parent, path.parent):
        if not folder.exists():
            folder.mkdir()
            sealed_day.sync(folder.parent)
    return unfinished(path)


def remove(path: Path) -> None:
    """Remove a file, and its folder when nothing else is in it."""
    path.unlink(missing_ok=True)
    if path.parent.exists() and not any(path.parent.iterdir()):
        path.parent.rmdir()
        sealed_day.sync(path.parent.parent)


def remove_leftovers(folder: Path) -> None:
    """Remove what a writing that was broken off has left behind."""
    for path in folder.glob(f"{FOLDER}*/{NAME}.*{UNFINISHED}"):
        path.unlink()


def sha256_of(path: Path) -> str:
    """The checksum of a file, in hexadecimal digits. Raises `OSError` when it is not there."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def erasure_number_in(path: Path) -> int:
    """The newest erasing that a file says was seen to, without a look at the rest; 0 when it says nothing that is read.

    It takes no library and next to no time: whoever may be about to erase something waits for it.
    """
    try:
        with path.open("rb") as file:
            file.seek(-min(_END_BYTES, file.seek(0, io.SEEK_END)), io.SEEK_END)
            found = _ORIGIN.findall(file.read())
    except OSError:
        return 0
    return int(found[-1]) if found else 0


class Sources:
    """The sealed days of a folder, and what tells each from the one before it and after it."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[tuple[int, int, int], str]] = {}

    def of(self, path: Path) -> str | None:
        """What the sealed day at a path is; None when there is none, or one that cannot be read."""
        try:
            return self.surely(path)
        except OSError:
            return None

    def surely(self, path: Path) -> str | None:
        """The same, but it raises `OSError` when the system does not let anybody see whether there is one."""
        try:
            found = path.stat()
        except FileNotFoundError:
            self._known.pop(path, None)
            return None
        mark = (found.st_ino, found.st_mtime_ns, found.st_size)
        known = self._known.get(path)
        if known is None or known[0] != mark:
            try:
                with sealed_day.opened(path) as day:
                    head = day.head
            except (ChunkError, FileNotFoundError):
                return None
            known = mark, f"{head.taken}-{head.body_bytes}-{head.foot_bytes}-{head.foot_check:08x}"
            self._known[path] = known
        return known[1]

    def all(self, folder: Path) -> Iterator[tuple[int, str]]:
        """Each sealed day of a folder that can be read, and what it is."""
        for path in folder.glob(f"????-??-??{sealed_day.SUFFIX}"):
            day, source = _day(path.with_suffix("")), self.of(path)
            if day is not None and source is not None:
                yield day, source


def _day(folder: Path) -> int | None:
    """The day of a folder, by its name; None when that is no day."""
    try:
        return from_text(folder.name.removeprefix(FOLDER)) // DAY_MS
    except ValueError:
        return None
