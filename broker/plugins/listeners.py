"""Reads the `listeners` of an amqtt configuration, which are a dictionary by name.

As in amqtt, what a listener leaves at its default is taken from the one named `default`. What this
gateway does not have, or has on other terms, is refused in words rather than silently left out.
"""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

DEFAULT = "default"
HIGHEST_PORT = 65_535


class ListenerError(Exception):
    """A listener cannot be taken over; the message names it, its key and what was expected."""


class Kind(StrEnum):
    """What carries the bytes."""

    TCP = "tcp"
    WEBSOCKET = "ws"


_PORTS = {Kind.TCP: 1883, Kind.WEBSOCKET: 8883}
"""The ports of amqtt where a `bind` names none."""


class ListenerSettings(msgspec.Struct, frozen=True):
    """One listener."""

    name: str
    kind: Kind
    host: str
    """An address; empty for all."""
    port: int
    certificate: Path | None = None
    """The certificate chain, PEM; None without TLS."""
    key: Path | None = None
    trust: Path | None = None
    """Who signs certificates of clients, PEM. Where it is set this gateway requires one; amqtt only asks for it."""
    max_connections: int | None = None
    """None is no limit of its own."""


class _Raw(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    type: str | None = None
    bind: str | int | None = None
    max_connections: int | None = None
    ssl: bool | None = None
    certfile: str | None = None
    keyfile: str | None = None
    cafile: str | None = None


_UNSUPPORTED = {
    "capath": "put the certificates of the authorities into one file and name it as cafile",
    "cadata": "put the certificates of the authorities into one file and name it as cafile",
    "reader": "this gateway reads its sockets itself",
    "writer": "this gateway writes its sockets itself",
}


def listeners_of(config: Mapping[str, Any]) -> tuple[ListenerSettings, ...]:
    """Take over the listeners of an amqtt configuration, in its order; without any, amqtt's one of port 1883.

    Raises `ListenerError`.
    """
    entries = config.get("listeners")
    if entries is None:
        entries = {DEFAULT: {}}
    if not isinstance(entries, Mapping):
        raise ListenerError("listeners: expected a table of listeners by name")
    if DEFAULT not in entries:
        raise ListenerError(f"listeners: one must be named {DEFAULT!r}, as in amqtt")
    raws = {str(name): _read(str(name), entry) for name, entry in entries.items()}
    return tuple(_settings(name, _completed(raw, raws[DEFAULT])) for name, raw in raws.items())


def _read(name: str, entry: object) -> _Raw:
    if entry is None:
        entry = {}
    if not isinstance(entry, Mapping):
        raise ListenerError(f"listeners.{name}: expected a table")
    values: dict[str, object] = {}
    for written, value in entry.items():
        key = str(written).replace("-", "_")
        if key in _UNSUPPORTED:
            if value is None:
                continue
            raise ListenerError(f"listeners.{name}.{key}: not supported; {_UNSUPPORTED[key]}")
        values[key] = str(value) if isinstance(value, Path) else value
    try:
        return msgspec.convert(values, _Raw)
    except msgspec.ValidationError as error:
        raise ListenerError(f"listeners.{name}: {error}") from error


def _completed(raw: _Raw, default: _Raw) -> _Raw:
    values = {
        key: getattr(default, key) if getattr(raw, key) is None else getattr(raw, key) for key in raw.__struct_fields__
    }
    return _Raw(**values)


def _settings(name: str, raw: _Raw) -> ListenerSettings:
    try:
        kind = Kind(raw.type or Kind.TCP)
    except ValueError as error:
        raise ListenerError(f"listeners.{name}.type: {raw.type!r} is not supported; expected tcp or ws") from error
    host, port = _address(name, raw, kind)
    is_encrypted = bool(raw.ssl)
    if (raw.certfile is None) != (raw.keyfile is None):
        raise ListenerError(f"listeners.{name}: certfile and keyfile go together; one of them is missing")
    if is_encrypted and raw.certfile is None:
        raise ListenerError(f"listeners.{name}.ssl: TLS needs certfile and keyfile")
    if raw.cafile is not None and not is_encrypted:
        raise ListenerError(f"listeners.{name}.cafile: certificates of clients need ssl: true")
    return ListenerSettings(
        name=name,
        kind=kind,
        host=host,
        port=port,
        certificate=_path(raw.certfile) if is_encrypted else None,
        key=_path(raw.keyfile) if is_encrypted else None,
        trust=_path(raw.cafile),
        max_connections=raw.max_connections if raw.max_connections and raw.max_connections > 0 else None,
    )


def _address(name: str, raw: _Raw, kind: Kind) -> tuple[str, int]:
    """Split `bind`: `0.0.0.0:1883`, `[::]:1883`, `:1883`, `1883`, or an address alone."""
    bind = f"0.0.0.0:{_PORTS[Kind.TCP]}" if raw.bind is None else str(raw.bind)
    host, colon, port = bind.rpartition(":")
    if (bind.startswith("[") and bind.endswith("]")) or not (colon or bind.isdecimal()):
        host, port = bind, ""
    if not port:
        port = str(_PORTS[kind])
    if not port.isdecimal() or int(port) > HIGHEST_PORT or (":" in host and not host.startswith("[")):
        raise ListenerError(f"listeners.{name}.bind: {bind!r} is not address:port")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)
