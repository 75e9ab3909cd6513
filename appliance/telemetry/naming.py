"""Topics and client identifiers relative to their device: most hold its name, so it is not stored again.

A relative name is `T` + what stands before the device's name + NUL + what stands after it, or `L` + the name
itself where it does not hold the device's name.
"""

from appliance.telemetry.packing import ChunkError


def relative(name: str, device_id: str) -> str:
    """A topic or client identifier with the device's name taken out of it."""
    before, found, after = name.partition(device_id) if device_id else (name, "", "")
    return f"T{before}\0{after}" if found and "\0" not in before else f"L{name}"


def absolute(relative_name: str, device_id: str) -> str:
    """What `relative` was given. Raises `ChunkError` when it cannot have given this."""
    kind, rest = relative_name[:1], relative_name[1:]
    if kind == "L":
        return rest
    before, found, after = rest.partition("\0")
    if kind != "T" or not found:
        raise ChunkError(f"a name of kind {kind!r} is not known")
    return f"{before}{device_id}{after}"
