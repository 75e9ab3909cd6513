import msgspec
from hypothesis import given
from hypothesis import strategies as st

from appliance.enrolment.tray import waiting
from appliance.instant import HOUR_MS, MINUTE_MS
from appliance.registry.model import check_device_id
from tests.appliance.enrolment.requests import NOW
from tests.appliance.enrolment.tray.examples import knock


@given(st.text(max_size=300), st.text(max_size=300))
def test_whatever_a_stranger_says_gives_a_device_id(common_name: str, serial_number: str) -> None:
    check_device_id(waiting.suggested_id(knock(common_name, serial_number)))


def test_a_name_comes_before_a_serial_number_and_both_before_the_key() -> None:
    assert waiting.suggested_id(knock("pump-7", "4711")) == "pump-7"
    assert waiting.suggested_id(knock("", "4711")) == "4711"
    wished = msgspec.structs.replace(knock("pump-7", "4711"), wanted_id="fan 1")
    assert waiting.suggested_id(wished) == "fan-1"
    assert waiting.suggested_id(knock("é!", "")) == "device-abababababab"


@given(st.integers(-HOUR_MS, 100 * HOUR_MS))
def test_nobody_is_asked_to_come_back_at_once_or_in_an_hour(waited_ms: int) -> None:
    assert 5 <= waiting.retry_after_s(NOW, NOW + waited_ms) <= 300


def test_who_has_just_come_is_answered_soonest() -> None:
    assert waiting.retry_after_s(NOW, NOW) == 5
    assert waiting.retry_after_s(NOW, NOW + 10 * MINUTE_MS) == 100
    assert waiting.retry_after_s(NOW, NOW + HOUR_MS) == 300


def test_the_code_is_the_beginning_of_the_fingerprint() -> None:
    assert waiting.short_code("ab" * 32) == "ab" * 8
