"""What is told of a request to a shadow: the JSON of each answer, put together of what is written already."""

from typing import Any

import msgspec

from appliance.shadows.delta import times_of
from appliance.shadows.document import Document
from appliance.shadows.merge import mirrored

_encode = msgspec.json.encode


def got(document: Document, delta: dict[str, Any] | None, version: int, second: int, token: str | None) -> bytes:
    """The answer to a get: the whole document, and what differs if anything does."""
    state = document.state_json
    if delta is not None:
        # There is something desired, and so a section before it.
        state = b'%b,"delta":%b}' % (state[:-1], _encode(delta))
    ending = _ending(second, token)
    return b'{"state":%b,"metadata":%b,"version":%d%b' % (state, document.metadata_json, version, ending)


def updated(patch_json: bytes, patch: dict[str, Any] | None, version: int, second: int, token: str | None) -> bytes:
    """The answer to an update: what was asked for, and the moments of just that."""
    metadata = _encode(mirrored(patch, {"timestamp": second}))
    return b'{"state":%b,"metadata":%b,"version":%d%b' % (patch_json, metadata, version, _ending(second, token))


def differing(document: Document, delta: dict[str, Any], version: int, second: int, token: str | None) -> bytes:
    """What is desired and not reported so."""
    told = (_encode(delta), _encode(times_of(delta, document.metadata["desired"])))
    return b'{"state":%b,"metadata":%b,"version":%d%b' % (*told, version, _ending(second, token))


def documents(
    before: Document | None, after: Document, versions: tuple[int, int], second: int, token: str | None
) -> bytes:
    """The document before an update and after it, with their versions."""
    previous = b"null" if before is None else b'%b,"version":%d}' % (before.json, versions[0])
    told = (previous, after.json, versions[1], _ending(second, token))
    return b'{"previous":%b,"current":%b,"version":%d}%b' % told


def deleted(version: int, second: int, token: str | None) -> bytes:
    """The answer to a deletion: the version that was deleted."""
    return b'{"version":%d%b' % (version, _ending(second, token))


def rejected(code: int, message: str, second: int, token: str | None) -> bytes:
    """The answer that refuses."""
    return b'{"code":%d,"message":%b%b' % (code, _encode(message), _ending(second, token))


def _ending(second: int, token: str | None) -> bytes:
    echoed = b"" if token is None else b',"clientToken":%b' % _encode(token)
    return b',"timestamp":%d%b}' % (second, echoed)
