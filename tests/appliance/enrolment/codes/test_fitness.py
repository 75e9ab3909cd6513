import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.enrolment.codes import fitness
from appliance.enrolment.codes.model import LONGEST_MS, NewCode, Use
from appliance.errors import InvalidInputError
from appliance.registry.model import Device, DeviceState
from tests.appliance.enrolment.codes.examples import code
from tests.appliance.enrolment.requests import NOW

secrets = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", min_size=32, max_size=32)
device_ids = st.from_regex(r"[A-Za-z0-9:_-]{1,40}", fullmatch=True)


def device(device_id: str = "pump-7", kind: str = "pump", serial_number: str = "") -> Device:
    return Device(1, device_id, "", kind, "", serial_number, DeviceState.ACTIVE, NOW, 1)


@given(secrets)
def test_a_code_is_read_as_it_was_written_and_as_people_type_it(secret: str) -> None:
    written = fitness.written(secret)
    assert fitness.canonical(written) == secret
    assert fitness.canonical(f" {written.lower().replace('-', ' ')}\n") == secret


@given(st.text(max_size=200))
def test_whatever_is_typed_is_a_code_or_nothing(text: str) -> None:
    assert len(fitness.canonical(text)) in (0, 32)


@given(device_ids, device_ids)
def test_a_code_without_a_star_fits_its_own_device_alone(own: str, other: str) -> None:
    known = code(target=own, type="")
    assert fitness.misfit(known, own, "", None) is None
    assert (fitness.misfit(known, other, own, None) is None) == (own == other)


def test_a_pattern_fits_device_ids_and_serial_numbers() -> None:
    known = code(target="SN-4*")
    assert fitness.misfit(known, "SN-471", "", None) is None
    assert fitness.misfit(known, "pump-7", "SN-471", None) is None
    assert "not for pump-7" in str(fitness.misfit(known, "pump-7", "SN-571", None))


def test_the_serial_number_that_the_registry_knows_counts_not_the_one_that_is_claimed() -> None:
    known = code(target="SN-4*")
    assert fitness.misfit(known, "pump-7", "SN-471", device(serial_number="SN-571")) is not None
    assert fitness.misfit(known, "pump-7", "SN-571", device(serial_number="SN-471")) is None


def test_a_pattern_with_a_type_is_for_devices_of_that_type() -> None:
    assert "type pump" in str(fitness.misfit(code(target="*"), "fan-1", "", device("fan-1", "fan")))
    assert fitness.misfit(code(target="*"), "pump-1", "", device("pump-1", "pump")) is None
    assert fitness.misfit(code(target="fan-1"), "fan-1", "", device("fan-1", "fan")) is None


def test_a_code_that_is_not_open_says_why() -> None:
    assert fitness.refusal(code(), NOW) is None
    assert "revoked" in str(fitness.refusal(code(revoked_at=NOW), NOW))
    assert "used" in str(fitness.refusal(code(used_at=NOW), NOW))
    assert "expired" in str(fitness.refusal(code(), code().expires_at))


def test_who_lost_the_answer_may_ask_again_with_the_same_key_for_a_while() -> None:
    used = code(used_at=NOW, used_by="pump-7", used_key="k", use_count=1)
    again = Use("pump-7", "k", "192.0.2.1", NOW + 1)
    assert fitness.is_repetition(used, again)
    for spoilt in (
        code(),
        code(used_at=NOW, used_by="pump-8", used_key="k", use_count=1),
        code(used_at=NOW, used_by="pump-7", used_key="other", use_count=1),
        code(used_at=NOW, used_by="pump-7", used_key="k", use_count=fitness.REPEATS),
        code(used_at=NOW - fitness.REPEAT_MS, used_by="pump-7", used_key="k", use_count=1),
        code(used_at=NOW, used_by="pump-7", used_key="k", use_count=1, revoked_at=NOW),
    ):
        assert not fitness.is_repetition(spoilt, again)
    # The gateway made that key, and has no copy that it could give again.
    made_here = code(used_at=NOW, used_by="pump-7", used_key="", use_count=1)
    assert not fitness.is_repetition(made_here, Use("pump-7", "", "192.0.2.1", NOW + 1))


@given(st.integers(0, 2 * fitness.REPEAT_MS), st.integers(0, fitness.REPEATS + 1), st.booleans())
def test_a_used_code_answers_again_exactly_as_long_as_it_says(after_ms: int, use_count: int, is_revoked: bool) -> None:
    revoked_at = NOW if is_revoked else None
    used = code(used_at=NOW, used_by="pump-7", used_key="k", use_count=use_count, revoked_at=revoked_at)
    until = fitness.answers_until(used, NOW + after_ms)
    assert fitness.is_repetition(used, Use("pump-7", "k", "192.0.2.1", NOW + after_ms)) == (until is not None)
    assert until is None or NOW + after_ms < until
    assert fitness.answers_until(code(), NOW) is None


@pytest.mark.parametrize(
    "new",
    [
        NewCode(""),
        NewCode("pump 7"),
        NewCode("pump-[0-9]"),
        NewCode("x" * 129),
        NewCode("pump-7", type="x" * 257),
        NewCode("pump-7", zone="x" * 257),
        NewCode("pump-7", length_ms=1),
        NewCode("pump-7", length_ms=LONGEST_MS + 1),
    ],
)
def test_a_code_that_makes_no_sense_is_not_made(new: NewCode) -> None:
    with pytest.raises(InvalidInputError):
        fitness.checked(new)


def test_a_code_that_makes_sense_is_given_back() -> None:
    assert fitness.checked(NewCode("pump-*")) == NewCode("pump-*")
