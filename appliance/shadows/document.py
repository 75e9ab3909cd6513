"""The document of a shadow, beside its JSON: each is written once, however often it is told."""

from typing import Any

import msgspec

from appliance.shadows.merge import SECTIONS

_DECODER = msgspec.json.Decoder(dict[str, Any])
_encode = msgspec.json.Encoder().encode


Texts = tuple[bytes, bytes]
"""The JSON of a document: state and metadata."""


class Document(msgspec.Struct, frozen=True):
    """What is kept of a shadow. A section that has nothing is not in it."""

    state: dict[str, Any]
    metadata: dict[str, Any]
    state_json: bytes
    metadata_json: bytes
    size_bytes: int
    """The sections alone, as compact JSON."""

    @property
    def texts(self) -> Texts:
        """What is left of it where it waits to be told: what was decoded would take many times the memory."""
        return self.state_json, self.metadata_json


def of(state: dict[str, Any], metadata: dict[str, Any]) -> Document:
    """The document of a state."""
    if len(state) == len(SECTIONS) and next(iter(state)) != SECTIONS[0]:
        state = {section: state[section] for section in SECTIONS}
    state_json = _encode(state)
    # Each section has its name before it, in quotation marks, a colon, and a comma or a brace.
    around = 1 + sum([len(section) + 4 for section in state]) if state else len(state_json)
    return Document(state, metadata, state_json, _encode(metadata), len(state_json) - around)


def read(state_json: bytes, metadata_json: bytes) -> Document:
    """A document as it was written. Its size is of no concern any more."""
    return Document(_DECODER.decode(state_json), _DECODER.decode(metadata_json), state_json, metadata_json, 0)
