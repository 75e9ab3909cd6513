"""Of which files of the cold tier what is too old was taken out, beside them on the disk.

To look again may mean to fetch each file that only the bucket has, so a start must know. What was taken out is known by
a mark of the devices, and only for as long as the file is the same.
"""

from collections.abc import Container
from pathlib import Path
from typing import NamedTuple

from appliance.telemetry.cold.shelf import beside

NAME = "_thinned.json"
"""Readers of whole folders pass over names that begin like this."""


class Thinned(NamedTuple):
    """A file that has nothing of some devices."""

    sha256: str
    mark: str
    """Of the devices."""


def read(folder: Path) -> dict[int, Thinned]:
    """By day: what was written down; nothing when that cannot be read, and then each file is looked at again."""
    return beside.read(folder / NAME, Thinned)


def write(folder: Path, thinned: dict[int, Thinned], days: Container[int]) -> None:
    """Write it down, but for days that are not any more. Raises `OSError` when the disk does not take it."""
    beside.write(folder / NAME, thinned, days)
