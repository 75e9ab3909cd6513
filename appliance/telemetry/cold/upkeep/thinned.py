"""Of which files of the cold tier what is too old was taken out, beside them on the disk.

To look again may mean to fetch each file that only the bucket has, so a start must know. What was taken out is known by
a mark of the devices, and only for as long as the file is the same.
"""

import contextlib
import os
from collections.abc import Container
from pathlib import Path
from typing import NamedTuple

import msgspec

from appliance.telemetry.keeping import sealed_day

NAME = "_thinned.json"
"""Readers of whole folders pass over names that begin like this."""

_UNFINISHED = NAME + ".tmp"


class Thinned(NamedTuple):
    """A file that has nothing of some devices."""

    sha256: str
    mark: str
    """Of the devices."""


def read(folder: Path) -> dict[int, Thinned]:
    """By day: what was written down; nothing when that cannot be read, and then each file is looked at again."""
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        return msgspec.json.decode((folder / NAME).read_bytes(), type=dict[int, Thinned])
    return {}


def write(folder: Path, thinned: dict[int, Thinned], days: Container[int]) -> None:
    """Write it down, but for days that are not any more. Raises `OSError` when the disk does not take it."""
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / _UNFINISHED
    with unfinished.open("wb") as file:
        file.write(msgspec.json.encode({day: each for day, each in thinned.items() if day in days}))
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(folder / NAME)
    sealed_day.sync(folder)
