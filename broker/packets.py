"""The control packets of MQTT 3.1.1, section 3, as values."""

from enum import IntEnum

import msgspec


class ReturnCode(IntEnum):
    """What CONNACK says [MQTT 3.1.1, table 3.1]."""

    ACCEPTED = 0
    UNACCEPTABLE_PROTOCOL_VERSION = 1
    IDENTIFIER_REJECTED = 2
    SERVER_UNAVAILABLE = 3
    BAD_USERNAME_OR_PASSWORD = 4
    NOT_AUTHORIZED = 5


SUBSCRIBE_FAILURE = 0x80
"""The return code of a topic filter that was refused, in SUBACK."""


class Packet(msgspec.Struct, frozen=True, gc=False):
    """What all control packets have in common: nothing but being one."""


class Will(msgspec.Struct, frozen=True, gc=False):
    """What the broker publishes for a client whose connection ends without DISCONNECT."""

    topic: str
    payload: bytes
    qos: int
    retain: bool


class Connect(Packet, frozen=True, gc=False):
    """Section 3.1. `keep_alive_s` is in seconds; 0 turns it off."""

    protocol_level: int
    client_id: str
    clean_session: bool
    keep_alive_s: int
    will: Will | None = None
    username: str | None = None
    password: bytes | None = None


class Connack(Packet, frozen=True, gc=False):
    """Section 3.2."""

    session_present: bool
    return_code: ReturnCode


class Publish(Packet, frozen=True, gc=False):
    """Section 3.3. `packet_id` is 0 for QoS 0."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    duplicate: bool = False
    packet_id: int = 0


class Puback(Packet, frozen=True, gc=False):
    """Section 3.4."""

    packet_id: int


class Subscribe(Packet, frozen=True, gc=False):
    """Section 3.8. `requests` are pairs of topic filter and highest QoS."""

    packet_id: int
    requests: tuple[tuple[str, int], ...]


class Suback(Packet, frozen=True, gc=False):
    """Section 3.9. One return code per request: the granted QoS, or `SUBSCRIBE_FAILURE`."""

    packet_id: int
    return_codes: tuple[int, ...]


class Unsubscribe(Packet, frozen=True, gc=False):
    """Section 3.10."""

    packet_id: int
    topic_filters: tuple[str, ...]


class Unsuback(Packet, frozen=True, gc=False):
    """Section 3.11."""

    packet_id: int


class Pingreq(Packet, frozen=True, gc=False):
    """Section 3.12."""


class Pingresp(Packet, frozen=True, gc=False):
    """Section 3.13."""


class Disconnect(Packet, frozen=True, gc=False):
    """Section 3.14."""
