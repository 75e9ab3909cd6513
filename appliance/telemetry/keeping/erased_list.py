"""The list of what was ever erased, beside the day files: what is put back from a backup does not bring it back.

Rules:
- It is only ever added to, a line for each device that was erased: a checksum, and what gateway.db knows of it.
- What of a line cannot be read costs that line and nothing else.
- A line that lacks nothing but its end counts: what was read once is read ever after.
"""

import os
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from appliance.telemetry.keeping import sealed_day
from appliance.telemetry.keeping.model import Listed

NAME = "erased.list"

Device = tuple[int, str]
"""Tenant and device."""


class Found(NamedTuple):
    """What the list says."""

    reach: Mapping[Device, Listed]
    """By device: the last that was erased of it."""
    damages: tuple[str, ...]


def read(folder: Path) -> Found:
    """What was erased, from the list in the folder of day files."""
    path = folder / NAME
    lines = path.read_bytes().split(b"\n") if path.exists() else []
    reach: dict[Device, Listed] = {}
    damages = []
    for number, line in enumerate(lines, 1):
        listed = _taken(line)
        if listed is not None:
            _add(reach, listed)
        elif number < len(lines):
            damages.append(f"{NAME} line {number} was damaged: it says what was erased")
    return Found(reach, tuple(damages))


def append(folder: Path, erased: Iterable[Listed]) -> None:
    """Add to the list; it is on the disk when this returns. Raises `OSError` when the disk does not take it."""
    path = folder / NAME
    is_new = not path.exists()
    added = b"".join(map(_line, erased))
    with path.open("ab+") as file:
        file.seek(0)
        content = file.read()
        whole = content.rfind(b"\n") + 1
        if _taken(content[whole:]) is None:
            # What a power cut, or a full disk, left of a line: nobody was told that it is there.
            file.truncate(whole)
        else:
            file.write(b"\n")
        file.write(added)
        file.flush()
        os.fsync(file.fileno())
    if is_new:
        sealed_day.sync(folder)


def newest(erased: Iterable[Listed]) -> dict[Device, Listed]:
    """By device: the last that was erased of it."""
    reach: dict[Device, Listed] = {}
    for each in erased:
        _add(reach, each)
    return reach


def beyond(erased: Mapping[Device, Listed], known: Mapping[Device, Listed]) -> list[Listed]:
    """What was erased that is not known yet."""
    return [
        each
        for device, each in erased.items()
        if device not in known or known[device].through_log_id < each.through_log_id
    ]


def _add(reach: dict[Device, Listed], listed: Listed) -> None:
    device = listed.tenant_id, listed.device_id
    before = reach.get(device)
    if before is None or before.through_log_id <= listed.through_log_id:
        reach[device] = listed


def _line(listed: Listed) -> bytes:
    said = msgspec.json.encode(listed)
    return f"{zlib.crc32(said):08x} ".encode() + said + b"\n"


def _taken(line: bytes) -> Listed | None:
    check, _, said = line.partition(b" ")
    if check != f"{zlib.crc32(said):08x}".encode():
        return None
    try:
        return msgspec.json.decode(said, type=Listed)
    except msgspec.MsgspecError:
        return None
