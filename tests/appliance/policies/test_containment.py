"""Containment is judged soundly: against every topic name over a small alphabet."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.policies.containment import LENGTH_LIMIT, Pattern, contains
from tests.appliance.policies.examples import (
    TOPICS,
    globs,
    mixed_patterns,
    mqtt_filters,
    stands_for,
    topics,
)

languages = st.one_of(
    st.tuples(mqtt_filters, st.just((True, False))),
    st.tuples(globs, st.just((False, True))),
    st.tuples(mixed_patterns, st.just((True, True))),
)


@settings(max_examples=400)
@given(pattern=languages, topic=topics, denies=st.booleans())
def test_a_pattern_matches_what_it_stands_for(pattern: tuple[str, tuple[bool, bool]], topic: str, denies: bool) -> None:
    text, (levels, has_globs) = pattern
    expected = stands_for(text, topic, levels=levels, globs=has_globs, denies=denies)
    assert Pattern(text, levels=levels, globs=has_globs).matches(topic, denies=denies) == expected


@given(pattern=languages, wish=mqtt_filters)
def test_a_covered_filter_matches_no_topic_that_the_pattern_does_not_stand_for(
    pattern: tuple[str, tuple[bool, bool]], wish: str
) -> None:
    text, (levels, has_globs) = pattern
    if Pattern(text, levels=levels, globs=has_globs).covers(wish):
        matched = [topic for topic in TOPICS if stands_for(wish, topic)]
        assert all(stands_for(text, topic, levels=levels, globs=has_globs) for topic in matched)


@given(pattern=languages, wish=mqtt_filters)
def test_a_filter_that_is_not_touched_matches_no_topic_that_is_denied(
    pattern: tuple[str, tuple[bool, bool]], wish: str
) -> None:
    text, (levels, has_globs) = pattern
    if not Pattern(text, levels=levels, globs=has_globs).touches(wish):
        matched = [topic for topic in TOPICS if stands_for(wish, topic)]
        assert not any(stands_for(text, topic, levels=levels, globs=has_globs, denies=True) for topic in matched)


@given(topic=topics, resource=mqtt_filters)
def test_a_topic_name_is_contained_exactly_when_it_matches(topic: str, resource: str) -> None:
    assert contains(resource, topic) == stands_for(resource, topic)


@given(resource=mqtt_filters)
def test_every_filter_contains_itself(resource: str) -> None:
    assert contains(resource, resource)


@pytest.mark.parametrize(
    ("pattern", "wish"),
    [
        ("a/*", "a/+"),
        ("a/*", "a/b/#"),
        ("*", "#"),
        ("*/b", "+/b"),
        ("a/?*", "a/b/+"),
        ("$aws/things/x/shadow/*", "$aws/things/x/shadow/get/+"),
    ],
)
def test_stars_cover_the_wildcards_that_lie_within(pattern: str, wish: str) -> None:
    assert Pattern(pattern, levels=False, globs=True).covers(wish)


@pytest.mark.parametrize(
    ("pattern", "wish"),
    [
        ("a/*", "a/#"),
        ("a/*", "+/b"),
        ("a/?", "a/+"),
        ("*b", "a/+"),
        ("shadow/get/accepted", "shadow/get/+"),
        ("a/+", "a/b"),
    ],
)
def test_what_reaches_further_is_not_covered(pattern: str, wish: str) -> None:
    assert not Pattern(pattern, levels=False, globs=True).covers(wish)


@pytest.mark.parametrize(
    ("pattern", "wish"), [("a/*", "#"), ("secret", "+"), ("*$b", "#"), ("a/b/*", "a/+/c"), ("?/x", "+/x")]
)
def test_a_denial_touches_a_filter_that_only_reaches_into_it(pattern: str, wish: str) -> None:
    assert Pattern(pattern, globs=True).touches(wish)


def test_a_plus_beside_stars_still_stands_for_one_level() -> None:
    mixed = Pattern("+/b?", globs=True)
    assert mixed.matches("a/bx")
    assert not mixed.matches("a/a/bx")
    assert mixed.covers("+/bx")
    assert not mixed.covers("+/+/bx")
    assert not mixed.covers("a/#")
    assert mixed.touches("a/+")
    assert not mixed.touches("a/a/+")


def test_patterns_too_hard_to_judge_are_judged_against_the_device() -> None:
    hard = Pattern("*a" + "?" * 40 + "b", levels=False, globs=True)
    wish = "/".join(["a", "+"] * 60) + "/#"
    assert not hard.covers(wish)
    assert hard.touches(wish)


def test_a_wish_too_long_to_judge_is_judged_against_the_device() -> None:
    long = "a/" * LENGTH_LIMIT + "#"
    assert not Pattern("*", globs=True).covers(long)
    assert Pattern("b*", globs=True).touches(long)
    mixed = Pattern("+/*b", globs=True)
    assert not mixed.matches("a/" + "b" * LENGTH_LIMIT)
    assert mixed.matches("a/" + "c" * LENGTH_LIMIT, denies=True)


def test_a_hard_pattern_is_matched_in_little_time() -> None:
    assert not Pattern("*a" * 60 + "c", levels=False, globs=True).matches("a" * 60_000)
