"""Control packets as amqtt's plugins know them: MQTT 3.1.1. What only MQTT 5 has is left out."""

from collections.abc import Callable
from typing import Any

from amqtt.mqtt.connack import ConnackPacket
from amqtt.mqtt.connect import ConnectPacket, ConnectPayload, ConnectVariableHeader
from amqtt.mqtt.disconnect import DisconnectPacket
from amqtt.mqtt.pingreq import PingReqPacket
from amqtt.mqtt.pingresp import PingRespPacket
from amqtt.mqtt.puback import PubackPacket
from amqtt.mqtt.pubcomp import PubcompPacket
from amqtt.mqtt.publish import PublishPacket
from amqtt.mqtt.pubrec import PubrecPacket
from amqtt.mqtt.pubrel import PubrelPacket
from amqtt.mqtt.suback import SubackPacket
from amqtt.mqtt.subscribe import SubscribePacket
from amqtt.mqtt.unsuback import UnsubackPacket
from amqtt.mqtt.unsubscribe import UnsubscribePacket

from broker.packets import (
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    Unsuback,
    Unsubscribe,
)

WITHHELD = "(withheld)"
"""What stands for a password: plugins print packets into the log."""


def amqtt_packet(packet: Packet) -> Any | None:
    """Give the packet as amqtt's class; None for AUTH, which amqtt does not know. Passwords are withheld."""
    write = _WRITERS.get(type(packet))
    return None if write is None else write(packet)


def amqtt_publish(packet: Publish) -> Any:
    """Give a PUBLISH as amqtt's class."""
    packet_id = packet.packet_id if packet.qos else None
    return PublishPacket.build(packet.topic, packet.payload, packet_id, packet.duplicate, packet.qos, packet.retain)


def _connect(packet: Connect) -> Any:
    header = ConnectVariableHeader(keep_alive=packet.keep_alive_s, proto_level=packet.protocol_level)
    header.clean_session_flag = packet.clean_start
    header.username_flag = packet.username is not None
    header.password_flag = packet.password is not None
    password = None if packet.password is None else WITHHELD
    payload = ConnectPayload(packet.client_id, username=packet.username, password=password)
    if packet.will is not None:
        header.will_flag = True
        header.will_qos = packet.will.qos
        header.will_retain_flag = packet.will.retain
        payload.will_topic = packet.will.topic
        payload.will_message = packet.will.payload
    return ConnectPacket(variable_header=header, payload=payload)


_WRITERS: dict[type[Packet], Callable[[Any], Any]] = {
    Connect: _connect,
    Connack: lambda packet: ConnackPacket.build(int(packet.session_present), packet.code),
    Publish: amqtt_publish,
    Puback: lambda packet: PubackPacket.build(packet.packet_id),
    Pubrec: lambda packet: PubrecPacket.build(packet.packet_id),
    Pubrel: lambda packet: PubrelPacket.build(packet.packet_id),
    Pubcomp: lambda packet: PubcompPacket.build(packet.packet_id),
    Subscribe: lambda packet: SubscribePacket.build(
        [(request.topic_filter, request.qos) for request in packet.requests], packet.packet_id
    ),
    Suback: lambda packet: SubackPacket.build(packet.packet_id, list(packet.codes)),
    Unsubscribe: lambda packet: UnsubscribePacket.build(list(packet.topic_filters), packet.packet_id),
    Unsuback: lambda packet: UnsubackPacket.build(packet.packet_id),
    Pingreq: lambda _: PingReqPacket(),
    Pingresp: lambda _: PingRespPacket(),
    Disconnect: lambda _: DisconnectPacket(),
}
