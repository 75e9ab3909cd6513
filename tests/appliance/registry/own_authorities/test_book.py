import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.registry.model import check_device_id
from appliance.registry.own_authorities.book import Book, suggested_id
from appliance.registry.own_authorities.model import CertificateState, Mode
from tests.appliance.registry.own_authorities.examples import authority, certificate, leaf

BOUND, WAITING, REFUSED = CertificateState.BOUND, CertificateState.WAITING, CertificateState.REFUSED


def book(mode: Mode, *states: CertificateState) -> Book:
    made = Book()
    made.remember(authority(mode))
    made.note(certificate(state, number) for number, state in enumerate(states, 1))
    return made


@given(st.text(max_size=200), st.text(max_size=50))
def test_what_is_suggested_can_always_be_a_device_id(common_name: str, tail: str) -> None:
    assert check_device_id(suggested_id(leaf(common_name=common_name + tail)))


def test_a_common_name_is_suggested_then_a_serial_number() -> None:
    assert suggested_id(leaf(common_name="pump 7/a")) == "pump-7-a"
    assert suggested_id(leaf(common_name="#")) == "PX-1"


def test_only_a_certificate_of_a_ca_that_is_off_or_gone_is_refused_for_its_ca() -> None:
    fingerprint = certificate(BOUND).fingerprint
    assert book(Mode.PROVISION, BOUND).refusal(fingerprint) is None
    assert book(Mode.INACTIVE, BOUND).refusal("ff" * 32) is None
    assert "switched off" in (book(Mode.INACTIVE, BOUND).refusal(fingerprint) or "")
    gone = book(Mode.PROVISION, BOUND)
    del gone.authorities[1]
    assert "removed" in (gone.refusal(fingerprint) or "")


@pytest.mark.parametrize(
    ("state", "why"), [(BOUND, "is retired"), (WAITING, "waits until a person"), (REFUSED, "a person has refused")]
)
def test_each_standing_is_told(state: CertificateState, why: str) -> None:
    assert why in book(Mode.REGISTER).standing(certificate(state), names_registered=False)
    off = book(Mode.INACTIVE, state)
    assert "switched off" in off.standing(certificate(state), names_registered=False)


def test_who_names_a_registered_device_is_told_so() -> None:
    told = book(Mode.REGISTER).standing(certificate(WAITING), names_registered=True)
    assert "pump-7, which is registered already" in told


def test_the_devices_of_a_ca_are_those_that_it_let_in() -> None:
    made = book(Mode.REGISTER, BOUND, BOUND, WAITING)
    assert made.devices_of(1) == ["pump-7"]
    assert made.devices_of(2) == []


def test_those_of_a_state_are_told_the_newest_first_and_of_this_tenants_cas_alone() -> None:
    made = book(Mode.REGISTER, WAITING, REFUSED, WAITING, BOUND)
    made.note([certificate(WAITING, 7, authority_number=2)])
    assert [each.certificate_number for each in made.certificates_of(1, WAITING)] == [3, 1]
    assert [each.certificate_number for each in made.certificates_of(1, REFUSED)] == [2]
    assert made.certificates_of(2, WAITING) == []
