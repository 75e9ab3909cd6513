import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.instant import DAY_MS, HOUR_MS, MINUTE_MS, day_of
from appliance.registry.model import DEFAULT_TENANT
from appliance.telemetry.coarse.model import Lacking
from appliance.telemetry.promql.model import Series, Steps
from tests.web.house import Client, House
from tests.web.retention import let_go
from web.api.prometheus import _matrix, _vector, written
from web.auth import PROMETHEUS
from web.shell import moment

API = "/v1/prometheus/api/v1"
FLOW = {"__name__": "flow", "device_id": "a", "metric": "flow", "zone": "north"}


async def filled(house: House) -> int:
    at = moment() // HOUR_MS * HOUR_MS - HOUR_MS
    await house.add_device("a", zone="north")
    await house.add_device("b", zone="south")
    for number in range(4):
        await house.send("a", {"flow": number, "gps.lat": 1.5}, at=at + number * MINUTE_MS)
    await house.send("b", {"flow": 10}, at=at)
    return at


async def asked(client: Client, path: str, **parameters: Any) -> Any:
    answer = await client.get(f"{API}/{path}", params=parameters)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["status"] == "success"
    return told["data"]


async def test_a_query_is_answered_in_the_form_of_prometheus(script: Client, house: House) -> None:
    at = await filled(house)
    at_once = await asked(script, "query", query='flow{zone="north"}', time=at / 1000 + 90)
    assert at_once == {"resultType": "vector", "result": [{"metric": FLOW, "value": [at / 1000 + 90, "1"]}]}
    form = {"query": "sum(flow)", "start": str(at / 1000 + 1), "end": str(at / 1000 + 121), "step": "1m"}
    answer = await script.post(f"{API}/query_range", data=form)
    sums = [[at / 1000 + 1, "10"], [at / 1000 + 61, "11"], [at / 1000 + 121, "12"]]
    assert answer.json() == {
        "status": "success",
        "data": {"resultType": "matrix", "result": [{"metric": {}, "values": sums}]},
    }


async def test_what_grafana_asks_to_see_whether_all_is_well_is_answered(script: Client) -> None:
    assert await asked(script, "query", query="1+1", time=4) == {"resultType": "scalar", "result": [4, "2"]}
    numbers = await asked(script, "query_range", query="1+1", start=0, end=2, step=1)
    assert numbers["result"] == [{"metric": {}, "values": [[0, "2"], [1, "2"], [2, "2"]]}]
    assert (await asked(script, "status/buildinfo"))["version"] == "2.42.0"


async def test_warnings_name_the_days_that_an_answer_lacks_something_of(script: Client, house: House) -> None:
    at = await filled(house) // DAY_MS * DAY_MS - 2 * DAY_MS
    await house.send("a", {"flow": 1.0}, at=at)

    async def warnings(query: str, when: int) -> Any:
        told = (await script.get(f"{API}/query", params={"query": query, "time": when / 1000})).json()
        ranged: dict[str, str | float] = {"query": query, "start": when / 1000, "end": when / 1000, "step": "1m"}
        assert (await script.get(f"{API}/query_range", params=ranged)).json().get("warnings") == told.get("warnings")
        return told.get("warnings")

    soon, day = at + MINUTE_MS, day_of(at)
    assert await warnings("flow", soon) is None
    await let_go(house, at // DAY_MS)
    gone = f"of {day} only roll-ups are left: what needs single readings is not here"
    assert await warnings("flow", soon) == [gone]
    assert await warnings("max_over_time(flow[1h])", at + HOUR_MS) is None
    house.gateway.telemetry.day_files.note_damage("a chunk", at // DAY_MS, (DEFAULT_TENANT, "a"))
    assert await warnings("flow", soon) == [f"readings of {day} are damaged or missing: some may not be here", gone]
    assert await warnings('flow{device_id="b"}', soon) is None


async def test_what_there_is_can_be_looked_up(script: Client, house: House) -> None:
    await filled(house)
    assert await asked(script, "labels") == ["__name__", "device_id", "metric", "zone"]
    assert await asked(script, "label/__name__/values") == ["flow", "gps_lat"]
    assert await asked(script, "label/zone/values", **{"match[]": "gps_lat"}) == ["north"]
    assert await asked(script, "series", **{"match[]": 'flow{device_id="a"}'}) == [FLOW]
    assert (await script.post(f"{API}/series", data={"match[]": "gps_lat"})).json()["data"][0]["metric"] == "gps.lat"
    assert (await script.post(f"{API}/labels", data={})).json()["data"] == await asked(script, "labels")
    assert set(await asked(script, "metadata")) == {"flow", "gps_lat"}
    assert set(await asked(script, "metadata", metric="gps_lat")) == {"gps_lat"}
    assert set(await asked(script, "metadata", limit=1)) == {"flow"}


async def test_metadata_has_the_units_of_each_metric(script: Client, house: House) -> None:
    await filled(house)
    await house.send("b", {"readings": {"flow": {"value": 11, "unit": "l/s"}, "gps.lat": 2.5}})
    told = await asked(script, "metadata")
    gauge = {"type": "gauge", "help": ""}
    assert told == {"flow": [{**gauge, "unit": "l/s"}], "gps_lat": [{**gauge, "unit": ""}]}
    await house.send("a", {"readings": {"flow": {"value": 12, "unit": "l/min"}}})
    flow = await asked(script, "metadata", metric="flow")
    assert flow == {"flow": [{**gauge, "unit": "l/min"}, {**gauge, "unit": "l/s"}]}


@pytest.mark.parametrize(
    ("path", "all_of_them"),
    [("labels?", 4), ("label/device_id/values?", 2), ('series?match[]={device_id!=""}&', 3)],
)
async def test_no_more_is_told_than_is_wanted(path: str, all_of_them: int, script: Client, house: House) -> None:
    await filled(house)
    whole = (await script.get(f"{API}/{path}")).json()
    assert len(whole["data"]) == all_of_them
    assert (await script.get(f"{API}/{path}limit=0")).json() == whole
    assert (await script.get(f"{API}/{path}limit={all_of_them}")).json() == whole
    cut = (await script.get(f"{API}/{path}limit=1")).json()
    assert (cut["data"], cut["warnings"]) == (whole["data"][:1], ["results truncated due to limit"])
    assert (await script.get(f"{API}/{path}limit=-1")).status_code == 400


async def test_a_form_of_too_many_fields_is_refused(script: Client) -> None:
    answer = await script.post(f"{API}/series", data={"match[]": ["flow"] * 1_001})
    assert (answer.status_code, answer.json()["errorType"]) == (400, "bad_data")


@given(st.lists(st.lists(st.none() | st.floats(), min_size=3, max_size=3), max_size=4))
def test_an_answer_is_written_series_by_series_and_may_be_given_up_between_two(
    values: list[list[float | None]],
) -> None:
    checked: list[None] = []
    steps = Steps(1_500, 3, 1_000)
    told = [Series({"device_id": str(number)}, each) for number, each in enumerate(values)]
    found = json.loads(_matrix(steps, lambda: checked.append(None), told, Lacking()))["data"]["result"]
    assert len(checked) == len(values)
    assert [each["metric"] for each in found] == [each.labels for each in told]
    for row, each in zip(found, values, strict=True):
        moments = zip((1.5, 2.5, 3.5), each, strict=True)
        assert row["values"] == [[at, written(value)] for at, value in moments if value is not None]
    at_once = [Series({}, each[:1]) for each in values]
    now = json.loads(_vector(7_250, lambda: checked.append(None), at_once, Lacking()))["data"]["result"]
    assert len(checked) == 2 * len(values)
    assert [each["value"] for each in now] == [[7.25, written(each[0])] for each in values if each[0] is not None]


@pytest.mark.parametrize(
    ("path", "status", "kind"),
    [
        ("query", 400, "bad_data"),
        ("query?query=rate(flow[5m])", 400, "bad_data"),
        ("query?query=1&time=tomorrow", 400, "bad_data"),
        ("query?query=1&time=1e300", 400, "bad_data"),
        ("query_range?query=flow&start=0&end=1000000&step=0", 400, "bad_data"),
        ("query_range?query=flow&start=0&end=1000000&step=1", 400, "bad_data"),
        ("query_range?query=flow&start=5&end=4&step=1", 400, "bad_data"),
        ("query_range?query=flow&start=0&end=4&step=x", 400, "bad_data"),
        ("series", 400, "bad_data"),
        ("series?match[]=1", 400, "bad_data"),
        ("query?query=0x" + "f" * 400, 400, "bad_data"),
        ("query?query=1" + quote("+1") * 1_500, 400, "bad_data"),
        ("query?query=" + quote("1" + "+(1+1)" * 900), 400, "bad_data"),
        ("series?" + "&".join(["match[]=flow"] * 101), 400, "bad_data"),
        ("series?" + "&".join([f"match[]={'f' * 2_600}"] * 4), 400, "bad_data"),
        (
            "query_range?query=avg_over_time(flow[30d])&start=1769900000&end=1770000000&step=10",
            422,
            "execution",
        ),
    ],
)
async def test_what_is_not_answered_is_refused_as_prometheus_refuses(
    path: str, status: int, kind: str, script: Client, house: House
) -> None:
    await filled(house)
    answer = await script.get(f"{API}/{path}")
    told = answer.json()
    assert (answer.status_code, told["status"], told["errorType"]) == (status, "error", kind)
    assert told["error"]


async def test_a_token_may_be_a_password_here_and_nowhere_else(script: Client, stranger: Client, house: House) -> None:
    token = script.headers["authorization"].split()[1]
    assert f"{API}/".startswith(PROMETHEUS)
    for path, status in ((f"{API}/query?query=1", 200), ("/v1/devices", 401)):
        answer = await stranger.get(path, auth=("grafana", token))
        assert answer.status_code == status
    for wrong in ("Basic !", "Basic bm8=", "Basic bm86", "Digest x"):
        refused = await stranger.get(f"{API}/query?query=1", headers={"authorization": wrong})
        assert refused.status_code == 401, wrong


def test_numbers_are_written_as_prometheus_writes_them() -> None:
    numbers = [1.0, -0.5, 1e300, float("nan"), float("inf"), float("-inf")]
    assert [written(number) for number in numbers] == ["1", "-0.5", "1e+300", "NaN", "+Inf", "-Inf"]
