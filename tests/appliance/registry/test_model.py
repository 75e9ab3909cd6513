"""Which names a device may have."""

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import InvalidInputError
from appliance.registry.model import InvalidDeviceIdError, NewDevice, check_device_id, check_new_device
from tests.appliance.registry.examples import device_ids


@given(device_id=device_ids)
def test_a_good_device_id_passes_as_it_is(device_id: str) -> None:
    assert check_device_id(device_id) == device_id


@given(text=st.text(max_size=140))
def test_a_device_id_is_one_exactly_by_its_pattern(text: str) -> None:
    if re.match(r"\A[A-Za-z0-9:_\-]{1,128}\Z", text):
        check_device_id(text)
        return
    with pytest.raises(InvalidDeviceIdError):
        check_device_id(text)


@pytest.mark.parametrize("character", list("+#/ \n\0.{}*"))
def test_a_device_id_holds_nothing_that_means_something_in_a_topic_or_a_path(character: str) -> None:
    with pytest.raises(InvalidDeviceIdError):
        check_device_id(f"sensor{character}")


def test_a_refusal_of_a_long_name_is_short() -> None:
    with pytest.raises(InvalidDeviceIdError) as refusal:
        check_device_id("x" * 100_000)
    assert len(str(refusal.value)) < 300


@pytest.mark.parametrize("field", ["name", "type", "zone", "serial_number"])
def test_a_text_that_is_too_long_is_refused_by_its_name(field: str) -> None:
    check_new_device(msgspec.structs.replace(NewDevice("a"), **{field: "x" * 256}))
    with pytest.raises(InvalidInputError, match=f"{field} of a"):
        check_new_device(msgspec.structs.replace(NewDevice("a"), **{field: "x" * 257}))
