"""What is known of the files of the cold tier, beside them on the disk, day by day.

Each is only for the file that it names: of another one it says nothing. What cannot be read is found out again.
"""

import contextlib
import os
from collections.abc import Container, Mapping
from pathlib import Path
from typing import TypeVar

import msgspec

from appliance.telemetry.keeping import sealed_day

T = TypeVar("T")


def read(path: Path, kind: type[T]) -> dict[int, T]:
    """By day: what was written down; nothing when that cannot be read."""
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        return msgspec.json.decode(path.read_bytes(), type=dict[int, kind])  # type: ignore[valid-type]
    return {}


def write(path: Path, known: Mapping[int, object], days: Container[int]) -> None:
    """Write it down, but for days that are not any more. Raises `OSError` when the disk does not take it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.tmp")
    with unfinished.open("wb") as file:
        file.write(msgspec.json.encode({day: each for day, each in known.items() if day in days}))
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
    sealed_day.sync(path.parent)
