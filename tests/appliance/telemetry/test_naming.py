"""Names come back, whether or not they hold the device's name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.telemetry import naming
from appliance.telemetry.packing import ChunkError

texts = st.text(alphabet="ab/\0", max_size=6)


@given(texts, texts)
def test_every_name_comes_back(name: str, device_id: str) -> None:
    assert naming.absolute(naming.relative(name, device_id), device_id) == name


@given(st.lists(st.tuples(texts, texts), max_size=6))
def test_many_names_come_back(pairs: list[tuple[str, str]]) -> None:
    names, devices = [name for name, _ in pairs], [device for _, device in pairs]
    assert naming.absolute_all(naming.relative_all(names, devices), devices) == names


def test_topics_of_one_form_are_one_relative_name() -> None:
    devices = [f"sensor-{number}" for number in range(5)]
    topics = [f"sensors/{device}/telemetry" for device in devices]
    assert set(naming.relative_all(topics, devices)) == {"Tsensors/\0/telemetry"}


def test_equal_names_without_the_device_come_back() -> None:
    assert naming.absolute_all(naming.relative_all(["x", "x"], ["a", "b"]), ["a", "b"]) == ["x", "x"]


@pytest.mark.parametrize("damaged", ["", "Tno-nul", "Xa\0b"])
def test_another_form_is_damage(damaged: str) -> None:
    with pytest.raises(ChunkError):
        naming.absolute(damaged, "sensor-001")
