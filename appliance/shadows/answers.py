"""What is told of a request to a shadow: the JSON of each answer, put together of what is written already."""

from typing import Any

import msgspec

from appliance.shadows.delta import times_of
from appliance.shadows.document import Document, Texts

_encode = msgspec.json.Encoder().encode


def ending(second: int, token: str | None) -> bytes:
    """What every answer to a request ends with."""
    echoed = b"" if token is None else b',"clientToken":%b' % _encode(token)
    return b',"timestamp":%d%b}' % (second, echoed)


def got(document: Document, delta: dict[str, Any] | None, version: int, end: bytes) -> bytes:
    """The answer to a get: the whole document, and what differs if anything does."""
    state = document.state_json
    if delta is not None:
        # There is something desired, and so a section before it.
        state = b'%b,"delta":%b}' % (state[:-1], _encode(delta))
    return b'{"state":%b,"metadata":%b,"version":%d%b' % (state, document.metadata_json, version, end)


def updated(patch_json: bytes, times: dict[str, Any], version: int, end: bytes) -> bytes:
    """The answer to an update: what was asked for, and the moments of just that."""
    return b'{"state":%b,"metadata":%b,"version":%d%b' % (patch_json, _encode(times), version, end)


def differing(document: Document, delta: dict[str, Any], version: int, end: bytes) -> bytes:
    """What is desired and not reported so."""
    times = _encode(times_of(delta, document.metadata["desired"]))
    return b'{"state":%b,"metadata":%b,"version":%d%b' % (_encode(delta), times, version, end)


def documents(before: Texts | None, after: Texts, versions: tuple[int, int], end: bytes) -> bytes:
    """The document before an update and after it, with their versions."""
    previous = b"null" if before is None else b'{"state":%b,"metadata":%b,"version":%d}' % (*before, versions[0])
    return b'{"previous":%b,"current":{"state":%b,"metadata":%b,"version":%d}%b' % (previous, *after, versions[1], end)


def deleted(version: int, end: bytes) -> bytes:
    """The answer to a deletion: the version that was deleted."""
    return b'{"version":%d%b' % (version, end)


def rejected(code: int, message: str, end: bytes) -> bytes:
    """The answer that refuses."""
    return b'{"code":%d,"message":%b%b' % (code, _encode(message), end)
