import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.telemetry.promql.model import QueryError
from appliance.telemetry.promql.pattern import LENGTH_LIMIT, Pattern

ATOMS = ["a", "b", ".", "[ab]", "[^a]", "[a-b.]", "\\.", "\\d", "\\w", "-", "[]a]", "[a-]", "\\s"]
patterns = st.recursive(
    st.sampled_from(ATOMS),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["*", "+", "?", "*?", "+?"])).map(lambda pair: f"({pair[0]}){pair[1]}"),
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map("(?:{0[0]}|{0[1]})".format),
    ),
    max_leaves=8,
)


@given(patterns, st.text("ab.1- ", max_size=6))
def test_a_pattern_matches_what_the_standard_library_says(pattern: str, text: str) -> None:
    assert Pattern(pattern).matches(text) is (re.fullmatch(pattern, text, re.ASCII) is not None)


@given(st.text("ab(|)[]*+?\\.^$-{}d"))
def test_no_text_raises_anything_else(text: str) -> None:
    try:
        Pattern(text).matches("ab")
    except QueryError:
        return
    assert re.compile(text) is not None


@pytest.mark.timeout(5)
def test_no_pattern_takes_for_ever() -> None:
    assert not Pattern("((a+)+)+b").matches("a" * 2_000)
    assert not Pattern("(a|a)*" * 50 + "b").matches("a" * 200)


@pytest.mark.parametrize(
    ("pattern", "text", "is_matched"),
    [
        ("", "", True),
        ("", "a", False),
        ("pump-1|pump-2", "pump-2", True),
        ("pump-1|", "", True),
        (".*-2", "pump-2", True),
        ("pump", "pump-2", False),
        ("gps\\.lat", "gps_lat", False),
    ],
)
def test_the_whole_text_is_matched(pattern: str, text: str, *, is_matched: bool) -> None:
    assert Pattern(pattern).matches(text) is is_matched


@pytest.mark.parametrize(
    "pattern",
    [
        "(",
        ")",
        "[a",
        "*",
        "a{2}",
        "^a$",
        "\\",
        "\\b",
        "(?P<x>a)",
        "(?i)a",
        "(" * 30 + ")" * 30,
        "a" * (LENGTH_LIMIT + 1),
    ],
)
def test_what_is_not_known_is_refused(pattern: str) -> None:
    with pytest.raises(QueryError):
        Pattern(pattern)
