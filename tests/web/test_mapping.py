from appliance.ingestion.mapping.model import Sample
from tests.appliance.ingestion.mapping.examples import BY_FIELD, WEARABLE, rule
from tests.web.house import House
from web.mapping import TriedProblem, tried


async def test_what_would_be_kept_is_told_as_it_would_be_kept(house: House) -> None:
    await house.add_device("watch")
    payload = b'{"deviceId": "watch", "at": 1795240800000000, "n": 3, "t": {"value": 36.6, "unit": "Cel"}}'
    tested = rule(device=BY_FIELD, timestamp="at", timestamp_unit="us", sequence="n")
    told = await tried(house.gateway, 1, Sample("watch", WEARABLE, payload), tested)
    [report] = told.reports
    assert (told.rule, report.device_id, report.sequence) == ("wearables", "watch", 3)
    assert report.at == "2026-11-21T06:00:00.000Z"
    assert (report.readings, report.units) == ({"t": 36.6}, {"t": "Cel"})
    assert told.problems == []


async def test_whether_its_publisher_may_publish_there_is_told_with_why_not(house: House) -> None:
    await house.add_device("watch")
    told = await tried(house.gateway, 1, Sample("watch", WEARABLE, b'{"x": 1}'), rule())
    assert not told.may_publish
    assert "may not publish" in told.may_publish_reason or "no statement" in told.may_publish_reason
    assert [report.readings for report in told.reports] == [{"x": 1}]


async def test_of_a_publisher_that_is_not_there_it_is_told_that_it_is_not(house: House) -> None:
    told = await tried(house.gateway, 1, Sample("nobody", WEARABLE, b'{"x": 1}'), rule())
    assert (told.may_publish, told.reports) == (False, [])
    assert "nobody" in told.may_publish_reason
    wrong = "'nobody' is not registered here, or suspended or retired"
    reason = f"mapping rule 'wearables' takes what devices publish, and {wrong}"
    assert told.problems == [TriedProblem("", "no_device", reason, 1)]


async def test_a_topic_that_no_rule_is_about_comes_to_nothing(house: House) -> None:
    await house.add_device("watch")
    told = await tried(house.gateway, 1, Sample("watch", WEARABLE, b'{"x": 1}'))
    assert (told.rule, told.reports, told.problems) == (None, [], [])
