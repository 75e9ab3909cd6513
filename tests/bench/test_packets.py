import pytest

from bench import packets
from bench.message import Press


def test_a_publish_says_its_length_in_as_few_bytes_as_it_takes() -> None:
    assert packets.publish("a", b"x" * 124) == b"\x30\x7f\x00\x01a" + b"x" * 124
    assert packets.publish("a", b"x" * 125)[:5] == b"\x30\x80\x01\x00\x01"


def test_a_packet_identifier_makes_it_qos_1() -> None:
    assert packets.publish("a", b"x", 258, retain=True) == b"\x33\x06\x00\x01a\x01\x02x"


def test_connect_carries_its_will() -> None:
    assert packets.connect("me") == b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x00\x00\x02me"
    assert packets.connect("me", keep_alive_s=60, clean=False, will_topic="w")[8:] == (
        b"\x04\x0c\x00\x3c\x00\x02me\x00\x01w\x00\x04gone"
    )


def test_an_answer_other_than_yes_is_an_error() -> None:
    packets.check_connack(b"\x20\x02\x00\x00")
    packets.check_suback(b"\x90\x04\x00\x01\x00\x01")
    for check, answer in (
        (packets.check_connack, b"\x20\x02\x00\x05"),
        (packets.check_connack, b""),
        (packets.check_suback, b"\x90\x04\x00\x01\x00\x80"),
        (packets.check_suback, b""),
    ):
        with pytest.raises(packets.RefusedError):
            check(answer)


def test_the_press_prints_what_a_plain_publish_is() -> None:
    printed = Press("load-00000", 0).packet(100_000_000, 1_700_000_000_000)
    topic = "sensors/load-00000/telemetry"
    payload = printed[-500:]
    assert printed == packets.publish(topic, payload, 100_000_000 % 65_535 + 1)
