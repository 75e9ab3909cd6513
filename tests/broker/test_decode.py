"""The single bytes that decide whether a packet is taken, and with which reason it is not."""

import pytest

from broker.codec import Decoder
from broker.packets import V4, V5, Connect, Disconnect, Packet, Puback, Subscribe, Subscription
from broker.reason_codes import ReasonCode


def decoded(data: str, level: int) -> tuple[list[Packet], ReasonCode | None]:
    decoder = Decoder(protocol_level=level)
    found = decoder.feed(bytes.fromhex(data))
    return found, decoder.failure.code if decoder.failure else None


MALFORMED = {
    "QoS 3": "36 07 0001 74 0001 78 78",
    "DUP at QoS 0": "38 03 0001 74",
    "PUBLISH without a topic": "30 01 00",
    "PUBLISH without anything": "30 00",
    "PUBLISH shorter than its topic": "30 03 0002 74",
    "PUBLISH that ends in its packet identifier": "32 04 0001 74 01",
    "invalid UTF-8": "30 03 0001 ff",
    "a surrogate in UTF-8": "30 05 0003 eda080",
    "a null character": "30 03 0001 00",
    "a control character": "30 03 0001 1f",
    "a control character after 127": "30 04 0002 c29f",
    "CONNECT with its reserved flag": "10 0c 0004 4d515454 04 03 003c 0000",
    "CONNECT of another protocol": "10 0c 0004 4d515455 04 02 003c 0000",
    "CONNECT that ends early": "10 0b 0004 4d515454 04 02 003c 00",
    "CONNECT that goes on": "10 0d 0004 4d515454 04 02 003c 0000 00",
    "CONNECT with flags in its first byte": "14 0c 0004 4d515454 04 02 003c 0000",
    "a control character in a client identifier": "10 0d 0004 4d515454 04 02 003c 0001 7f",
    "will QoS without a will": "10 0c 0004 4d515454 04 0a 003c 0000",
    "will retain without a will": "10 0c 0004 4d515454 04 22 003c 0000",
    "will QoS 3": "10 12 0004 4d515454 04 1e 003c 0000 0001 74 0001 78",
    "a password but no username": "10 0f 0004 4d515454 04 42 003c 0000 0001 78",
    "SUBSCRIBE with flags 0": "80 06 0001 0001 74 00",
    "SUBSCRIBE without filters": "82 02 0001",
    "SUBSCRIBE with an empty filter": "82 05 0001 0000 00",
    "SUBSCRIBE that asks for QoS 3": "82 06 0001 0001 74 03",
    "SUBSCRIBE with an option of MQTT 5": "82 06 0001 0001 74 04",
    "SUBSCRIBE with packet identifier 0": "82 06 0000 0001 74 00",
    "UNSUBSCRIBE with flags 0": "a0 05 0001 0001 74",
    "UNSUBSCRIBE without filters": "a2 02 0001",
    "UNSUBSCRIBE with an empty filter": "a2 04 0001 0000",
    "PUBACK with flags": "42 02 0001",
    "PUBACK that goes on": "40 03 0001 00",
    "PUBREL without flags": "60 02 0001",
    "PINGREQ with a body": "c0 01 00",
    "DISCONNECT with flags": "e1 00",
    "DISCONNECT with a reason code": "e0 01 00",
    "CONNACK with reserved flags": "20 02 02 00",
    "CONNACK with an unknown return code": "20 02 00 06",
    "UNSUBACK with a reason code": "b0 03 0001 00",
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=list(MALFORMED))
def test_a_broken_packet_of_3_1_1_is_malformed(data: str) -> None:
    assert decoded(data, V4) == ([], ReasonCode.MALFORMED_PACKET)


MALFORMED_IN_5 = {
    "CONNECT without properties": "10 0a 0004 4d515454 05 02 003c",
    "a will without properties": "10 0f 0004 4d515454 05 06 003c 00 0000 0000",
    "PUBLISH without properties": "30 03 0001 74",
    "PUBLISH with longer properties than itself": "30 05 0001 74 02 01",
    "PUBLISH whose property length is too long": "30 05 0001 74 8000",
    "SUBSCRIBE with retain handling 3": "82 07 0001 00 0001 74 30",
    "SUBSCRIBE with a reserved option": "82 07 0001 00 0001 74 40",
    "SUBSCRIBE with its other reserved option": "82 07 0001 00 0001 74 80",
    "SUBSCRIBE that asks for QoS 3": "82 07 0001 00 0001 74 03",
    "PUBACK that goes on": "40 05 0001 00 00 00",
    "PUBACK shorter than its properties": "40 04 0001 00 01",
    "SUBACK with flags": "91 04 0001 00 00",
    "DISCONNECT that goes on": "e0 03 00 00 00",
}


@pytest.mark.parametrize("data", MALFORMED_IN_5.values(), ids=list(MALFORMED_IN_5))
def test_a_broken_packet_of_5_is_malformed(data: str) -> None:
    assert decoded(data, V5) == ([], ReasonCode.MALFORMED_PACKET)


WRONG = {
    "packet type 0": ("00 00", V4),
    "AUTH with flags": ("f1 00", V5),
    "CONNACK with flags": ("21 03 00 00 00", V5),
    "PUBLISH with packet identifier 0": ("32 05 0001 74 0000", V4),
    "PUBACK with packet identifier 0": ("40 02 0000", V4),
    "PUBREL with packet identifier 0": ("62 02 0000", V5),
    "PUBLISH with neither topic nor alias": ("30 03 0000 00", V5),
    "PUBACK with an unknown reason code": ("40 03 0001 ff", V5),
    "PUBREC with a reason code of UNSUBACK": ("50 03 0001 11", V5),
    "PUBREL with a reason code of PUBACK": ("62 03 0001 10", V5),
    "PUBCOMP with an unknown reason code": ("70 03 0001 20", V5),
    "SUBACK with an unknown reason code": ("90 04 0001 00 03", V5),
    "UNSUBACK with a granted QoS": ("b0 04 0001 00 01", V5),
    "AUTH with an unknown reason code": ("f0 01 01", V5),
}


@pytest.mark.parametrize(("data", "level"), WRONG.values(), ids=list(WRONG))
def test_a_packet_that_says_what_it_may_not_say_is_a_protocol_error(data: str, level: int) -> None:
    assert decoded(data, level) == ([], ReasonCode.PROTOCOL_ERROR)


@pytest.mark.parametrize(
    ("data", "level"),
    [
        ("10 0e 0006 4d5149736470 03 02 003c 0000", 3),
        ("10 0e 0006 4d5149736470 04 02 003c 0000", 3),
        ("10 0e 0006 4d5149736470 06 02 003c 0000", 6),
        ("10 0c 0004 4d515454 06 02 003c 0000", 6),
        ("10 07 0004 4d515454 02", 2),
    ],
)
def test_connect_of_another_version_says_only_its_level(data: str, level: int) -> None:
    assert decoded(data, V4) == ([Connect(level, "", clean_start=True, keep_alive_s=0)], None)


def test_a_bad_client_identifier_of_5_has_its_own_reason() -> None:
    connect = "10 0e 0004 4d515454 05 02 003c 00 0001"
    assert decoded(connect + "07", V4) == ([], ReasonCode.CLIENT_IDENTIFIER_NOT_VALID)
    assert decoded(connect + "ff", V4) == ([], ReasonCode.CLIENT_IDENTIFIER_NOT_VALID)
    assert decoded(connect + "78", V4)[1] is None


def test_a_password_needs_no_username_in_5() -> None:
    (connect,), failure = decoded("10 10 0004 4d515454 05 42 003c 00 0000 0001 78", V4)
    assert isinstance(connect, Connect)
    assert (connect.username, connect.password, failure) == (None, b"x", None)


def test_a_username_that_goes_beyond_its_packet_is_malformed() -> None:
    assert decoded("10 0e 0004 4d515454 04 82 003c 0000 0001", V4) == ([], ReasonCode.MALFORMED_PACKET)


def test_a_reason_and_properties_may_be_left_out() -> None:
    for data in ("40 02 0001", "40 03 0001 00", "40 04 0001 00 00"):
        assert decoded(data, V5) == ([Puback(1)], None)
    for data in ("e0 00", "e0 01 00", "e0 02 00 00"):
        assert decoded(data, V5) == ([Disconnect()], None)


def test_any_reason_is_taken_from_who_says_goodbye() -> None:
    assert decoded("e0 01 ff", V5) == ([Disconnect(255)], None)


def test_subscription_options_are_read_bit_by_bit() -> None:
    request = Subscription("t", 2, no_local=True, retain_as_published=False, retain_handling=1, identifier=5)
    (packet,), _ = decoded("82 09 000a 02 0b05 0001 74 16", V5)
    assert isinstance(packet, Subscribe)
    assert packet.requests == (request,)
    (packet,), _ = decoded("82 07 000a 00 0001 74 28", V5)
    assert isinstance(packet, Subscribe)
    assert packet.requests == (Subscription("t", 0, retain_as_published=True, retain_handling=2),)


def test_a_character_that_is_rare_but_no_control_is_taken() -> None:
    assert decoded("30 09 0005 41 f0aa9b94 7878", V4)[1] is None
    assert decoded("30 05 0003 efbfbf", V4)[1] is None
