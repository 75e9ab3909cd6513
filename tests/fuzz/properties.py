"""Any bytes as the properties of MQTT 5, in every kind of packet: the first byte says in which.

Run long as `python -m tests.fuzz.properties --minutes 10`.
"""

import sys

from broker.errors import ProtocolError
from broker.packets import (
    Auth,
    Connack,
    Connect,
    Disconnect,
    Properties,
    Puback,
    Publish,
    Suback,
    Subscribe,
    Unsubscribe,
    Will,
)
from broker.properties import Kind, decode_properties, encode_properties
from tests.fuzz import mutation
from tests.fuzz.search import Target, main

_KINDS: tuple[Kind, ...] = (Connect, Connack, Publish, Will, Puback, Subscribe, Suback, Unsubscribe, Disconnect, Auth)
_AROUND = b"\x26\x00\x00\x7f\xff"


def check(data: bytes) -> None:
    """They are read or refused, wherever they stand, and what was read can be written and read again."""
    kind, data = _KINDS[(data[0] if data else 0) % len(_KINDS)], data[1:]
    read = _read(data, 0, len(data), kind)
    elsewhere = _read(_AROUND + data + _AROUND, len(_AROUND), len(_AROUND) + len(data), kind)
    if read is None:
        assert elsewhere is None
        return
    properties, after = read
    assert after <= len(data)
    assert elsewhere == (properties, after + len(_AROUND))
    written = encode_properties(properties)
    assert _read(written, 0, len(written), kind) == (properties, len(written))
    assert len(written) == after


def _read(data: bytes, position: int, end: int, kind: Kind) -> tuple[Properties, int] | None:
    try:
        return decode_properties(data, position, end, kind)
    except ProtocolError:
        return None


TARGET = Target("properties", check, mutation.of_bytes)

if __name__ == "__main__":
    sys.exit(main(TARGET))
