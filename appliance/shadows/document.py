"""The document of a shadow, beside its JSON: each is written once, however often it is told."""

from typing import Any

import msgspec

from appliance.shadows.merge import SECTIONS

_DECODER = msgspec.json.Decoder(dict[str, Any])


class Document(msgspec.Struct, frozen=True):
    """What is kept of a shadow. A section that has nothing is not in it."""

    state: dict[str, Any]
    metadata: dict[str, Any]
    state_json: bytes
    metadata_json: bytes
    size_bytes: int
    """The sections alone, as compact JSON."""

    @property
    def json(self) -> bytes:
        """As it is told, but for the brace that closes it."""
        return b'{"state":%b,"metadata":%b' % (self.state_json, self.metadata_json)


def of(state: dict[str, Any], metadata: dict[str, Any]) -> Document:
    """The document of a state."""
    written = [(name, msgspec.json.encode(state[name])) for name in SECTIONS if name in state]
    inner = b",".join([b'"%b":%b' % (name.encode(), section) for name, section in written])
    size_bytes = sum([len(section) for _, section in written])
    return Document(state, metadata, b"{%b}" % inner, msgspec.json.encode(metadata), size_bytes)


def read(state_json: str, metadata_json: str) -> Document:
    """A document as it was written. Its size is of no concern any more."""
    return Document(
        _DECODER.decode(state_json), _DECODER.decode(metadata_json), state_json.encode(), metadata_json.encode(), 0
    )
