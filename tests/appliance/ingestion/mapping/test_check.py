from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.ingestion.mapping.check import as_text, check_rule, parse, read, written
from appliance.ingestion.mapping.model import InvalidMappingRuleError, MappingRule, OneValue, TopicLevel, ValueKind
from tests.appliance.ingestion.mapping.examples import BY_FIELD, rule

names = st.text(st.characters(codec="utf-8", exclude_characters="."), min_size=1, max_size=10)
paths = st.lists(names, min_size=1, max_size=8).map(".".join)
metrics = st.dictionaries(names, paths | st.fixed_dictionaries({"path": paths, "unit": names}), max_size=5)
documents = st.fixed_dictionaries(
    {"topic": st.sampled_from(["iot/a", "iot/+/b", "lab/#"])},
    optional={
        "device": st.just({"from": "publisher"}) | paths.map(lambda path: {"from": "payload", "path": path}),
        "timestamp": paths,
        "timestamp_unit": st.sampled_from(["s", "ms", "us", "ns"]),
        "sequence": paths,
        "metrics": metrics,
        "publishers": st.lists(names, max_size=3),
    },
)


@given(documents)
def test_a_document_that_was_written_is_read_as_the_same(told: dict[str, Any]) -> None:
    document = check_rule(MappingRule("r", read(told))).document
    assert read(written(document)) == document
    assert parse(as_text(document)) == document


@given(st.text(max_size=40) | st.binary(max_size=40))
def test_any_text_is_a_document_or_is_refused_with_a_sentence(text: str | bytes) -> None:
    with pytest.raises(InvalidMappingRuleError, match="the rule is"):
        parse(text)


@pytest.mark.parametrize("name", ["", "try", "a b", "-a", "ä", "a" * 65, "a/b", "a\n"])
def test_some_names_are_not_taken(name: str) -> None:
    with pytest.raises(InvalidMappingRuleError, match="cannot be a mapping rule's name"):
        check_rule(MappingRule(name, rule().document))


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"topic": "#"}, "its first level must be a name"),
        ({"topic": "+/data"}, "its first level must be a name"),
        ({"topic": "/data"}, "its first level must be a name"),
        ({"topic": ""}, "topic is no topic filter"),
        ({"topic": "a/#/b"}, "topic is no topic filter"),
        ({"topic": "a/" + "b" * 511}, "513 characters, at most 512"),
        ({"topic": "sensors/+/raw"}, "the gateway's own"),
        ({"topic": "cmd/x"}, "the gateway's own"),
        ({"topic": "$share/g/iot"}, "the gateway's own"),
        ({"topic": "iot/+", "device": {"from": "topic", "level": 0}}, "the levels of 'iot/+' count from 1"),
        ({"topic": "iot/+", "device": {"from": "topic", "level": 3}}, "the levels of 'iot/+' count from 1"),
        ({"topic": "iot/#", "device": {"from": "topic", "level": 10_000}}, "count from 1"),
        ({"topic": "iot/+", "device": {"from": "topic", "level": 1}}, "always says 'iot'"),
        ({"device": {"from": "payload", "path": "a..b"}}, "device is no path"),
        ({"timestamp": ".a"}, "timestamp is no path"),
        ({"sequence": ".".join("abcdefghi")}, "sequence is no path: 1 to 8 names"),
        ({"metrics": {"x": "a" * 257}}, "metrics.x is no path"),
        ({"metrics": {"": "a"}}, "a metric name has 1 to 128 characters"),
        ({"metrics": {f"m{number}": "a" for number in range(65)}}, "65 metrics, at most 64"),
        ({"metrics": {"x": {"path": "a", "unit": "u" * 33}}}, "the unit of 'x' is longer than 32 characters"),
        ({"publishers": [str(number) for number in range(101)]}, "101 publishers, at most 100"),
        ({"publishers": [""]}, "publishers are device ids"),
        ({"value": {"metric": ""}}, "a metric name has 1 to 128 characters"),
        ({"value": {"metric": "x", "unit": "u" * 33}}, "the unit of 'x'"),
        ({"value": {"metric": {"from": "topic", "level": 3}}}, "value.metric.level is 3, where"),
        ({"value": {"metric": "x"}, "timestamp": "t"}, "no timestamp, sequence or metric to look for"),
        ({"value": {"metric": "x"}, "metrics": {"x": "a"}}, "no timestamp, sequence or metric to look for"),
        ({"value": {"metric": "x"}, "device": BY_FIELD}, "named by a level of the topic"),
    ],
)
def test_what_cannot_be_a_rule_is_refused_with_what_is_wrong(document: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidMappingRuleError) as refused:
        rule(**document)
    assert reason in str(refused.value)


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({}, "missing required field `topic`"),
        ({"topic": "a", "tpic": "b"}, "unknown field"),
        ({"topic": "a", "device": {"from": "moon"}}, "Invalid value"),
        ({"topic": "a", "timestamp_unit": "weeks"}, "Invalid enum value 'weeks'"),
        ({"topic": "a", "value": {"metric": "x", "kind": "colour"}}, "Invalid enum value 'colour'"),
        ({"topic": "a", "value": {"metric": {"from": "payload", "path": "x"}}}, "Invalid value"),
        ([], "Expected `object`"),
    ],
)
def test_what_is_no_document_is_refused_with_where(document: object, reason: str) -> None:
    with pytest.raises(InvalidMappingRuleError, match="not of a form that is known") as refused:
        read(document)
    assert reason in str(refused.value)


def test_a_text_that_is_too_long_is_not_read() -> None:
    with pytest.raises(InvalidMappingRuleError, match="longer than 65,536 bytes"):
        parse(b" " * 65_537)


def test_levels_below_a_wildcard_may_name_the_device_and_the_metric() -> None:
    value = {"metric": {"from": "topic", "level": 4}, "kind": "number", "unit": "Cel"}
    document = rule(topic="home/#", device={"from": "topic", "level": 3}, value=value).document
    assert (document.device, document.value) == (TopicLevel(3), OneValue(TopicLevel(4), ValueKind.NUMBER, "Cel"))
