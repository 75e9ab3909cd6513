"""Limits are numbers above zero that can hold together."""

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from broker.limits import Limits, under_aws

FIELDS = Limits.__struct_fields__
TWO_BYTES = ["keep_alive_s", "receive_maximum", "topic_aliases", "in_flight"]


@pytest.mark.parametrize("limits", [Limits(), under_aws(Limits())])
def test_the_limits_that_come_along_fit_together(limits: Limits) -> None:
    assert limits.connect_packet_bytes <= limits.packet_bytes <= limits.queue_bytes <= limits.queues_bytes
    # What is in flight goes out in one piece after a reconnect, and must not look like slow reading.
    assert limits.in_flight_bytes + limits.packet_bytes < limits.unsent_bytes
    assert limits.in_flight * limits.topic_bytes < limits.unsent_bytes - limits.packet_bytes
    assert limits.in_flight < 65_535
    assert limits.sweep_interval_s < limits.connect_timeout_s
    assert limits.connections <= limits.sessions
    assert msgspec.convert(msgspec.to_builtins(limits), Limits) == limits


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("value", [0, -1, "1", True])
def test_no_limit_is_ever_turned_off(name: str, value: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({name: value}, Limits)


@pytest.mark.parametrize("name", TWO_BYTES)
def test_what_has_two_bytes_on_the_wire_is_no_more(name: str) -> None:
    assert getattr(msgspec.convert({name: 65_535}, Limits), name) == 65_535
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({name: 65_536}, Limits)


def test_a_limit_that_does_not_exist_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"packets": 1}, Limits)


sizes = st.integers(1, 1_000)


@given(sizes, sizes, sizes, sizes, sizes)
@example(packet=10, in_flight=10, unsent=20, queue=10, of_all=20)
@example(packet=10, in_flight=11, unsent=20, queue=10, of_all=20)
@example(packet=10, in_flight=10, unsent=20, queue=9, of_all=20)
@example(packet=10, in_flight=10, unsent=20, queue=10, of_all=19)
def test_what_cannot_hold_together_is_refused(
    packet: int, in_flight: int, unsent: int, queue: int, of_all: int
) -> None:
    wanted = {
        "packet_bytes": packet,
        "in_flight_bytes": in_flight,
        "unsent_bytes": unsent,
        "unsent_bytes_of_all": of_all,
        "queue_bytes": queue,
    }
    if in_flight + packet <= unsent <= of_all and packet <= queue:
        assert msgspec.to_builtins(Limits(**wanted)).items() >= wanted.items()
        return
    with pytest.raises(ValueError, match="_bytes"):
        Limits(**wanted)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wanted, Limits)


def test_what_is_narrower_than_aws_stays_so() -> None:
    own = Limits(topic_levels=4, keep_alive_s=60, shortest_keep_alive_s=45, connections=7)
    narrowed = under_aws(own)
    assert (narrowed.topic_levels, narrowed.keep_alive_s, narrowed.shortest_keep_alive_s) == (4, 60, 45)
    assert (narrowed.topic_bytes, narrowed.connections) == (256, 7)
