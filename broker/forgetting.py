"""Sessions that end at once, because whoever they belong to may not be here any more."""

from collections.abc import Iterable

from broker.exchange import Exchange
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
