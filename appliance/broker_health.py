"""How the broker is, for the page of health."""

from appliance.health import Status
from broker.server import Broker


def broker_status(broker: Broker) -> Status:
    """How much the broker has in hand, and whom it had to refuse.

    It is unwell when a bound is reached at which clients that did nothing wrong are turned away or lose messages.
    """
    limits, sessions = broker.limits, broker.exchange.sessions
    bounds = {
        "no further client can connect": (broker.connection_count, limits.connections),
        "the queues of all clients are full": (sessions.queued_bytes + limits.packet_bytes, limits.queues_bytes),
    }
    reached = [words for words, (count, bound) in bounds.items() if count >= bound]
    return Status(
        ok=not reached,
        summary=": ".join((f"{broker.connection_count} connections", *reached)),
        details={
            "connections": broker.connection_count,
            "sessions": len(sessions),
            "retained_messages": sum(len(router.retained) for router in sessions.routers.values()),
            "queued_bytes": sessions.queued_bytes,
            "accepted_messages": broker.exchange.message_count,
            "delivered_messages": broker.exchange.delivered_count,
            "dropped_messages": broker.dropped_count,
            "unretained_messages": sessions.retained_refused_count,
            **{f"refused_{kind}": count for kind, count in sorted(broker.refusals.items())},
        },
    )
