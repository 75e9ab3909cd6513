import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.ingestion.mapping.book import REMEMBERED_LENGTH, MappingBook
from appliance.ingestion.mapping.model import UnknownMappingRuleError
from broker.topics import matches
from tests.appliance.ingestion.mapping.examples import book_of, kept, rule

FILTERS = ("iot/+/data", "iot/#", "iot/wearable/data", "lab/+", "lab", "lab/#")
levels = st.sampled_from(["iot", "lab", "wearable", "data", ""])
topics = st.lists(levels, min_size=1, max_size=4).map("/".join).filter(bool)


@given(st.lists(st.sampled_from(FILTERS), max_size=5), st.lists(topics, min_size=1, max_size=6))
def test_the_first_rule_by_name_whose_filter_matches_is_about_a_topic(filters: list[str], asked: list[str]) -> None:
    book = book_of(*(kept(f"r{number}", topic=topic) for number, topic in reversed(list(enumerate(filters)))))
    for topic in asked * 2:
        expected = next((f"r{number}" for number, each in enumerate(filters) if matches(each, topic)), None)
        turning = book.turning(1, topic)
        assert (turning.name if turning else None) == expected


def test_a_rule_counts_for_its_tenant_alone() -> None:
    book = book_of(kept(tenant_id=1), kept("others", tenant_id=2, topic="lab/x"))
    assert book.turning(2, "iot/wearable/data") is None
    assert book.turning(1, "lab/x") is None
    assert [each.rule.name for each in book.rules(2)] == ["others"]
    with pytest.raises(UnknownMappingRuleError, match="no mapping rule 'wearables'"):
        book.rule(2, "wearables")
    with pytest.raises(UnknownMappingRuleError):
        book.remove(2, "wearables")
    assert book.turning(1, "iot/wearable/data") is not None


def test_a_change_counts_at_once_also_for_topics_that_were_met() -> None:
    book = book_of(kept(topic="iot/#"))
    assert book.turning(1, "iot/a") is not None
    book.put(kept(topic="iot/b"))
    assert book.turning(1, "iot/a") is None
    assert book.turning(1, "iot/b") is not None
    book.remove(1, "wearables")
    assert book.turning(1, "iot/b") is None
    assert book.rules(1) == []


def test_however_many_topics_come_what_is_remembered_has_a_bound_and_the_oldest_of_it_goes() -> None:
    book = MappingBook(topics_limit=100)
    book.put(kept("a", topic="iot/+/x"))
    book.put(kept("b", topic="iot/+"))
    long = "iot/" + "x" * REMEMBERED_LENGTH
    for topic in [f"iot/{number}" for number in range(250)] + [long]:
        assert book.turning(1, topic) is not None
    assert book.turning(1, "iot/a/b") is None
    assert book.turning(1, long) is not None
    assert list(book._found) == [*((1, f"iot/{number}") for number in range(151, 250)), (1, "iot/a/b")]


def test_of_tens_of_thousands_of_devices_every_topic_is_remembered_under_one_rule_and_under_several() -> None:
    topics = [f"iot/device-{number}/data" for number in range(50_000)]
    for others in ([], [kept("a", topic="iot/+/state")]):
        book = book_of(kept("b", topic="iot/+/data"), *others)
        for topic in topics:
            assert book.turning(1, topic) is not None
        assert len(book._found) == len(topics)


def test_nothing_is_remembered_where_no_filter_is_asked_or_one_that_is_asked_quickly() -> None:
    book = book_of(kept("a", topic="iot/#"), kept("b", topic="lab/x"))
    for number in range(10):
        assert book.turning(1, f"iot/{number}/data") is not None
        assert book.turning(1, f"lab/{number}") is None
        assert book.turning(1, f"home/{number}") is None
    assert not book._found
    book.put(kept("c", topic="iot/+/data"))
    assert book.turning(1, "iot/1/data") is not None
    assert list(book._found) == [(1, "iot/1/data")]


def test_a_rule_that_is_tried_alone_is_not_kept() -> None:
    book = book_of(kept(topic="iot/a"))
    alone = book.only(1, rule("tried", topic="lab/x"))
    assert alone.turning(1, "lab/x") is not None
    assert alone.turning(1, "iot/a") is None
    assert alone.may_report(1, "pump")
    assert book.turning(1, "lab/x") is None
