"""Topics and client identifiers relative to their device: most hold its name, so it is not stored again.

A relative name is `T` + what stands before the device's name + NUL + what stands after it, or `L` + the name
itself where it does not hold the device's name.
"""

from collections.abc import Sequence
from functools import lru_cache

from appliance.telemetry.packing import ChunkError

_SELF = "T\0"
"""The device's own name."""


def relative(name: str, device_id: str) -> str:
    """A topic or client identifier with the device's name taken out of it."""
    if name == device_id and name:
        return _SELF
    before, found, after = name.partition(device_id) if device_id else (name, "", "")
    return _around(before, after) if found and "\0" not in before else f"L{name}"


def absolute(relative_name: str, device_id: str) -> str:
    """What `relative` was given. Raises `ChunkError` when it cannot have given this."""
    before, found, after = _parsed(relative_name)
    return f"{before}{device_id}{after}" if found else before


def relative_all(names: Sequence[str], device_ids: Sequence[str]) -> list[str]:
    """The same for many; quick when all are formed alike, as they mostly are."""
    if not names:
        return []
    first = relative(names[0], device_ids[0])
    if absolute_all([first] * len(names), device_ids) == names:
        return [first] * len(names)
    return list(map(relative, names, device_ids))


def absolute_all(relative_names: Sequence[str], device_ids: Sequence[str]) -> list[str]:
    """What `relative_all` was given. Raises `ChunkError` when it cannot have given this."""
    if len(set(relative_names)) != 1:
        return list(map(absolute, relative_names, device_ids))
    before, found, after = _parsed(relative_names[0])
    if not found:
        return [before] * len(device_ids)
    if not before and not after:
        return list(device_ids)
    return [f"{before}{device_id}{after}" for device_id in device_ids]


@lru_cache(maxsize=32)
def _around(before: str, after: str) -> str:
    """What stands around the device's name. The same few are compared with each other all the time: as one object."""
    return f"T{before}\0{after}"


@lru_cache(maxsize=32)
def _parsed(relative_name: str) -> tuple[str, bool, str]:
    """What stands before the device's name, whether the name is there, and what stands after it."""
    kind, rest = relative_name[:1], relative_name[1:]
    if kind == "L":
        return rest, False, ""
    before, found, after = rest.partition("\0")
    if kind != "T" or not found:
        raise ChunkError(f"a name of kind {kind!r} is not known")
    return before, True, after
