import msgspec
from hypothesis import given
from hypothesis import strategies as st

from appliance.instant import to_text
from bench.message import FIRST_SEQUENCE, PAYLOAD_BYTES, Press, packet_id_of
from broker.codec import Decoder
from broker.packets import Publish

moments = st.integers(1_600_000_000_000, 4_000_000_000_000)


def decoded(data: bytes) -> list[Publish]:
    decoder = Decoder()
    packets = decoder.feed(data)
    assert decoder.failure is None
    return [packet for packet in packets if isinstance(packet, Publish)]


@given(st.integers(0, 99_999), st.integers(FIRST_SEQUENCE, 10 * FIRST_SEQUENCE - 1), moments)
def test_a_packet_is_one_publish_with_500_bytes_of_json(place: int, sequence: int, now: int) -> None:
    name = f"load-{place:05d}"
    [packet] = decoded(Press(name, place).packet(sequence, now))
    assert (packet.topic, packet.qos, packet.packet_id) == (f"sensors/{name}/telemetry", 1, packet_id_of(sequence))
    assert len(packet.payload) == PAYLOAD_BYTES
    event = msgspec.json.decode(packet.payload)
    assert (event["deviceId"], event["timestamp"], event["sequence"]) == (name, to_text(now), sequence)
    assert len(event["readings"]) == 5


@given(st.lists(moments, min_size=2, max_size=20))
def test_no_two_messages_of_a_device_have_the_same_moment(moments: list[int]) -> None:
    press = Press("load-00001", 1)
    packets = decoded(b"".join(press.packet(FIRST_SEQUENCE + number, now) for number, now in enumerate(moments)))
    stamps = [msgspec.json.decode(packet.payload)["timestamp"] for packet in packets]
    assert stamps == sorted(set(stamps))
