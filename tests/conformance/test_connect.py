"""MQTT 3.1.1, sections 1.5, 2, 3.1, 3.2, 3.12 and 3.14: each normative statement that a server can break."""

import pytest

from broker.codec import encode
from broker.packets import (
    Connack,
    Connect,
    Disconnect,
    Pingreq,
    Pingresp,
    Puback,
    Publish,
    ReturnCode,
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
    Will,
)
from tests.broker.house import House

CONNECT = encode(Connect(4, "c", clean_start=True, keep_alive_s=0))

# [statement] → bytes after which the server must close the connection.
MUST_CLOSE = {
    "MQTT-1.5.3-1 ill-formed UTF-8": CONNECT + bytes.fromhex("30 04 0002 c328"),
    "MQTT-1.5.3-1 a surrogate": CONNECT + bytes.fromhex("30 05 0003 eda080"),
    "MQTT-1.5.3-2 a null character": CONNECT + bytes.fromhex("30 03 0001 00"),
    "MQTT-2.2.2-2 reserved flags of PINGREQ": CONNECT + bytes.fromhex("c1 00"),
    "MQTT-2.3.1-1 packet identifier 0": CONNECT + bytes.fromhex("32 05 0001 74 0000"),
    "MQTT-3.1.0-1 the first packet is not CONNECT": encode(Pingreq()),
    "MQTT-3.1.0-2 a second CONNECT": CONNECT + CONNECT,
    "MQTT-3.1.2-1 another protocol name": bytes.fromhex("10 0c 0004 4d515458 04 02 003c 0000"),
    "MQTT-3.1.2-3 the reserved flag": bytes.fromhex("10 0c 0004 4d515454 04 03 003c 0000"),
    "MQTT-3.1.2-13 will QoS without will flag": bytes.fromhex("10 0c 0004 4d515454 04 0a 003c 0000"),
    "MQTT-3.1.2-14 will QoS 3": bytes.fromhex("10 12 0004 4d515454 04 1e 003c 0000 0001 74 0001 78"),
    "MQTT-3.1.2-15 will retain without will flag": bytes.fromhex("10 0c 0004 4d515454 04 22 003c 0000"),
    "MQTT-3.1.2-22 password without username": bytes.fromhex("10 0f 0004 4d515454 04 42 003c 0000 0001 78"),
    "MQTT-3.1.3-3 no client identifier field": bytes.fromhex("10 0a 0004 4d515454 04 02 003c"),
    "MQTT-3.3.1-2 DUP at QoS 0": CONNECT + bytes.fromhex("38 03 0001 74"),
    "MQTT-3.3.1-4 QoS 3": CONNECT + bytes.fromhex("36 05 0001 74 0001"),
    "MQTT-3.3.2-1 a topic that is not UTF-8": CONNECT + bytes.fromhex("30 03 0001 ff"),
    "MQTT-3.3.2-2 a topic with #": CONNECT + encode(Publish("a/#", b"")),
    "MQTT-3.3.2-2 a topic with +": CONNECT + encode(Publish("+", b"")),
    "MQTT-3.8.1-1 flags of SUBSCRIBE": CONNECT + bytes.fromhex("80 06 0001 0001 74 00"),
    "MQTT-3.8.3-1 a filter that is not UTF-8": CONNECT + bytes.fromhex("82 06 0001 0001 ff 00"),
    "MQTT-3.8.3-3 SUBSCRIBE without a filter": CONNECT + bytes.fromhex("82 02 0001"),
    "MQTT-3-8.3-4 reserved bits of the QoS": CONNECT + bytes.fromhex("82 06 0001 0001 74 04"),
    "MQTT-3.10.1-1 flags of UNSUBSCRIBE": CONNECT + bytes.fromhex("a0 05 0001 0001 74"),
    "MQTT-3.10.3-1 a filter that is not UTF-8": CONNECT + bytes.fromhex("a2 05 0001 0001 ff"),
    "MQTT-3.10.3-2 UNSUBSCRIBE without a filter": CONNECT + bytes.fromhex("a2 02 0001"),
    "MQTT-3.14.1-1 flags of DISCONNECT": CONNECT + bytes.fromhex("e1 00"),
    "MQTT-4.7.3-1 an empty topic": CONNECT + bytes.fromhex("30 02 0000"),
    "MQTT-4.8.0-1 packet type 0": CONNECT + bytes.fromhex("00 00"),
    "MQTT-4.8.0-1 packet type 15": CONNECT + bytes.fromhex("f0 00"),
}


@pytest.mark.parametrize("data", MUST_CLOSE.values(), ids=list(MUST_CLOSE))
async def test_a_violation_closes_the_connection(house: House, data: bytes) -> None:
    wire = await house.knock()
    await wire.send(data + encode(Pingreq()))
    assert await wire.until_closed() in ([], [Connack(False, ReturnCode.ACCEPTED)])
    assert len(house.owner.refused) == 1


async def test_mqtt_1_5_3_3_a_byte_order_mark_is_kept(house: House) -> None:
    wire = await house.client("c")
    await wire.subscribe(("\ufefft", 0))
    await wire.send(Publish("t", b""), Publish("\ufefft", b""))
    assert await wire.receive() == Publish("\ufefft", b"")


async def test_mqtt_2_3_1_6_and_7_an_answer_has_the_identifier_of_its_question(house: House) -> None:
    wire = await house.client("c")
    await wire.send(
        Publish("t", b"", 1, packet_id=65_535), Subscribe(1, (Subscription("t", 0),)), Unsubscribe(0x1234, ("t",))
    )
    answers = {await wire.receive() for _ in range(3)}
    assert answers == {Puback(65_535), Suback(1, (0,)), Unsuback(0x1234)}


@pytest.mark.parametrize("level", [3, 6, 99])
async def test_mqtt_3_1_2_2_another_level_is_answered_with_code_1(house: House, level: int) -> None:
    wire = await house.knock()
    await wire.send(Connect(level, "c", clean_start=True, keep_alive_s=0))
    assert await wire.until_closed() == [Connack(False, ReturnCode.UNACCEPTABLE_PROTOCOL_VERSION)]
    assert [refused.kind for refused in house.owner.refused] == ["unsupported_protocol_version"]


async def test_mqtt_3_1_2_2_level_3_has_another_name(house: House) -> None:
    wire = await house.knock()
    await wire.send(bytes.fromhex("10 0e 0006 4d5149736470 03 02 003c 0000"))
    assert await wire.until_closed() == [Connack(False, ReturnCode.UNACCEPTABLE_PROTOCOL_VERSION)]


async def test_mqtt_3_1_2_4_and_5_a_kept_session_gets_what_came_while_it_was_away(house: House) -> None:
    wire = await house.client("c", clean_start=False)
    await wire.subscribe(("t", 1))
    await wire.send(Disconnect())
    await wire.until_closed()
    other = await house.client("other")
    for payload in (b"1", b"2"):
        await other.publish("t", payload)
    await other.publish("t", b"at QoS 0", 0)
    again = await house.knock()
    assert await again.connect("c", clean_start=False) == Connack(True, ReturnCode.ACCEPTED)
    assert [await again.receive(), await again.receive()] == [
        Publish("t", b"1", 1, packet_id=1),
        Publish("t", b"2", 1, packet_id=2),
    ]
    await again.ping()


async def test_mqtt_3_1_2_6_and_3_2_2_1_a_clean_start_begins_with_nothing(house: House) -> None:
    wire = await house.client("c", clean_start=False)
    await wire.subscribe(("t", 1))
    wire = await house.knock()
    assert await wire.connect("c") == Connack(False, ReturnCode.ACCEPTED)
    await wire.publish("t")
    await wire.ping()
    wire = await house.knock()
    assert await wire.connect("c", clean_start=False) == Connack(False, ReturnCode.ACCEPTED)


async def test_mqtt_3_1_2_7_retained_messages_outlive_their_session(house: House) -> None:
    wire = await house.client("c")
    await wire.publish("t", b"kept", retain=True)
    await wire.send(Disconnect())
    await wire.until_closed()
    wire = await house.client("c")
    await wire.subscribe(("t", 0))
    assert await wire.receive() == Publish("t", b"kept", retain=True)


@pytest.mark.parametrize("retain", [False, True])
async def test_mqtt_3_1_2_8_16_and_17_the_will_of_a_client_that_vanishes_is_published(
    house: House, retain: bool
) -> None:
    witness = await house.client("witness")
    await witness.subscribe(("gone", 1))
    wire = await house.client("c", will=Will("gone", b"c", 1, retain))
    wire.abort()
    assert await witness.receive() == Publish("gone", b"c", 1, packet_id=1)
    await witness.send(Puback(1))
    await witness.subscribe(("gone", 0))
    if retain:
        assert await witness.receive() == Publish("gone", b"c", retain=True)
    await witness.ping()


async def test_mqtt_3_1_2_8_a_violation_publishes_the_will_too(house: House) -> None:
    witness = await house.client("witness")
    await witness.subscribe(("gone", 0))
    wire = await house.client("c", will=Will("gone", b"c", 0, retain=False))
    await wire.send(b"\0\0")
    assert await witness.receive() == Publish("gone", b"c")


async def test_mqtt_3_1_2_10_and_3_14_4_3_a_goodbye_discards_the_will(house: House) -> None:
    witness = await house.client("witness")
    await witness.subscribe(("gone", 0))
    wire = await house.client("c", will=Will("gone", b"c", 0, retain=False))
    await wire.send(Disconnect())
    assert await wire.until_closed() == []
    await witness.ping()
    assert [event.reason for event in house.owner.left] == ["the client disconnected"]


@pytest.mark.parametrize("client_id", ["0", "abcdefghijklmnopqrstuvw", "ABCXYZ0123456789", "ä/+#", "x" * 256])
async def test_mqtt_3_1_3_5_an_ordinary_client_identifier_is_accepted(house: House, client_id: str) -> None:
    assert await (await house.knock()).connect(client_id) == Connack(False, ReturnCode.ACCEPTED)


async def test_mqtt_3_1_3_6_and_7_clients_without_an_identifier_get_one_each(house: House) -> None:
    for _ in range(2):
        assert await (await house.knock()).connect("") == Connack(False, ReturnCode.ACCEPTED)
    assert house.broker.connection_count == 2


async def test_mqtt_3_1_3_8_no_identifier_but_a_session_to_keep_is_answered_with_code_2(house: House) -> None:
    wire = await house.knock()
    assert await wire.connect("", clean_start=False) == Connack(False, ReturnCode.IDENTIFIER_REJECTED)
    assert await wire.until_closed() == []


async def test_mqtt_3_1_4_2_the_older_connection_of_a_client_is_closed(house: House) -> None:
    old = await house.client("c")
    await house.client("c")
    assert await old.until_closed() == []


async def test_mqtt_3_1_4_5_nothing_after_a_refused_connect_is_processed(house: House) -> None:
    house.authorizer.denied_clients.add("c")
    witness = await house.client("witness")
    await witness.subscribe(("#", 0))
    wire = await house.knock()
    await wire.send(CONNECT + encode(Publish("t", b"")))
    assert await wire.until_closed() == [Connack(False, ReturnCode.NOT_AUTHORIZED)]
    await witness.ping()
    assert house.owner.messages == []


async def test_mqtt_3_2_0_1_connack_comes_before_everything_else(house: House) -> None:
    wire = await house.knock()
    await wire.send(
        CONNECT + encode(Pingreq()) + encode(Subscribe(1, (Subscription("t", 0),))) + encode(Publish("t", b""))
    )
    assert await wire.receive() == Connack(False, ReturnCode.ACCEPTED)
    assert await wire.receive() == Pingresp()
    assert await wire.receive() == Suback(1, (0,))
    assert await wire.receive() == Publish("t", b"")


async def test_mqtt_3_2_2_3_a_new_session_is_not_called_present(house: House) -> None:
    assert await (await house.knock()).connect("c", clean_start=False) == Connack(False, ReturnCode.ACCEPTED)
    assert await (await house.knock()).connect("c", clean_start=False) == Connack(True, ReturnCode.ACCEPTED)


async def test_mqtt_3_2_2_4_and_5_a_refusal_says_no_session_and_closes(house: House) -> None:
    await house.client("c", clean_start=False)
    house.authorizer.denied_clients.add("c")
    wire = await house.knock()
    await wire.send(CONNECT)
    assert await wire.until_closed() == [Connack(False, ReturnCode.NOT_AUTHORIZED)]


async def test_mqtt_3_12_4_1_a_ping_is_answered(house: House) -> None:
    wire = await house.client("c")
    await wire.send(Pingreq())
    assert await wire.receive() == Pingresp()
