"""A column of moments says what each of them says when it is printed alone."""

import json
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.instant import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, to_text
from appliance.telemetry.wanted import is_wanted
from web.moment_column import MOMENTS_AT_ONCE, written

STEPS = st.sampled_from([0, 1, 7, 999, SECOND_MS, 4_999, MINUTE_MS - 1, MINUTE_MS, HOUR_MS, DAY_MS - 1, 3 * DAY_MS])


def texts(moments: list[int]) -> list[str]:
    found = json.loads(b"[%b]" % written(is_wanted, moments))
    assert isinstance(found, list)
    return found


@given(st.integers(-(10**13), 10**14), st.lists(st.lists(STEPS, max_size=40), max_size=8))
def test_each_is_printed_as_anywhere_else(first: int, steps: list[list[int]]) -> None:
    moments = list(accumulate((step for some in steps for step in some), initial=first))
    assert texts(moments) == list(map(to_text, moments))


@pytest.mark.parametrize("offset", [0, 1, MINUTE_MS - 1, MINUTE_MS // 2])
def test_no_minute_of_a_day_is_mistaken_for_its_neighbour(offset: int) -> None:
    midnight = 20_600 * DAY_MS
    moments = list(range(midnight + offset, midnight + DAY_MS, MINUTE_MS))
    assert texts(moments) == list(map(to_text, moments))
    assert texts(moments)[-1] == to_text(midnight + DAY_MS - MINUTE_MS + offset)


def test_none_are_nothing() -> None:
    assert written(is_wanted, ()) == b""


def test_it_is_asked_now_and_then_whether_the_rest_is_wanted() -> None:
    calls: list[int] = []
    written(lambda: calls.append(1), range(2 * MOMENTS_AT_ONCE + 1))
    assert len(calls) == 3
