"""Topic names and filters, by the plain statement of section 4.7 and its examples."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import ProtocolError
from broker.limits import Limits
from broker.reason_codes import ReasonCode
from broker.topics import check_name, filter_fault, matches, shared_parts
from tests.broker.strategies import clean_texts, filters, names

LIMITS = Limits(topic_bytes=20, topic_levels=5)
share_names = clean_texts.filter(lambda text: text and not set(text) & set("+#/"))


@given(names)
def test_a_name_matches_itself_and_the_filter_for_all(name: str) -> None:
    assert matches(name, name)
    assert matches("#", name) == (not name.startswith("$"))


@given(names, st.integers(0, 3))
def test_a_wildcard_matches_whatever_fills_its_level(name: str, level: int) -> None:
    levels = name.split("/")
    place = level % len(levels)
    is_hidden = place == 0 and name.startswith("$")
    assert matches("/".join([*levels[:place], "+", *levels[place + 1 :]]), name) == (not is_hidden)
    assert matches("/".join([*levels[:place], "#"]), name) == (not is_hidden)
    assert not matches("/".join([*levels, "+"]), name)
    assert matches("/".join([*levels, "#"]), name)


def as_stated(topic_filter: str, name: str) -> bool:
    """Section 4.7 level by level."""
    levels, parts = topic_filter.split("/"), name.split("/")
    if name.startswith("$") and levels[0] in ("+", "#"):
        return False
    if levels[-1] == "#":
        levels.pop()
        parts = parts[: len(levels)]
    return len(levels) == len(parts) and all(map(lambda level, part: level in ("+", part), levels, parts))


few_levels = st.lists(st.sampled_from(["", "a", "ab", "$a"]), min_size=1, max_size=4)


@given(few_levels, st.lists(st.sampled_from(["", "a", "ab", "$a", "+"]), max_size=4), st.booleans())
def test_a_filter_matches_what_the_specification_says(name: list[str], wanted: list[str], is_open: bool) -> None:
    topic_filter = "/".join([*wanted, "#"] if is_open else wanted or ["+"])
    assert matches(topic_filter, "/".join(name)) == as_stated(topic_filter, "/".join(name))


@given(filters, share_names)
def test_a_filter_is_valid_alone_and_shared(topic_filter: str, share: str) -> None:
    shared = f"$share/{share}/{topic_filter}"
    assert filter_fault(topic_filter, Limits()) is None
    assert filter_fault(shared, Limits()) is None
    assert shared_parts(shared) == (share, topic_filter)
    assert shared_parts(topic_filter) == ("", topic_filter)


@given(st.text(st.sampled_from("ab+#/$share"), max_size=12), names)
def test_no_text_breaks_what_checks_filters(text: str, name: str) -> None:
    if filter_fault(text, LIMITS) is None:
        matches(shared_parts(text)[1], name)


@given(st.text(st.sampled_from("ab/+#$é"), max_size=24))
def test_a_name_is_taken_or_refused_for_what_it_is(text: str) -> None:
    if set(text) & {"+", "#"}:
        assert refused_with(text) is ReasonCode.MALFORMED_PACKET
    elif not text or len(text.encode()) > 20 or text.count("/") > 4:
        assert refused_with(text) is ReasonCode.TOPIC_NAME_INVALID
    else:
        check_name(text, LIMITS)


def refused_with(name: str) -> ReasonCode:
    with pytest.raises(ProtocolError) as refused:
        check_name(name, LIMITS)
    return refused.value.code


@pytest.mark.parametrize(
    ("topic_filter", "name", "expected"),
    [
        # The examples of section 4.7.1.
        ("sport/tennis/player1/#", "sport/tennis/player1", True),
        ("sport/tennis/player1/#", "sport/tennis/player1/ranking", True),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", True),
        ("sport/#", "sport", True),
        ("sport/tennis/+", "sport/tennis/player1", True),
        ("sport/tennis/+", "sport/tennis/player1/ranking", False),
        ("sport/+", "sport", False),
        ("sport/+", "sport/", True),
        ("+/+", "/finance", True),
        ("/+", "/finance", True),
        ("+", "/finance", False),
        ("#", "$SYS/uptime", False),
        ("+/uptime", "$SYS/uptime", False),
        ("$SYS/#", "$SYS/uptime", True),
        ("$SYS/uptime/+", "$SYS/uptime/s", True),
        ("ACCOUNTS", "Accounts", False),
    ],
)
def test_matching_follows_the_specification(topic_filter: str, name: str, expected: bool) -> None:
    assert matches(topic_filter, name) is expected


@pytest.mark.parametrize(
    "topic_filter", ["", "a/#/b", "#/a", "a+", "+a", "a#", "a/b#", "##", "++", "a/+b/c", "x" * 21, "/" * 5]
)
def test_a_filter_that_is_not_valid_has_a_fault_alone_and_shared(topic_filter: str) -> None:
    assert filter_fault(topic_filter, LIMITS)
    assert filter_fault(f"$share/g/{topic_filter}", LIMITS)


@pytest.mark.parametrize("topic_filter", ["$share", "$share/", "$share/g", "$share//a", "$share/g+/a", "$share/#/a"])
def test_a_shared_subscription_without_a_name_or_a_filter_has_a_fault(topic_filter: str) -> None:
    assert filter_fault(topic_filter, LIMITS)


def test_the_name_of_a_shared_subscription_is_as_long_as_a_topic_at_most() -> None:
    assert filter_fault(f"$share/{'x' * 20}/{'/' * 4}", LIMITS) is None, "what comes before the filter is not counted"
    assert filter_fault(f"$share/{'x' * 21}/a", LIMITS)
    assert filter_fault(f"$share/{'ä' * 11}/a", LIMITS)


def test_what_only_looks_shared_is_a_filter_like_any_other() -> None:
    assert filter_fault("$shared/a", LIMITS) is None
    assert shared_parts("$shared/a/b") == ("", "$shared/a/b")


@pytest.mark.parametrize("name", ["", "#", "+", "a/+/b", "a+", "x" * 21, "ä" * 11, "/" * 5])
def test_a_name_that_is_not_valid_is_refused(name: str) -> None:
    with pytest.raises(ProtocolError):
        check_name(name, LIMITS)


@pytest.mark.parametrize("name", ["x", "x" * 20, "ä" * 10, "/" * 4, " ", "$a"])
def test_a_name_within_the_limits_is_taken(name: str) -> None:
    check_name(name, LIMITS)
    assert filter_fault(name, LIMITS) is None
