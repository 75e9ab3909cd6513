"""Who may connect."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.registry.admission import certificate_refusal, device_refusal, state_refusal
from appliance.registry.clock.trust import Reading
from appliance.registry.model import Certificate, Device, DeviceState
from tests.appliance.registry.examples import NOW, device_ids

RIGHT = Reading(NOW, NOW, is_synchronised=True)


def device(device_id: str = "a", state: DeviceState = DeviceState.ACTIVE) -> Device:
    return Device(1, device_id, "", "", "", "", state, NOW, 1)


def certificate(expires_at: int = NOW + 1, revoked_at: int | None = None) -> Certificate:
    return Certificate("f" * 64, "1", NOW - 1, expires_at, revoked_at)


@given(
    device_id=device_ids,
    client_id=device_ids,
    state=st.sampled_from(DeviceState),
    expires_at=st.integers(NOW - 2, NOW + 2),
    revoked_at=st.none() | st.integers(0, NOW),
)
def test_only_a_good_certificate_of_an_active_device_under_its_own_name_is_let_in(
    device_id: str, client_id: str, state: DeviceState, expires_at: int, revoked_at: int | None
) -> None:
    for name in (device_id, client_id):
        refusal = certificate_refusal(certificate(expires_at, revoked_at), device(device_id, state), name, RIGHT)
        is_good = state is DeviceState.ACTIVE and expires_at > NOW and revoked_at is None and name == device_id
        assert (refusal is None) == is_good


def test_each_refusal_says_why() -> None:
    assert "was revoked at" in str(certificate_refusal(certificate(revoked_at=NOW), device(), "a", RIGHT))
    assert "expired at 2026-11-21T06:00:00.000Z" in str(certificate_refusal(certificate(NOW), device(), "a", RIGHT))
    assert "client id 'b'" in str(device_refusal(device(), "b"))


@pytest.mark.parametrize("state", [DeviceState.PENDING, DeviceState.SUSPENDED, DeviceState.RETIRED])
def test_a_device_that_is_not_active_takes_no_part(state: DeviceState) -> None:
    assert f"is {state}" in str(state_refusal(device(state=state)))
    assert f"is {state}" in str(device_refusal(device(state=state), "a"))


def test_a_wrong_clock_refuses_no_certificate_as_expired_but_one_that_was_revoked() -> None:
    wrong_clock = Reading(0, NOW, is_synchronised=False)
    assert certificate_refusal(certificate(expires_at=NOW - 1), device(), "a", wrong_clock) is None
    assert "was revoked" in str(certificate_refusal(certificate(revoked_at=1), device(), "a", wrong_clock))
