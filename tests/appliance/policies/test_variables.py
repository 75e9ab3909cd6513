import pytest

from appliance.policies.model import Comparison, Condition, InvalidPolicyError, Kind, Resource, Subject
from appliance.policies.variables import IS_ATTACHED, THING_TYPE, check_variables, filled, holds

PUMP = Subject("pump-1", "pump", "north", "S1", {"site": "roof", "wide": "a/#"})


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        (Kind.FILTER, "{device_id}/{type}/{zone}/{serial_number}/{attributes.site}", "pump-1/pump/north/S1/roof"),
        (Kind.FILTER, "{attributes.wide}/x", None),
        (Kind.FILTER, "{attributes.none}/x", None),
        (Kind.FILTER, "a/+/*", "a/+/*"),
        (Kind.AWS_TOPIC, "{device_id}/*", "{device_id}/*"),
        (Kind.AWS_CLIENT, "${iot:ClientId}", "pump-1"),
        (Kind.AWS_TOPIC, "${iot:Connection.Thing.ThingName}/${iot:Connection.Thing.ThingTypeName}", "pump-1/pump"),
        (
            Kind.AWS_TOPIC,
            "${iot:Connection.Thing.Attributes[site]}/${iot:Certificate.Subject.CommonName}",
            "roof/pump-1",
        ),
        (Kind.AWS_TOPIC, "${iot:Connection.Thing.Attributes[wide]}", None),
    ],
)
def test_variables_stand_for_values_of_the_device(kind: Kind, text: str, expected: str | None) -> None:
    check_variables(Resource(kind, text))
    assert filled(Resource(kind, text), PUMP) == expected


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        (Kind.FILTER, "a/{attributes.wide}/x", "a/+/#"),
        (Kind.FILTER, "{attributes.wide}/x", "#"),
        (Kind.FILTER, "a/b{attributes.wide}", "a/+/#"),
        (Kind.FILTER, "{zone}/{attributes.wide}/x", "#"),
        (Kind.FILTER, "a/{attributes.none}/x", None),
        (Kind.FILTER, "a/{zone}/x", "a/north/x"),
        (Kind.CLIENT_ID, "{attributes.wide}", "a/#"),
        (Kind.AWS_TOPIC, "a/${iot:Connection.Thing.Attributes[wide]}/x", "a/*"),
        (Kind.AWS_TOPIC, "a/${iot:Connection.Thing.Attributes[none]}/x", None),
    ],
)
def test_a_value_that_could_widen_a_denial_does(kind: Kind, text: str, expected: str | None) -> None:
    assert filled(Resource(kind, text), PUMP, denies=True) == expected


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Kind.FILTER, "{name}/x"),
        (Kind.FILTER, "{device_id"),
        (Kind.FILTER, "device_id}"),
        (Kind.FILTER, "{}"),
        (Kind.FILTER, "{attributes.}"),
        (Kind.AWS_TOPIC, "${aws:SourceIp}/x"),
        (Kind.AWS_TOPIC, "${iot:ClientId"),
        (Kind.AWS_TOPIC, "${*}"),
    ],
)
def test_a_variable_that_cannot_be_filled_in_is_refused(kind: Kind, text: str) -> None:
    with pytest.raises(InvalidPolicyError):
        check_variables(Resource(kind, text))


@pytest.mark.parametrize(
    ("test", "values", "expected"),
    [
        (Comparison.EQUALS, ("fan", "pump"), True),
        (Comparison.EQUALS, ("pu*",), False),
        (Comparison.NOT_EQUALS, ("fan",), True),
        (Comparison.NOT_EQUALS, ("pump",), False),
        (Comparison.LIKE, ("pu?p",), True),
        (Comparison.LIKE, ("+",), False),
        (Comparison.NOT_LIKE, ("p*",), False),
        (Comparison.NOT_LIKE, ("f*",), True),
    ],
)
def test_conditions_compare_as_those_of_aws(test: Comparison, values: tuple[str, ...], expected: bool) -> None:
    assert holds(Condition(test, THING_TYPE, values), PUMP) is expected


def test_a_missing_value_equals_nothing_and_differs_from_everything() -> None:
    bare = Subject("a")
    assert not holds(Condition(Comparison.EQUALS, THING_TYPE, ("",)), bare)
    assert not holds(Condition(Comparison.LIKE, THING_TYPE, ("*",)), bare)
    assert holds(Condition(Comparison.NOT_EQUALS, THING_TYPE, ("pump",)), bare)
    assert holds(Condition(Comparison.NOT_LIKE, THING_TYPE, ("*",)), bare)


def test_a_device_is_always_attached_to_its_certificate() -> None:
    assert holds(Condition(Comparison.IS, IS_ATTACHED, ("true",)), PUMP)
    assert not holds(Condition(Comparison.IS, IS_ATTACHED, ("false",)), PUMP)
