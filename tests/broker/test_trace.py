"""The live packet log: one entry a packet, without payloads."""

import pytest
from hypothesis import given

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
    ReturnCode,
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
)
from broker.trace import Trace, TraceEntry
from tests.broker.strategies import client_packets, connects, server_packets


def entries(*, received: tuple[Packet, ...] = (), sent: tuple[Packet, ...] = ()) -> list[TraceEntry]:
    noted: list[TraceEntry] = []
    trace = Trace(noted.append, lambda: 1_000 + len(noted))
    for packet in received:
        trace.received(packet)
    for packet in sent:
        trace.sent(packet)
    return noted


@pytest.mark.parametrize(
    ("packet", "topic", "detail"),
    [
        (Publish("a/b", b"12"), "a/b", "QoS 0"),
        (Publish("a/b", b"12", 1, retain=True, duplicate=True, packet_id=7), "a/b", "QoS 1, retain, again, id 7"),
        (Connect(5, "sensor", clean_start=True, keep_alive_s=30), "sensor", "level 5, keep alive 30 s"),
        (Connack(session_present=False, code=0), "", "code 0x00"),
        (Connack(session_present=False, code=0x87), "", "code 0x87, not_authorized"),
        (Connack(False, ReturnCode.BAD_USERNAME_OR_PASSWORD), "", "code 0x04, bad_username_or_password"),
        (Disconnect(), "", "code 0x00"),
        (Disconnect(4), "", "code 0x04, disconnect_with_will"),
        (Disconnect(0x7F), "", "code 0x7f, 0x7f"),
        (Puback(7), "", "id 7"),
        (Puback(7, 0x10), "", "id 7, no_matching_subscribers"),
        (Pubrec(7, 0x97), "", "id 7, quota_exceeded"),
        (Pubrel(7), "", "id 7"),
        (Pubcomp(7, 0x92), "", "id 7, packet_identifier_not_found"),
        (Subscribe(7, (Subscription("a", 0), Subscription("b/#", 2))), "a, b/#", "id 7, QoS 0, 2"),
        (Suback(7, (1, 0x80)), "", "id 7, 0x01, 0x80"),
        (Unsubscribe(7, ("a", "b/#")), "a, b/#", "id 7"),
        (Unsuback(7, (0, 0x11)), "", "id 7, 0x00, 0x11"),
        (Pingreq(), "", ""),
        (Pingresp(), "", ""),
        (Auth(0x18), "", ""),
    ],
)
def test_an_entry_says_what_the_packet_is_about(packet: Packet, topic: str, detail: str) -> None:
    size_bytes = 2 if isinstance(packet, Publish) else 0
    kind = type(packet).__name__.upper()
    assert entries(received=(packet,)) == [TraceEntry(1_000, True, kind, topic, size_bytes, detail)]


def test_packets_are_noted_one_by_one_with_their_direction_and_time() -> None:
    noted = entries(received=(Pingreq(), Publish("t", b"")), sent=(Pingresp(),))
    assert [(each.at, each.is_from_client, each.type) for each in noted] == [
        (1_000, True, "PINGREQ"),
        (1_001, True, "PUBLISH"),
        (1_002, False, "PINGRESP"),
    ]


@given(connects(5) | client_packets(5) | client_packets(4), server_packets(5) | server_packets(4))
def test_every_packet_can_be_noted(received: Packet, sent: Packet) -> None:
    assert len(entries(received=(received,), sent=(sent,))) == 2


def test_a_payload_is_never_shown() -> None:
    (entry,) = entries(received=(Publish("t", b"secret"),))
    assert "secret" not in repr(entry)
    (entry,) = entries(received=(Connect(4, "c", True, 0, None, "user", b"secret"),))
    assert "secret" not in repr(entry)
