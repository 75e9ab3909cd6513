import re
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.telemetry.promql.model import QueryError
from appliance.telemetry.promql.pattern import KEPT_LIMIT, LENGTH_LIMIT, Pattern

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
    with warnings.catch_warnings():
        # Of what may mean something else one day, such as "[[".
        warnings.simplefilter("ignore", FutureWarning)
        assert re.compile(text) is not None


@given(patterns, st.text("abAB1- ", max_size=6))
def test_large_and_small_letters_can_be_the_same(pattern: str, text: str) -> None:
    expected = re.fullmatch(pattern, text, re.ASCII | re.IGNORECASE) is not None
    assert Pattern(f"(?i){pattern}").matches(text) is expected


@given(patterns, st.lists(st.text("ab.1- ", max_size=6), max_size=6))
def test_what_was_matched_before_changes_nothing(pattern: str, texts: list[str]) -> None:
    kept = Pattern(pattern)
    assert [kept.matches(text) for text in texts] == [Pattern(pattern).matches(text) for text in texts]


def test_what_is_kept_is_bounded_and_found_again() -> None:
    pattern = Pattern("(a|b)*a" + "(a|b)" * 300)
    texts = [format(number * 40_503 % 2**16, "016b").replace("0", "a").replace("1", "b") * 25 for number in (1, 2)]
    matched = [pattern.matches(text) for text in texts]
    assert pattern._kept_count <= KEPT_LIMIT + len(pattern._steps) + 1
    assert matched == [text[-301] == "a" for text in texts]
    assert [pattern.matches(text) for text in texts] == matched


@pytest.mark.timeout(5)
def test_names_of_a_fleet_are_matched_quickly_whatever_the_pattern_is() -> None:
    pattern = Pattern(".*" * 1_990 + "b")
    assert not any(pattern.matches(f"pump-station-{number:04}-sensor") for number in range(10_000))


def test_between_two_letters_matching_may_be_given_up() -> None:
    asked: list[None] = []
    pattern = Pattern(".*b")
    pattern.matches("aaab", lambda: asked.append(None))
    # The way from `a` to `a` is known the second time.
    assert len(asked) == 3
    pattern.matches("aaab", lambda: asked.append(None))
    assert len(asked) == 3


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
        ("\\d", "٣", False),
        ("\\w", "é", False),
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
        "a**",
        ".???",
        "[b-a]",
        "a{2}",
        "^a$",
        "\\",
        "\\b",
        "(?P<x>a)",
        "a(?i)b",
        "(" * 30 + ")" * 30,
        "a" * (LENGTH_LIMIT + 1),
    ],
)
def test_what_is_not_known_is_refused(pattern: str) -> None:
    with pytest.raises(QueryError):
        Pattern(pattern)
