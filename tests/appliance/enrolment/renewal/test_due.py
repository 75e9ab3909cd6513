"""When a certificate is due, whom to ask, and what people read of it."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from appliance.enrolment.renewal import due
from appliance.enrolment.renewal.model import Standing, Succession
from appliance.instant import DAY_MS, HOUR_MS, MINUTE_MS
from appliance.registry.clock.trust import Reading
from appliance.registry.model import Certificate
from tests.appliance.enrolment.examples import NOW

YEAR_MS = 365 * DAY_MS
moments = st.integers(NOW, NOW + 2 * YEAR_MS)


def certificate(fingerprint: str = "a", issued_at: int = NOW, **told: int | None) -> Certificate:
    return msgspec.structs.replace(Certificate(fingerprint, "1", issued_at, issued_at + YEAR_MS), **told)


def clock(now: int) -> Reading:
    return Reading(now, NOW, is_synchronised=True)


@given(moments, st.integers(DAY_MS, YEAR_MS), moments)
def test_a_certificate_is_due_in_the_last_third_of_its_life_and_ending_in_its_last_tenth(
    issued_at: int, length_ms: int, now: int
) -> None:
    expires_at = issued_at + length_ms
    left = (expires_at - now) / length_ms
    if abs(left - 1 / 3) > 1e-6:
        assert (now >= due.due_at(issued_at, expires_at)) == (left < 1 / 3)
    if abs(left - 1 / 10) > 1e-6:
        assert due.is_ending(issued_at, expires_at, now) == (left < 1 / 10)


def test_a_device_is_asked_once_an_hour_from_two_thirds_on() -> None:
    known, at = certificate(), NOW + YEAR_MS * 2 // 3
    assert not due.is_to_be_asked(known, (), None, at - 1)
    assert due.is_to_be_asked(known, (), None, at)
    assert not due.is_to_be_asked(known, (), at, at + HOUR_MS - 1)
    assert due.is_to_be_asked(known, (), at, at + HOUR_MS)


def test_a_clock_that_was_set_back_keeps_nobody_waiting() -> None:
    at = NOW + YEAR_MS * 2 // 3
    assert due.is_to_be_asked(certificate(), (), at + YEAR_MS, at)


def test_who_has_renewed_is_left_alone_for_a_day_and_then_asked_again() -> None:
    at = NOW + YEAR_MS * 3 // 4
    made = Succession(1, "b", "a", "pump-7", made_at=at)
    assert not due.is_to_be_asked(certificate(), [made], None, at + DAY_MS - 1)
    assert due.is_to_be_asked(certificate(), [made], None, at + DAY_MS)
    other = Succession(1, "d", "c", "pump-7", made_at=at)
    assert due.is_to_be_asked(certificate(), [other], None, at)


def test_a_device_goes_by_what_it_shows_and_else_by_the_newest_that_was_not_renewed() -> None:
    newest, renewed, old = certificate("c"), certificate("b"), certificate("a")
    known, made = [renewed, newest, old], [Succession(1, "b", "a", "pump-7")]
    assert due.present(known, "", made, clock(NOW)) == newest
    assert due.present(known, "a", made, clock(NOW)) == old
    assert due.present(known, "b", made, clock(NOW)) == renewed
    revoked = certificate("c", revoked_at=NOW)
    assert due.present([renewed, revoked, old], "c", made, clock(NOW)) == old
    assert due.present(known, "a", made, clock(NOW + YEAR_MS)) is None


STANDING = Standing("a" * 64, NOW, NOW + DAY_MS, None, None, "")


def test_what_people_read_says_what_was_done_and_what_is_in_the_way() -> None:
    def told(**changes: int | str) -> str:
        return due.told(msgspec.structs.replace(STANDING, **changes))

    assert told() == "It is to be asked to renew."
    assert told(obstacle=due.NOT_CONNECTED) == "It cannot be asked to renew: it is not connected."
    assert told(asked_at=NOW) == "It was asked to renew at 2026-11-21T06:00:00.000Z."
    assert told(asked_at=NOW, obstacle=due.NOT_CONNECTED).endswith("; now it is not connected.")
    assert "which it has not used yet" in told(asked_at=NOW, renewed_at=NOW + MINUTE_MS)
    assert due.not_subscribed("cmd/a/certificate").endswith("has not subscribed to cmd/a/certificate")


def test_the_note_about_an_end_says_whether_it_was_asked() -> None:
    assert "could not be asked" in due.ending("a" * 64, NOW, None)
    assert "was asked to renew at 2026" in due.ending("a" * 64, NOW, NOW)
