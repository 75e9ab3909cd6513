import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.ingestion.fault import PayloadError
from appliance.ingestion.mapping.model import TimestampUnit
from appliance.ingestion.mapping.moment import in_seconds
from appliance.ingestion.payload import read
from tests.appliance.ingestion.examples import NOW, TOLERANCES, envelope

PER_MS = {TimestampUnit.MILLISECONDS: 1, TimestampUnit.MICROSECONDS: 1_000, TimestampUnit.NANOSECONDS: 1_000_000}
units = st.sampled_from(TimestampUnit)
numbers = st.integers() | st.floats(allow_nan=False)


@given(st.integers(NOW - 100_000_000, NOW), st.sampled_from(sorted(PER_MS)))
def test_a_moment_is_filed_to_the_millisecond_in_whatever_it_was_counted(at: int, unit: TimestampUnit) -> None:
    parsed, fault = read({"timestamp": in_seconds(at * PER_MS[unit], unit), "x": 1}, envelope(), TOLERANCES)
    assert fault is None
    assert parsed is not None
    assert parsed.report.at == at


@given(numbers, units)
def test_a_number_is_some_moment_or_none_and_never_another(number: float, unit: TimestampUnit) -> None:
    with contextlib.suppress(PayloadError):
        seconds = in_seconds(number, unit)
        assert unit is TimestampUnit.USUAL or abs(seconds) < 100_000_000_000


@pytest.mark.parametrize("told", ["2026-01-31T10:30:00Z", None, True, [1], {"a": 1}])
def test_what_is_no_number_stays_as_it_was_told(told: object) -> None:
    assert in_seconds(told, TimestampUnit.NANOSECONDS) is told


def test_the_size_of_a_number_counts_where_a_rule_does_not_say_what_it_is() -> None:
    assert in_seconds(1_769_855_400_000, TimestampUnit.USUAL) == 1_769_855_400_000


@pytest.mark.parametrize("number", [math.inf, 10**400, -(10**400), 10**22])
def test_what_is_no_moment_is_refused_with_its_beginning(number: float) -> None:
    with pytest.raises(PayloadError, match="is no moment in ns"):
        in_seconds(number, TimestampUnit.NANOSECONDS)
