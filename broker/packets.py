"""The control packets of MQTT 3.1.1 and 5, section 3 of both, as values.

What only one version has keeps its default in the other: a packet of 3.1.1 has no properties, and its
acknowledgements no reason code.
"""

from enum import IntEnum

import msgspec

V4 = 4
"""The protocol level of MQTT 3.1.1."""
V5 = 5
"""The protocol version of MQTT 5."""


class ReturnCode(IntEnum):
    """What CONNACK says [MQTT 3.1.1, table 3.1]."""

    ACCEPTED = 0
    UNACCEPTABLE_PROTOCOL_VERSION = 1
    IDENTIFIER_REJECTED = 2
    SERVER_UNAVAILABLE = 3
    BAD_USERNAME_OR_PASSWORD = 4
    NOT_AUTHORIZED = 5


SUBSCRIBE_FAILURE = 0x80
"""The return code of a topic filter that was refused, in the SUBACK of 3.1.1."""


class Properties(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """The properties of a packet [MQTT 5, 2.2.2.2]; None, or empty, is absent. Lengths of time are seconds."""

    payload_format_indicator: int | None = None
    message_expiry_s: int | None = None
    content_type: str | None = None
    response_topic: str | None = None
    correlation_data: bytes | None = None
    subscription_identifiers: tuple[int, ...] = ()
    session_expiry_s: int | None = None
    assigned_client_id: str | None = None
    server_keep_alive_s: int | None = None
    authentication_method: str | None = None
    authentication_data: bytes | None = None
    request_problem_information: int | None = None
    will_delay_s: int | None = None
    request_response_information: int | None = None
    response_information: str | None = None
    server_reference: str | None = None
    reason_string: str | None = None
    receive_maximum: int | None = None
    topic_alias_maximum: int | None = None
    topic_alias: int | None = None
    maximum_qos: int | None = None
    retain_available: int | None = None
    user_properties: tuple[tuple[str, str], ...] = ()
    maximum_packet_bytes: int | None = None
    wildcard_subscription_available: int | None = None
    subscription_identifiers_available: int | None = None
    shared_subscription_available: int | None = None


NO_PROPERTIES = Properties()
"""The one value of a packet without properties, so that `is` finds it."""


class Packet(msgspec.Struct, frozen=True, gc=False):
    """What all control packets have in common: nothing but being one."""


class Will(msgspec.Struct, frozen=True, gc=False):
    """What the broker publishes for a client whose connection ends without a goodbye."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    properties: Properties = NO_PROPERTIES


class Connect(Packet, frozen=True, gc=False):
    """Section 3.1. `keep_alive_s` is in seconds; 0 turns it off. `clean_start` is Clean Session in 3.1.1."""

    protocol_level: int
    client_id: str
    clean_start: bool
    keep_alive_s: int
    will: Will | None = None
    username: str | None = None
    password: bytes | None = None
    properties: Properties = NO_PROPERTIES


class Connack(Packet, frozen=True, gc=False):
    """Section 3.2. The code is a `ReturnCode` in 3.1.1 and a `ReasonCode` in 5."""

    session_present: bool
    code: int
    properties: Properties = NO_PROPERTIES


class Publish(Packet, frozen=True, gc=False):
    """Section 3.3. `packet_id` is 0 for QoS 0; the topic is empty where a topic alias stands for it."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    duplicate: bool = False
    packet_id: int = 0
    properties: Properties = NO_PROPERTIES


class Puback(Packet, frozen=True, gc=False):
    """Section 3.4."""

    packet_id: int
    code: int = 0
    properties: Properties = NO_PROPERTIES


class Pubrec(Packet, frozen=True, gc=False):
    """Section 3.5."""

    packet_id: int
    code: int = 0
    properties: Properties = NO_PROPERTIES


class Pubrel(Packet, frozen=True, gc=False):
    """Section 3.6."""

    packet_id: int
    code: int = 0
    properties: Properties = NO_PROPERTIES


class Pubcomp(Packet, frozen=True, gc=False):
    """Section 3.7."""

    packet_id: int
    code: int = 0
    properties: Properties = NO_PROPERTIES


class Subscription(msgspec.Struct, frozen=True, gc=False):
    """One topic filter with its options [MQTT 5, 3.8.3.1]; in 3.1.1 all but the QoS have their defaults."""

    topic_filter: str
    qos: int
    no_local: bool = False
    retain_as_published: bool = False
    retain_handling: int = 0
    identifier: int = 0
    """The subscription identifier; 0 is none."""


class Subscribe(Packet, frozen=True, gc=False):
    """Section 3.8. Each request already has the subscription identifier of the packet."""

    packet_id: int
    requests: tuple[Subscription, ...]
    properties: Properties = NO_PROPERTIES


class Suback(Packet, frozen=True, gc=False):
    """Section 3.9. One code per request: the granted QoS, or why not (in 3.1.1 `SUBSCRIBE_FAILURE`)."""

    packet_id: int
    codes: tuple[int, ...]
    properties: Properties = NO_PROPERTIES


class Unsubscribe(Packet, frozen=True, gc=False):
    """Section 3.10."""

    packet_id: int
    topic_filters: tuple[str, ...]
    properties: Properties = NO_PROPERTIES


class Unsuback(Packet, frozen=True, gc=False):
    """Section 3.11. One code per topic filter in 5; none in 3.1.1."""

    packet_id: int
    codes: tuple[int, ...] = ()
    properties: Properties = NO_PROPERTIES


class Pingreq(Packet, frozen=True, gc=False):
    """Section 3.12."""


class Pingresp(Packet, frozen=True, gc=False):
    """Section 3.13."""


class Disconnect(Packet, frozen=True, gc=False):
    """Section 3.14. In 3.1.1 only clients send it, without a code."""

    code: int = 0
    properties: Properties = NO_PROPERTIES


class Auth(Packet, frozen=True, gc=False):
    """Section 3.15 of MQTT 5."""

    code: int = 0
    properties: Properties = NO_PROPERTIES
