"""Settings as text: what is in force, written as a settings file, without secrets."""

import math
import re
from collections.abc import Mapping
from datetime import date, time
from typing import Any

import msgspec

OFF = "off"
"""What closes a port or lifts a limit: TOML has no null."""
HIDDEN = "(hidden)"
"""What stands for a secret where settings are printed."""
_NAMES_A_SECRET = re.compile(r"(?i)(?:pass|pwd|secret|token|key|credential|auth$)(?!.*_file$)")
_PASSWORD_OF_ADDRESS = re.compile(r"(?<=://)([^/@:]*):[^/]*(?=@)")


def section(name: str, settings: msgspec.Struct) -> list[str]:
    """The lines of a section and of those within it."""
    lines = [f"\n[{name}]"]
    inner: list[str] = []
    for key in settings.__struct_fields__:
        value = getattr(settings, key)
        if isinstance(value, msgspec.Struct):
            inner += section(f"{name}.{key}", value)
        elif isinstance(value, dict) and all(isinstance(each, dict) for each in value.values()):
            inner += _tables(f"{name}.{key}", value)
        else:
            lines.append(f"{key} = {_written(OFF if value is None else value)}")
    # What stands after the heading of a table would be the table's.
    return lines + inner


def _tables(name: str, options_of: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """One table of options each, whose secrets are hidden: plugins take them as they are, not as files."""
    lines = []
    for each, options in options_of.items():
        lines.append(f"\n[{name}.{_written(each)}]")
        lines += [f"{_written(key)} = {_written(_shown(key, value))}" for key, value in options.items()]
    return lines


def _shown(key: str, value: Any) -> Any:
    """What may be seen of an option."""
    if isinstance(value, str):
        return HIDDEN if _NAMES_A_SECRET.search(key) else _PASSWORD_OF_ADDRESS.sub(rf"\1:{HIDDEN}", value)
    if isinstance(value, dict):
        # Whatever stands below a name like this is one, too.
        is_secret = _NAMES_A_SECRET.search(key) is not None
        return {inner: HIDDEN if is_secret else _shown(inner, each) for inner, each in value.items()}
    if isinstance(value, list):
        return [_shown(key, each) for each in value]
    return value


def _written(value: Any) -> str:
    """Give a value as TOML."""
    match value:
        case dict():
            inside = ", ".join(f"{_written(key)} = {_written(each)}" for key, each in value.items())
            return f"{{{inside}}}"
        case list() | tuple():
            return f"[{','.join(map(_written, value))}]"
        case date() | time():
            return value.isoformat()
        case float() if not math.isfinite(value):
            return str(value)
        case _:
            return msgspec.json.encode(value).decode()
