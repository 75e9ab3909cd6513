"""What the bearers of a claim may do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.enrolment import claims
from appliance.enrolment.model import REQUESTS_PER_MINUTE, InvalidClaimError, NewClaim
from appliance.instant import DAY_MS, MINUTE_MS
from broker.topics import matches
from tests.appliance.enrolment.examples import NOW, claim

PARTS = "$aws certificates create create-from-csr json cbor accepted rejected provisioning-templates device provision"
levels = st.sampled_from([*PARTS.split(), "+", "#", "", "other"])


@st.composite
def filters(draw: st.DrawFn) -> str:
    """A topic of a claim with some of its levels replaced, or cut off."""
    parts = draw(st.sampled_from(sorted({*allowed_topics(), *claims.request_topics("device")}))).split("/")
    for _ in range(draw(st.integers(0, 2))):
        parts[draw(st.integers(0, len(parts) - 1))] = draw(levels)
    return "/".join(parts[: draw(st.integers(1, len(parts)))])


MADE = NewClaim("line 4", "device", NOW + DAY_MS, 10)


def allowed_topics() -> set[str]:
    return {f"{topic}/{end}" for topic in claims.request_topics("device") for end in ("accepted", "rejected")}


@given(filters())
def test_whatever_may_be_subscribed_receives_answers_alone(topic_filter: str) -> None:
    if claims.subscribe_refusal(claim(), topic_filter) is None:
        assert topic_filter in allowed_topics()


@given(filters())
def test_whatever_may_be_published_is_a_request_of_the_claims_template(topic: str) -> None:
    if claims.publish_refusal(claim(), topic) is None:
        assert topic in claims.request_topics("device")
        assert not any(matches(each, topic) for each in allowed_topics())


def test_requests_and_answers_are_allowed() -> None:
    assert len(claims.request_topics("device")) == 6
    assert all(claims.publish_refusal(claim(), topic) is None for topic in claims.request_topics("device"))
    assert all(claims.subscribe_refusal(claim(), topic) is None for topic in allowed_topics())
    assert claims.publish_refusal(claim(template="other"), "$aws/provisioning-templates/device/provision/json")


@pytest.mark.parametrize("client_id", ["a+", "#", "a/b", "a\0"])
def test_a_client_identifier_that_could_widen_a_filter_is_refused(client_id: str) -> None:
    assert "wildcard" in (claims.connect_refusal(claim(), client_id, NOW) or "")


def test_a_claim_is_good_until_it_expires_is_spent_or_revoked() -> None:
    assert claims.connect_refusal(claim(), "any name at all", NOW) is None
    assert claims.refusal(claim(expires_at=NOW + 1), NOW) is None
    assert "expired" in (claims.refusal(claim(expires_at=NOW), NOW) or "")
    assert claims.refusal(claim(use_count=9), NOW) is None
    assert "spent" in (claims.refusal(claim(use_count=10), NOW) or "")
    assert "revoked" in (claims.refusal(claim(revoked_at=NOW - 1), NOW) or "")


def test_serial_numbers_are_judged_by_pattern_and_by_list() -> None:
    assert claims.serial_refusal(claim(), "", ()) is None
    like = claim(serial_pattern="PX-2026-*")
    assert claims.serial_refusal(like, "PX-2026-1", ()) is None
    assert "does not fit" in (claims.serial_refusal(like, "PX-2025-1", ()) or "")
    assert "asks for the parameter" in (claims.serial_refusal(like, "", ()) or "")
    listed = claim(serial_count=1)
    assert claims.serial_refusal(listed, "a", {"a"}) is None
    assert "not on the list" in (claims.serial_refusal(listed, "a", ()) or "")
    both = claim(serial_count=1, serial_pattern="b*")
    assert claims.serial_refusal(both, "a", {"a"})


def test_a_serial_number_of_a_list_is_for_one_device() -> None:
    listed = claim(serial_count=1)
    assert claims.used_refusal(listed, "a", {"a": ""}, "pump-7") is None
    assert claims.used_refusal(listed, "a", {"a": "pump-7"}, "pump-7") is None
    assert "another device's" in (claims.used_refusal(listed, "a", {"a": "pump-7"}, "pump-8") or "")
    assert claims.used_refusal(claim(), "a", {}, "pump-8") is None


def test_a_minute_is_full_once_and_then_silent() -> None:
    minute = claims.Minute()
    for _ in range(REQUESTS_PER_MINUTE):
        minute = claims.counted(minute, NOW)
        assert not minute.is_full
    minute = claims.counted(minute, NOW)
    assert (minute.is_full, minute.is_told) == (True, False)
    assert claims.counted(minute, NOW).is_told
    assert claims.counted(minute, NOW + MINUTE_MS).count == 1


@pytest.mark.parametrize(
    "new",
    [
        NewClaim("", "device", NOW + 1, 1),
        NewClaim("x" * 257, "device", NOW + 1, 1),
        NewClaim("a\nb", "device", NOW + 1, 1),
        NewClaim("a", "device", NOW, 1),
        NewClaim("a", "device", NOW + 1, 0),
        NewClaim("a", "device", NOW + 1, 1_000_001),
        NewClaim("a", "device", NOW + 1, 1, "x" * 257),
        NewClaim("a", "device", NOW + 1, 1, "\n"),
        NewClaim("a", "device", NOW + 1, 1, "", ("",)),
        NewClaim("a", "device", NOW + 1, 1, "", tuple(map(str, range(10_001)))),
    ],
)
def test_what_cannot_be_a_claim_is_refused(new: NewClaim) -> None:
    with pytest.raises(InvalidClaimError):
        claims.check_new_claim(new, NOW)


def test_a_claim_as_it_is_asked_for_can_be_made() -> None:
    assert claims.check_new_claim(MADE, NOW) is MADE


@pytest.mark.parametrize("name", ["", "x" * 37, "a/b", "a+b", "a\n", "ü"])
def test_a_template_whose_name_could_widen_a_topic_is_refused(name: str) -> None:
    with pytest.raises(InvalidClaimError):
        claims.check_template_name(name)
    assert claims.check_template_name("fleet_1-a") == "fleet_1-a"
