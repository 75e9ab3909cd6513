"""Where a device may go in its life."""

import pytest

from appliance.registry.catalogue.lifecycle import MOVES, check_move, move_refusal
from appliance.registry.model import DeviceRetiredError, DeviceState, StateRefusedError
from tests.appliance.registry.catalogue.examples import device

ALLOWED = {
    ("pending", "active"),
    ("pending", "retired"),
    ("active", "suspended"),
    ("active", "retired"),
    ("suspended", "active"),
    ("suspended", "retired"),
}


@pytest.mark.parametrize("before", DeviceState)
@pytest.mark.parametrize("after", DeviceState)
def test_a_move_is_allowed_or_refused_with_a_sentence(before: DeviceState, after: DeviceState) -> None:
    refusal = move_refusal("pump-1", before, after)
    if before is after or (before, after) in ALLOWED:
        assert refusal is None
    else:
        assert refusal is not None
        assert refusal.startswith(f"pump-1 is {before} and cannot become {after}: ")


def test_every_state_has_its_moves_and_nothing_leads_out_of_the_last_one() -> None:
    assert set(MOVES) == set(DeviceState)
    assert not MOVES[DeviceState.RETIRED]


def test_what_is_refused_is_raised_by_its_kind() -> None:
    check_move(device("a", state=DeviceState.PENDING), DeviceState.ACTIVE)
    with pytest.raises(StateRefusedError):
        check_move(device("a"), DeviceState.PENDING)
    with pytest.raises(DeviceRetiredError):
        check_move(device("a", state=DeviceState.RETIRED), DeviceState.ACTIVE)
