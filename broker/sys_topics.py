"""What the broker says of itself below `$SYS/`, for operators."""

import msgspec


class Figures(msgspec.Struct, frozen=True):
    """The broker at one moment. Counts are since its start unless they say otherwise."""

    uptime_s: int
    connections: int
    """Now."""
    sessions: int
    """Now, connected or away."""
    subscriptions: int
    """Now."""
    retained: int
    """Topics with a retained message now."""
    queued_bytes: int
    """Payloads that wait for clients now."""
    received: int
    delivered: int
    dropped: int
    refused: int


def messages(figures: Figures) -> dict[str, bytes]:
    """The topic names and payloads, with the names that brokers have in common."""
    return {
        "$SYS/broker/version": b"headworks",
        "$SYS/broker/uptime": f"{figures.uptime_s} seconds".encode(),
        "$SYS/broker/clients/connected": _number(figures.connections),
        "$SYS/broker/clients/total": _number(figures.sessions),
        "$SYS/broker/clients/disconnected": _number(max(0, figures.sessions - figures.connections)),
        "$SYS/broker/subscriptions/count": _number(figures.subscriptions),
        "$SYS/broker/retained messages/count": _number(figures.retained),
        "$SYS/broker/store/messages/bytes": _number(figures.queued_bytes),
        "$SYS/broker/publish/messages/received": _number(figures.received),
        "$SYS/broker/publish/messages/sent": _number(figures.delivered),
        "$SYS/broker/publish/messages/dropped": _number(figures.dropped),
        "$SYS/broker/connections/refused": _number(figures.refused),
    }


def _number(value: int) -> bytes:
    return str(value).encode()
