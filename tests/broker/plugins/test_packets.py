"""What a plugin of amqtt gets for a packet is what amqtt would have read from the wire."""

import pytest
from amqtt.mqtt.packet import MQTTFixedHeader

from broker.packets import (
    Auth,
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
    Subscription,
    Unsuback,
    Unsubscribe,
    Will,
)
from broker.plugins.packets import amqtt_packet

# Written by hand from sections 3.1 to 3.14 of MQTT 3.1.1.
WIRE: list[tuple[Packet, str]] = [
    (Connect(4, "c", True, 60), "10 0d 0004 4d515454 04 02 003c 0001 63"),
    (
        Connect(4, "c", False, 1, Will("w", b"x", 1, True), "u"),
        "10 16 0004 4d515454 04 ac 0001 0001 63 0001 77 0001 78 0001 75",
    ),
    (Connack(True, 0), "20 02 01 00"),
    (Publish("a/b", b"hi"), "30 07 0003 612f62 6869"),
    (Publish("a/b", b"hi", 1, True, True, 5), "3b 09 0003 612f62 0005 6869"),
    (Puback(5), "40 02 0005"),
    (Pubrec(5), "50 02 0005"),
    (Pubrel(5), "62 02 0005"),
    (Pubcomp(5), "70 02 0005"),
    (Subscribe(5, (Subscription("a", 1), Subscription("b", 2))), "82 0a 0005 0001 61 01 0001 62 02"),
    (Suback(5, (1, 0x80)), "90 04 0005 01 80"),
    (Unsubscribe(5, ("a",)), "a2 05 0005 0001 61"),
    (Unsuback(5), "b0 02 0005"),
    (Pingreq(), "c0 00"),
    (Pingresp(), "d0 00"),
    (Disconnect(), "e0 00"),
]


@pytest.mark.parametrize(("packet", "wire"), WIRE, ids=lambda value: type(value).__name__)
def test_a_packet_has_the_bytes_it_has_on_the_wire(packet: Packet, wire: str) -> None:
    written = amqtt_packet(packet)
    assert written is not None
    assert isinstance(written.fixed_header, MQTTFixedHeader)
    assert written.to_bytes().hex() == wire.replace(" ", "")


def test_a_password_is_withheld() -> None:
    written = amqtt_packet(Connect(4, "c", True, 60, username="anna", password=b"hunter2"))
    assert written is not None
    assert written.variable_header.password_flag
    assert "anna" in repr(written)
    assert "hunter2" not in repr(written)
    assert b"hunter2" not in written.to_bytes()


def test_what_amqtt_does_not_know_is_left_out() -> None:
    assert amqtt_packet(Auth()) is None
