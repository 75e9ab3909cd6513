"""Every limit of the broker in one struct, with its default and unit.

This is the one table of defaults: the settings file changes entries of it, and nothing else has a number
of its own.
"""

from typing import Annotated

import msgspec

Count = Annotated[int, msgspec.Meta(gt=0)]
Bytes = Annotated[int, msgspec.Meta(gt=0)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=31_622_400)]
"""At most a year: infinity, which TOML can write, would be no limit."""
TwoByteCount = Annotated[int, msgspec.Meta(gt=0, le=65_535)]


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one client, and all of them together, may ask of the broker. Zero is never "no limit"."""

    connections: Count = 20_000
    connections_per_address: Count = 5_000
    handshakes: Count = 50
    """TLS handshakes under way at once; the others wait with their first message unread."""
    client_hello_bytes: Bytes = 16_384
    connect_timeout_s: Seconds = 10.0
    """From the first byte of TCP until CONNECT was accepted."""
    connect_packet_bytes: Bytes = 65_536
    """The largest first packet; identities are short."""
    packet_bytes: Bytes = 262_144
    """The largest packet of a connected client."""
    client_id_bytes: Bytes = 256
    topic_bytes: Bytes = 1_024
    topic_levels: Count = 16
    """Of a topic name or filter; `$share/{name}/` is not counted."""
    subscriptions: Count = 100
    """Per session."""
    filters_per_subscribe: Count = 100
    keep_alive_s: TwoByteCount | None = None
    """The longest keep alive; a longer one, or none, becomes this. Clients of MQTT 5 are told. None: as clients say."""
    shortest_keep_alive_s: TwoByteCount | None = None
    """The shortest; a shorter one becomes this. None: as clients say, down to one second."""
    receive_maximum: TwoByteCount = 1_000
    """QoS 1 and 2 messages of a client that the broker has not answered for."""
    topic_aliases: TwoByteCount = 16
    """Per connection, and per direction."""
    publishes_per_s: Count = 20_000
    """Per connection; a client that sends faster is read more slowly."""
    bytes_per_s: Bytes = 33_554_432
    """The same of what it sends."""
    in_flight: TwoByteCount = 100
    """QoS 1 and 2 messages sent to a client that it has not answered for."""
    in_flight_bytes: Bytes = 524_288
    """Of their topics, payloads and properties. After a reconnect they go out again at once, so with one more
    packet they must be fewer than `unsent_bytes`."""
    queue_messages: Count = 1_000
    """Messages that wait for a client, connected or not."""
    queue_bytes: Bytes = 1_048_576
    queues_bytes: Bytes = 67_108_864
    """Of all clients together; beyond as much in flight to all, a client gets one message at a time."""
    unsent_bytes: Bytes = 1_048_576
    """Bytes that a connected client has not taken; beyond half of it, QoS 0 is dropped."""
    unsent_bytes_of_all: Bytes = 134_217_728
    """The same of all clients together; beyond it, those with the most are disconnected at the next sweep."""
    sessions: Count = 40_000
    """Sessions of clients, connected or away; beyond it, those away longest end first."""
    session_expiry_s: Count = 7 * 86_400
    """The longest that a session is kept for a client that is away; the time for clients of 3.1.1."""
    retained_messages: Count = 100_000
    """Per tenant."""
    retained_bytes: Bytes = 67_108_864
    retained_per_client: Count = 1_000
    routes: Count = 100_000
    """Topic names whose subscribers are remembered."""
    decision_timeout_s: Seconds = 5.0
    """How long an authoriser may think; then it is a denial."""
    decision_memory_s: Seconds = 30.0
    """How long what it said after thinking is remembered."""
    sweep_interval_s: Seconds = 0.5
    """How often silent clients and old sessions are looked for: no time limit is kept more exactly."""
    sys_interval_s: Seconds = 10.0
    """How often the numbers below `$SYS/` are published."""

    def __post_init__(self) -> None:
        """Refuse what cannot hold together. Raises `ValueError`."""
        if self.in_flight_bytes + self.packet_bytes > self.unsent_bytes:
            raise ValueError("in_flight_bytes and packet_bytes together must not exceed unsent_bytes")
        if self.unsent_bytes > self.unsent_bytes_of_all:
            raise ValueError("unsent_bytes must not exceed unsent_bytes_of_all")
        if self.keep_alive_s is not None and (self.shortest_keep_alive_s or 0) > self.keep_alive_s:
            raise ValueError("shortest_keep_alive_s must not exceed keep_alive_s")
        if self.packet_bytes > self.queue_bytes:
            raise ValueError("queue_bytes must hold at least one packet of packet_bytes")


_OF_AWS = {
    "packet_bytes": 135_168,
    "client_id_bytes": 128,
    "topic_bytes": 256,
    "topic_levels": 8,
    "subscriptions": 50,
    "filters_per_subscribe": 8,
    "keep_alive_s": 1_200,
    "receive_maximum": 100,
    "topic_aliases": 8,
    "publishes_per_s": 100,
    "bytes_per_s": 524_288,
}
"""What AWS IoT Core takes at most: a payload of 128 KiB with its topic and properties, and so on."""
_SHORTEST_KEEP_ALIVE_OF_AWS_S = 30


def under_aws(limits: Limits) -> Limits:
    """These limits, and no wider than those of AWS IoT Core: what works here works there."""
    kept = {name: getattr(limits, name) for name in _OF_AWS}
    narrowed = {name: most if kept[name] is None else min(most, kept[name]) for name, most in _OF_AWS.items()}
    shortest_s = max(_SHORTEST_KEEP_ALIVE_OF_AWS_S, limits.shortest_keep_alive_s or 0)
    return msgspec.structs.replace(limits, **narrowed, shortest_keep_alive_s=shortest_s)
