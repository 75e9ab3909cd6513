import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.alerts.check import InvalidRuleError, check_rule
from appliance.alerts.model import NewRule, Operator, Severity
from appliance.errors import InvalidInputError
from tests.appliance.alerts.examples import rule


@given(st.builds(NewRule))
def test_whatever_is_asked_for_is_put_in_its_final_form_or_refused_with_a_reason(asked: NewRule) -> None:
    try:
        checked = check_rule(asked)
    except InvalidInputError as error:
        reason = str(error)
    else:
        reason = "taken"
        assert check_rule(checked) == checked
    assert reason


def test_the_rule_of_the_handbook_is_taken_as_it_stands() -> None:
    checked = check_rule(
        NewRule(
            name=" Pressure ",
            metric="pressure",
            operator="GREATER_THAN",
            threshold=60,
            hold_ms=300_000,
            severity="HIGH",
            zones=("zone-a", "zone-b"),
            recipients=("maria@example.com", "ops@plant.local", "maria@example.com"),
        )
    )
    assert checked.name == "Pressure"
    assert checked.operator is Operator.GREATER_THAN
    assert checked.severity is Severity.HIGH
    assert checked.clear_threshold == 60
    assert checked.recipients == ("maria@example.com", "ops@plant.local")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"name": "  "}, "name has 0 characters, expected 1 to 80"),
        ({"name": "x" * 81}, "name has 81 characters"),
        ({"name": "a\r\nBcc: eve@example.com"}, "without line breaks"),
        ({"metric": ""}, "metric has 0 characters"),
        ({"operator": "LIKE"}, "operator is 'LIKE', expected one of GREATER_THAN"),
        ({"severity": "bad"}, "severity is 'bad', expected one of low, medium, high, critical"),
        ({"threshold": math.nan}, "threshold is nan, expected a finite number"),
        ({"threshold": 10**400}, "threshold is inf, expected a finite number"),
        ({"clear_threshold": -math.inf}, "clear_threshold is -inf"),
        ({"clear_threshold": 61.0}, "clear_threshold is 61, expected at most the threshold, 60"),
        ({"operator": "LESS_THAN", "clear_threshold": 59.0}, "clear_threshold is 59, expected at least the threshold"),
        ({"hold_ms": -1}, "hold is -1 ms, expected 0 to 604800000 ms"),
        ({"hold_ms": 604_800_001}, "hold is 604800001 ms"),
        ({"zones": ("north", "")}, "zone has 0 characters"),
        ({"zones": tuple(str(number) for number in range(51))}, "51 zones were given, expected at most 50"),
        ({"recipients": ("maria",)}, "recipient is 'maria', expected an e-mail address"),
        ({"recipients": ("maria@example.com\r\nBcc: eve@example.com",)}, "expected an e-mail address"),
    ],
)
def test_a_refusal_says_what_was_expected_and_what_came(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidRuleError) as caught:
        check_rule(rule(**fields))
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    "fields",
    [
        {"clear_threshold": 55.0},
        {"operator": "LESS_OR_EQUAL", "clear_threshold": 65.0},
        {"hold_ms": 604_800_000},
        {"name": "x" * 80},
        {"zones": (), "recipients": ()},
    ],
)
def test_what_lies_just_inside_the_borders_is_taken(fields: dict[str, Any]) -> None:
    assert check_rule(rule(**fields)).name
