import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import InvalidInputError
from appliance.registry.catalogue.model import MetricKind, MetricRule, Violation
from web.metric_rules import lines_of, rules_in

_names = st.text("abc Ü=°/.", min_size=1, max_size=6).map(str.strip).filter(bool)
_bounds = st.none() | st.floats(allow_nan=False, allow_infinity=False)
_rules = st.builds(MetricRule, st.sampled_from(MetricKind), _bounds, _bounds, st.sampled_from(Violation))


@given(st.dictionaries(_names, _rules, max_size=4))
def test_rules_are_read_as_they_are_written(rules: dict[str, MetricRule]) -> None:
    assert rules_in(lines_of(rules)) == rules


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("p = number", MetricRule(MetricKind.NUMBER)),
        ("p = reject,from -5", MetricRule(least=-5, violation=Violation.REJECT)),
        ("p = up to 1e3, whole", MetricRule(MetricKind.WHOLE, greatest=1_000)),
        ("p =", MetricRule()),
    ],
)
def test_a_line_may_leave_out_what_goes_without_saying(line: str, rule: MetricRule) -> None:
    assert rules_in(line) == {"p": rule}


@pytest.mark.parametrize("line", ["p", "= number", "p = blue", "p = 1 to", "p = to 5", "p = nan to 5"])
def test_what_is_not_understood_is_refused(line: str) -> None:
    with pytest.raises(InvalidInputError, match="is not understood"):
        rules_in(line)
