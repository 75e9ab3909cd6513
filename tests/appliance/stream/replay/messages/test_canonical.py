"""What was understood, said as a message, is understood as the same."""

import math

from hypothesis import given
from hypothesis import strategies as st

from appliance.ingestion.payload import Envelope, Tolerances, read, unpack
from appliance.stream.replay.messages.canonical import message_of
from appliance.telemetry.model import Report, TimeSource
from tests.appliance.telemetry.reports import NOON, report

TOLERANCES = Tolerances(payload_bytes=1 << 20, future_ms=300_000, past_ms=366 * 86_400_000)
WITHOUT = {"deviceId", "timestamp", "sequence", "readings"}

names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12).filter(lambda name: name not in WITHOUT)
values = st.one_of(
    st.floats(),
    st.integers(-(2**63), 2**63 - 1),
    st.booleans(),
    st.text(st.characters(codec="utf-8"), max_size=12),
    st.none(),
)


@given(
    st.dictionaries(names, values, min_size=1, max_size=5),
    st.none() | st.integers(0, 2**63 - 1),
    st.integers(NOON - 100_000_000, NOON),
    st.booleans(),
)
def test_a_message_that_is_written_anew_is_understood_as_what_it_was_written_of(
    readings: dict[str, object], sequence: int | None, at: int, has_clock: bool
) -> None:
    source = TimeSource.DEVICE if has_clock else TimeSource.ARRIVAL_NO_CLOCK
    one = report("pump", at if has_clock else NOON, arrived_at=NOON, time_source=source, values=readings)
    one = Report(**{**{name: getattr(one, name) for name in one.__struct_fields__}, "sequence": sequence})
    message = message_of(one)
    assert (message.topic, message.client_id, message.arrived_at) == (one.topic, one.client_id, one.arrived_at)
    envelope = Envelope(1, "pump", message.topic, message.client_id, message.arrived_at, message.content_type)
    objects, faults = unpack(message.payload, envelope, TOLERANCES)
    assert not faults
    parsed, fault = read(objects[0], envelope, TOLERANCES)
    assert fault is None
    assert parsed is not None
    # By their text: NaN is not equal to itself, and 0.0 is to -0.0.
    assert repr(parsed.report) == repr(one)


def test_a_report_that_a_mapping_rule_made_is_written_as_one_of_its_device() -> None:
    mapped = report("pump", topic="iot/wearable/data", client_id="hub", values={"x": 1})
    message = message_of(mapped)
    assert (message.topic, message.client_id) == ("sensors/pump/telemetry", "hub")
    assert b'"deviceId":"pump"' in message.payload


def test_a_number_that_json_has_no_word_for_is_as_devices_send_it() -> None:
    message = message_of(report(values={"a": math.nan, "b": math.inf, "c": -math.inf, "d": None, "e": "\ud800ü"}))
    assert message.payload.endswith('{"a":NaN,"b":Infinity,"c":-Infinity,"d":null,"e":"?ü"}}'.encode())
