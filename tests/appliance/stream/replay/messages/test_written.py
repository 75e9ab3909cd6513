"""A payload is told byte for byte."""

from base64 import b64decode

from hypothesis import given
from hypothesis import strategies as st

from appliance.stream.replay.messages.model import GivenMessage
from appliance.stream.replay.messages.written import message_out
from tests.appliance.telemetry.reports import NOON


@given(st.binary() | st.text(st.characters(codec="utf-8")).map(str.encode))
def test_a_payload_can_be_had_back_from_what_is_told(payload: bytes) -> None:
    told = message_out(GivenMessage("a/b", "a", NOON, "", payload))
    assert (told.payload.encode() if told.encoding == "text" else b64decode(told.payload)) == payload
    assert told.arrived_at == "2026-01-31T12:00:00.000Z"
