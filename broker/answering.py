"""What a client answers for its deliveries: PUBACK, PUBREC, PUBCOMP. Section 4.3."""

from typing import TYPE_CHECKING

from broker.changes import Delivery
from broker.errors import ProtocolError
from broker.exchange import Exchange
from broker.packets import V5, Puback, Pubcomp, Pubrec, Pubrel
from broker.reason_codes import ReasonCode
from broker.session import Session

if TYPE_CHECKING:
    from broker.client import Client

PUBACK_BYTES = 4
"""Of a PUBACK without a reason, which most clients send; no PUBLISH at QoS 1 is as short."""

_PUBACK = b"\x40\x02"
_EXACTLY_ONCE = 2


def take_alone(client: "Client", exchange: Exchange, data: bytes) -> bool:
    """Take `PUBACK_BYTES` that are one PUBACK for a delivery at QoS 1; False when they are anything else.

    Who is told one message at a time answers by one such packet at a time. As with `Publisher.publish_again`, whatever
    is out of the ordinary is left to the decoder.
    """
    session = client.session
    if session is None or not data.startswith(_PUBACK) or not client.decoder.is_between_packets:
        return False
    packet_id = data[2] << 8 | data[3]
    delivery = session.deliveries.find(packet_id)
    if delivery is None or delivery.qos != 1:
        return False
    exchange.answered(session, packet_id)
    return True


def acknowledged(exchange: Exchange, session: Session, packet: Puback) -> None:
    """PUBACK, which answers for a delivery at QoS 1 [4.3.2]. Raises `ProtocolError`."""
    delivery = session.deliveries.find(packet.packet_id)
    if delivery is None:
        return
    if delivery.qos != 1:
        raise ProtocolError(ReasonCode.PROTOCOL_ERROR, f"PUBACK does not answer a message of QoS {delivery.qos}")
    exchange.answered(session, packet.packet_id)


def answered(client: "Client", exchange: Exchange, session: Session, packet: Pubrec | Pubcomp) -> None:
    """PUBREC or PUBCOMP, which answers for a delivery at QoS 2 [4.3.3]. Raises `ProtocolError`."""
    delivery = session.deliveries.find(packet.packet_id)
    is_fault = packet.code >= ReasonCode.UNSPECIFIED_ERROR
    if delivery is None:
        if isinstance(packet, Pubrec) and not is_fault:
            code = ReasonCode.PACKET_IDENTIFIER_NOT_FOUND if client.level == V5 else 0
            client.answer(Pubrel(packet.packet_id, code))
        return
    if not _is_expected(delivery, packet):
        name = type(packet).__name__.upper()
        raise ProtocolError(ReasonCode.PROTOCOL_ERROR, f"{name} does not answer a message of QoS {delivery.qos} now")
    if isinstance(packet, Pubrec) and not is_fault:
        exchange.recorded(session, delivery)
    else:
        exchange.answered(session, packet.packet_id)


def _is_expected(delivery: Delivery, packet: Pubrec | Pubcomp) -> bool:
    match packet:
        case Pubrec():
            return delivery.qos == _EXACTLY_ONCE
        case Pubcomp():
            return delivery.is_released
