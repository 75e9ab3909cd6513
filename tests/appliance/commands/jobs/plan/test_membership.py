"""Whom a job is for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.commands.jobs.plan.membership import View, is_meant, put_off
from appliance.commands.jobs.plan.model import Progress, Targets
from appliance.registry.model import Device, DeviceState

PUMP = Device(1, "pump", "Pump", "px", "hall", "", DeviceState.ACTIVE, 0, 1, ("first", "second"))
IDS = st.lists(st.text("abcdef", min_size=1, max_size=3), unique=True)


@pytest.mark.parametrize(
    ("targets", "is_one"),
    [
        (Targets(groups=("second", "third")), True),
        (Targets(groups=("third",)), False),
        (Targets(types=("px",)), True),
        (Targets(types=("py",)), False),
        (Targets(zones=("hall",)), True),
        (Targets(zones=("yard",), types=("px",)), True),
        (Targets(zones=("yard",)), False),
    ],
)
def test_a_device_is_meant_by_what_it_is(targets: Targets, *, is_one: bool) -> None:
    assert is_meant(PUMP, targets, (), ()) is is_one
    assert is_meant(PUMP, targets, ("pump",), ())
    assert is_meant(PUMP, targets, (), ("pump",))


@given(IDS, IDS)
def test_nobody_is_lost_or_added_by_being_put_off(waiting: list[str], full: list[str]) -> None:
    view = View(1, Progress(), put_off(waiting, dict.fromkeys(full)))
    assert sorted(view.waiting) == sorted(waiting)
    later = [one in full for one in view.waiting]
    assert later == sorted(later)
    assert [one for one in view.waiting if one not in full] == [one for one in waiting if one not in full]
