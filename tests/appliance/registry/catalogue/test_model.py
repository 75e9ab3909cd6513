"""What can be kept of types, filters and devices."""

import pytest

from appliance.errors import InvalidInputError
from appliance.registry.catalogue.model import DeviceType, MetricKind, MetricRule, check_filter_name, check_type
from appliance.registry.model import NewDevice, check_new_device


@pytest.mark.parametrize(
    "told",
    [
        DeviceType(""),
        DeviceType(" x"),
        DeviceType("a/b"),
        DeviceType("x" * 257),
        DeviceType("x", "y" * 2_001),
        DeviceType("x", units={"": "bar"}),
        DeviceType("x", units={"p": ""}),
        DeviceType("x", units={"p": "y" * 33}),
        DeviceType("x", units={str(number): "bar" for number in range(201)}),
        DeviceType("x", metrics={"": MetricRule()}),
        DeviceType("x", metrics={str(number): MetricRule() for number in range(201)}),
        DeviceType("x", metrics={"p": MetricRule(MetricKind.TEXT, least=1)}),
        DeviceType("x", metrics={"p": MetricRule(least=2, greatest=1)}),
        DeviceType("x", metrics={"p": MetricRule(least=float("nan"))}),
        DeviceType("x", metrics={"p": MetricRule(greatest=float("inf"))}),
        DeviceType("x", expected_interval_ms=0),
        DeviceType("x", expected_interval_ms=367 * 86_400_000),
    ],
)
def test_a_type_that_cannot_be_kept_is_told(told: DeviceType) -> None:
    with pytest.raises(InvalidInputError):
        check_type(told)


def test_a_type_is_kept_as_it_is_told() -> None:
    rules = {"pressure": MetricRule(MetricKind.NUMBER, 0, 0), "mode": MetricRule(MetricKind.TEXT)}
    told = DeviceType("px 100", "Pressure", {"pressure": "kPa"}, 5_000, rules)
    assert check_type(told) is told


@pytest.mark.parametrize("name", ["", " ", "a/b", " a", "x" * 257, "a\nb"])
def test_a_filter_needs_a_name(name: str) -> None:
    with pytest.raises(InvalidInputError):
        check_filter_name(name)


@pytest.mark.parametrize(
    ("new", "sentence"),
    [
        (NewDevice("a", groups=("x|y",)), "cannot be a group"),
        (NewDevice("a", groups=("",)), "cannot be a group"),
        (NewDevice("a", groups=(" x",)), "cannot be a group"),
        (NewDevice("a", groups=tuple(map(str, range(33)))), "33 groups"),
        (NewDevice("a", attributes={"a b": "x"}), "cannot name an attribute"),
        (NewDevice("a", attributes={"k": ""}), "has no text"),
        (NewDevice("a", attributes={"k": "x" * 257}), "attribute k of a has more than 256"),
        (NewDevice("a", attributes={str(number): "x" for number in range(65)}), "65 attributes"),
        (NewDevice("a", notes="x" * 10_001), "more than 10,000"),
        (NewDevice("a", name="\0"), "NUL"),
    ],
)
def test_what_cannot_be_kept_of_a_device_is_told(new: NewDevice, sentence: str) -> None:
    with pytest.raises(InvalidInputError) as error:
        check_new_device(new)
    assert sentence in str(error.value)
