"""Every limit of the broker in one struct, with its default and unit."""

import msgspec


class Limits(msgspec.Struct, frozen=True):
    """What one client, and all of them together, may ask of the broker."""

    connections: int = 20_000
    connect_timeout_s: float = 10.0
    """From the first byte of TCP until CONNECT was accepted."""
    sweep_interval_s: float = 0.5
    """How often silent clients and old sessions are looked for: no time limit is kept more exactly."""
    connect_packet_bytes: int = 65_536
    """The largest first packet; identities are short."""
    packet_bytes: int = 262_144
    """The largest packet of a connected client."""
    topic_bytes: int = 1_024
    topic_levels: int = 32
    subscriptions: int = 100
    """Per session, and in one SUBSCRIBE."""
    in_flight: int = 100
    """QoS 1 messages sent to a client and not yet acknowledged by it."""
    in_flight_bytes: int = 524_288
    """Of their payloads. After a reconnect they go out again at once, so with one more packet they must be
    fewer than `unsent_bytes`."""
    queue_messages: int = 1_000
    """Messages that wait for a client, connected or not."""
    queue_bytes: int = 1_048_576
    unsent_bytes: int = 1_048_576
    """Bytes that a connected client has not taken; beyond half of it, QoS 0 is dropped."""
    offline_sessions: int = 20_000
    """Sessions kept for clients that are away (clean session 0)."""
    offline_session_s: float = 7 * 86_400.0
    retained_messages: int = 100_000
    retained_bytes: int = 67_108_864
    routes: int = 100_000
    """Topic names whose subscribers are remembered."""
