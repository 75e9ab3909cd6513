"""What a change makes of a device."""

from hypothesis import given

from appliance.registry.catalogue.change import changed
from appliance.registry.catalogue.model import DeviceChange
from appliance.registry.catalogue.table import as_new
from appliance.registry.model import Device
from tests.appliance.registry.catalogue.examples import attributes, device, devices


@given(devices)
def test_no_change_changes_nothing(one: Device) -> None:
    assert changed(one, DeviceChange()) == as_new(one)


@given(devices, attributes)
def test_attributes_are_put_beside_those_that_are_there_and_taken_away_by_name(
    one: Device, others: dict[str, str]
) -> None:
    put = changed(one, DeviceChange(attributes=others))
    assert put.attributes == {**one.attributes, **others}
    taken = changed(one, DeviceChange(attributes=dict.fromkeys(one.attributes)))
    assert taken.attributes == {}


def test_groups_are_all_that_is_told() -> None:
    before = device("a", groups=("x", "y"), name="n")
    after = changed(before, DeviceChange(groups=("z", "b", "z"), name="", notes="new"))
    assert (after.groups, after.name, after.notes) == (("b", "z"), "", "new")
