from appliance.ingestion.mapping import record
from appliance.ingestion.mapping.model import Change
from tests.appliance.ingestion.mapping.examples import BY_FIELD, rule


def test_a_new_rule_is_told_with_what_it_says() -> None:
    [entry] = record.entries(Change(None, rule(device=BY_FIELD, publishers=["hub"])))
    assert (entry.action, entry.subject) == ("mapping_rule.add", "wearables")
    assert entry.details == {
        "topic": "iot/wearable/data",
        "device": '{"from":"payload","path":"deviceId"}',
        "publishers": '["hub"]',
    }


def test_of_a_change_only_what_is_another_is_told() -> None:
    [entry] = record.entries(Change(rule(metrics={"x": "a"}), rule(metrics={"x": "b"}, timestamp_unit="ns")))
    assert (entry.action, entry.subject) == ("mapping_rule.change", "wearables")
    assert entry.details == {
        "metrics.x.before": "a",
        "metrics.x.after": "b",
        "timestamp_unit.before": "",
        "timestamp_unit.after": "ns",
    }


def test_a_rule_that_went_is_told_with_what_it_was_and_nothing_with_nothing() -> None:
    [entry] = record.entries(Change(rule(topic="lab/x", value={"metric": "level", "unit": "m"}), None))
    assert (entry.action, entry.details["topic"]) == ("mapping_rule.remove", "lab/x")
    assert entry.details["value"] == '{"metric":"level","unit":"m"}'
    assert record.entries(Change(None, None)) == []
