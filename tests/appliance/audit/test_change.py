"""What an entry tells of a change is true, and short whatever was changed."""

from collections.abc import Mapping

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from appliance.audit import change


class Thing(msgspec.Struct, frozen=True):
    name: str
    size: int | None = None
    marks: tuple[str, ...] = ()
    words: Mapping[str, str] = {}


things = st.builds(
    Thing,
    st.text(max_size=1_000),
    st.none() | st.integers(-5, 5),
    st.lists(st.text(max_size=3), max_size=3).map(tuple),
    st.dictionaries(st.text("abc", min_size=1, max_size=2), st.text(min_size=1, max_size=9), max_size=40),
)


@given(before=things, after=things)
def test_something_is_told_exactly_when_something_is_another(before: Thing, after: Thing) -> None:
    assert bool(change.changes(before, after)) == (before != after)


@given(before=things, after=things)
def test_what_is_told_is_bounded(before: Thing, after: Thing) -> None:
    for told in (change.changes(before, after), change.facts(after)):
        assert len(told) <= 2 * change.FIELDS_LIMIT + 1
        assert all(len(text) <= change.TEXT_LENGTH + 120 for text in told.values())


def test_a_change_tells_what_was_and_what_is() -> None:
    before = Thing("a", 3, ("x",), {"colour": "red", "room": "1"})
    after = Thing("b", None, ("x",), {"colour": "blue", "room": "1"})
    assert change.changes(before, after) == {
        "name.before": "a",
        "name.after": "b",
        "size.before": "3",
        "size.after": "",
        "words.colour.before": "red",
        "words.colour.after": "blue",
    }
    assert change.facts(before) == {
        "marks": '["x"]',
        "name": "a",
        "size": "3",
        "words.colour": "red",
        "words.room": "1",
    }


def test_what_is_left_out_is_counted() -> None:
    thing = Thing("a", words={str(number): "x" for number in range(30)})
    assert change.facts(thing)["more"] == "11 other fields"


def test_two_long_texts_with_the_same_beginning_are_told_apart() -> None:
    one, other = change.bounded("a" * 500), change.bounded("a" * 499 + "b")
    assert one != other
    assert "(500 characters, SHA-256 " in one
    assert change.bounded("short") == "short"
