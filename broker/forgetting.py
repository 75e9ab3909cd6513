"""Sessions that end at once, for whoever they belong to is gone; and messages that end with their connection."""

from collections.abc import Callable, Iterable

from broker.exchange import Exchange
from broker.message import Message, TenantId
from broker.reason_codes import ReasonCode
from broker.session import Session


def forget(
    exchange: Exchange,
    sessions: Iterable[Session],
    reason: str,
    code: ReasonCode = ReasonCode.ADMINISTRATIVE_ACTION,
) -> None:
    """End sessions and their connections: no will is published, and what waits for them is dropped.

    Nobody speaks any more for whoever may not be here, and nobody is told anything.
    """
    for session in sessions:
        session.will = session.will_due_at = None
        client = session.client
        if client is not None:
            # Of what waits, nothing is written on the way out: the session ends before its connection.
            exchange.discard(session)
            session.expiry_s = 0
            client.cut_off(code, reason)
        else:
            exchange.discard(session)


def abandon(exchange: Exchange, tenant_id: TenantId, client_id: str, is_meant: Callable[[Message], bool]) -> int:
    """Keep what the owner means for one connection of a client alone from its next one; gives how many messages.

    For when the owner hears that a connection began or ended. What was sent at QoS 1 and not answered for is not sent
    again, as [MQTT-4.4.0-1] has it of other messages: of these, the owner decides whether they may be repeated.
    What was sent at QoS 2 goes on to its end: its packet identifier is not free before.
    """
    session = exchange.sessions.find(tenant_id, client_id)
    if session is None:
        return 0
    meant = [one for one in session.deliveries if (one.qos == 1 or not one.packet_id) and is_meant(one.message)]
    return sum([exchange.withdraw(session, delivery, even_sent=True) for delivery in meant])
