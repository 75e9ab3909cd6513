"""The questions of the reference, each as one call; who may be asked about, and what is refused."""

import asyncio
import csv
import io
import json
from typing import Any

import pytest

from appliance.instant import DAY_MS, HOUR_MS, MINUTE_MS, from_text, to_text
from appliance.registry.catalogue.model import DeviceChange, DeviceType
from appliance.registry.model import DEFAULT_TENANT
from appliance.telemetry.asking.service import QUESTIONS_AT_ONCE, WAITING_LIMIT
from appliance.telemetry.queries import day_name
from tests.web.afloat import trusting
from tests.web.house import Client, House
from tests.web.retention import let_go, take_out
from web.api.questions import UNITS
from web.lacking import COARSE_DAYS, DAMAGED_DAYS
from web.leaving import WORK
from web.server import serving

NOON = from_text("2026-03-01T12:00:00Z")
PLACE = "/v1/telemetry"


async def filled(house: House) -> None:
    """Three pumps, two of them in zone-a, each with three hours of readings, ten minutes apart."""
    for device_id, zone in (("pump-1", "zone-a"), ("pump-2", "zone-a"), ("pump-3", "zone-b")):
        await house.add_device(device_id, zone=zone)
        change = DeviceChange(groups=("night", "north") if device_id != "pump-2" else ("night",), type="pump")
        await house.gateway.catalogue.change_device(DEFAULT_TENANT, device_id, change)
        offset = int(device_id[-1])
        for step in range(18):
            readings = {"flowRate": offset * 100.0 + step, "pressure": 40.0 + step % 7, "mode": "auto"}
            await house.send(device_id, readings, at=NOON + step * 10 * MINUTE_MS)


@pytest.fixture
async def fleet(house: House) -> House:
    await filled(house)
    return house


def parameters(**asked: Any) -> dict[str, Any]:
    return {"start": str(NOON), "end": str(NOON + 3 * HOUR_MS), **asked}


async def rows(script: Client, **asked: Any) -> list[list[Any]]:
    answer = await script.get(PLACE, params=parameters(**asked))
    assert answer.status_code == 200, answer.text
    found: list[list[Any]] = answer.json()["rows"]
    return found


async def test_hourly_average_flow_and_maximum_pressure_of_a_zone_newest_hour_first(
    script: Client, fleet: House
) -> None:
    answer = await script.get(
        PLACE,
        params=parameters(select="avg(flowRate),max(pressure)", zone="zone-a", bin="1h", order="newest"),
    )
    assert answer.json() == {
        "columns": ["at", "device_id", "avg(flowRate)", "max(pressure)"],
        "rows": [
            [to_text(NOON + 2 * HOUR_MS), "pump-1", 114.5, 46.0],
            [to_text(NOON + 2 * HOUR_MS), "pump-2", 214.5, 46.0],
            [to_text(NOON + HOUR_MS), "pump-1", 108.5, 46.0],
            [to_text(NOON + HOUR_MS), "pump-2", 208.5, 46.0],
            [to_text(NOON), "pump-1", 102.5, 45.0],
            [to_text(NOON), "pump-2", 202.5, 45.0],
        ],
        "next_cursor": None,
        "damaged_days": [],
        "coarse_days": [],
        "units": [[], [], [], []],
    }


async def test_pressure_beside_its_rolling_average_of_an_hour(script: Client, fleet: House) -> None:
    answer = await script.get(PLACE, params=parameters(device="pump-1", select="pressure,rolling_avg(pressure, 1h)"))
    assert answer.json()["columns"] == ["at", "device_id", "pressure", "rolling_avg(pressure, 1h)"]
    found = answer.json()["rows"]
    assert len(found) == 18
    pressures = [40.0 + step % 7 for step in range(18)]
    for step, (at, _, pressure, average) in enumerate(found):
        inside = pressures[max(step - 5, 0) : step + 1]
        assert (at, pressure) == (to_text(NOON + step * 10 * MINUTE_MS), pressures[step])
        assert average == pytest.approx(sum(inside) / len(inside))


async def test_devices_are_chosen_by_id_group_zone_type_and_search(script: Client, fleet: House) -> None:
    for asked, expected in (
        ({"device": ["pump-1", "pump-3"]}, [1, 3]),
        ({"group": "night"}, [1, 2, 3]),
        ({"group": ["north", "south"]}, [1, 3]),
        ({"zone": ["zone-a", "zone-b"], "group": "north"}, [1, 3]),
        ({"type": "pump", "zone": "zone-b"}, [3]),
        ({"q": "zone:zone-a"}, [1, 2]),
        ({"zone": "nowhere"}, []),
        ({}, [1, 2, 3]),
    ):
        found = await rows(script, select="count(flowRate)", bin="1d", **asked)
        assert [row[1] for row in found] == [f"pump-{number}" for number in expected], asked
        assert all(row[2] == 18 for row in found)


async def test_nobody_who_is_asked_about_says_nothing(script: Client, fleet: House) -> None:
    assert await rows(script, group="nosuch", select="flowRate") == []
    assert await rows(script, group="nosuch", select="avg(flowRate)", bin="1h") == []


async def test_devices_count_together_by_zone_group_type_or_all(script: Client, fleet: House) -> None:
    async def counted(by: str) -> list[list[Any]]:
        return [row[1:] for row in await rows(script, select="count(flowRate),max(flowRate)", bin="1d", by=by)]

    assert await counted("zone") == [["zone-a", 36, 217.0], ["zone-b", 18, 317.0]]
    assert await counted("group") == [["night", 54, 317.0], ["north", 36, 317.0]]
    assert await counted("type") == [["pump", 54, 317.0]]
    assert await counted("all") == [[54, 317.0]]


async def test_bins_begin_at_local_midnight_and_gaps_are_filled(script: Client, fleet: House) -> None:
    asked = {"select": "sum(flowRate)", "device": "pump-1", "tz": "Asia/Kolkata", "bin": "1d"}
    [row] = await rows(script, **asked)
    assert row[0] == "2026-02-28T18:30:00.000Z"
    span = {"start": str(NOON - HOUR_MS), "end": str(NOON + 5 * HOUR_MS)}
    for fill, expected in (("none", 3), ("null", 6), ("zero", 6), ("previous", 6), ("linear", 6)):
        found = await rows(script, **asked | {"tz": "UTC", "bin": "1h", "fill": fill} | span)
        assert len(found) == expected
        assert found[0][2] == {"none": 615.0, "zero": 0}.get(fill)


async def test_pages_follow_each_other_over_the_same_range(script: Client, fleet: House) -> None:
    seen: list[list[Any]] = []
    asked: dict[str, Any] = {"select": "pressure", "limit": 20, "order": "newest", "start": str(NOON)}
    answer = (await script.get(PLACE, params=asked)).json()
    while answer["next_cursor"]:
        seen += answer["rows"]
        answer = (await script.get(PLACE, params={**asked, "cursor": answer["next_cursor"]})).json()
    seen += answer["rows"]
    assert seen == await rows(script, select="pressure", order="newest", limit=1000)
    assert len(seen) == 54


async def test_csv_is_given_by_parameter_and_by_header(script: Client, fleet: House) -> None:
    asked = parameters(select="p50(pressure)", bin="1d", device="pump-1")
    for params, headers in (({**asked, "format": "csv"}, {}), (asked, {"accept": "text/csv"})):
        answer = await script.get(PLACE, params=params, headers=headers)
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        assert "telemetry.csv" in answer.headers["content-disposition"]
        assert answer.headers["headworks-next-cursor"] == ""
        heading, row = csv.reader(io.StringIO(answer.text))
        assert heading == ["at", "device_id", "p50(pressure)"]
        assert row == ["2026-03-01T00:00:00.000Z", "pump-1", "42.5"]
    more = await script.get(PLACE, params={**asked, "select": "pressure", "bin": "", "format": "csv", "limit": 1})
    assert more.headers["headworks-next-cursor"]


@pytest.mark.parametrize(
    ("asked", "status", "word"),
    [
        ({}, 400, "select is missing"),
        ({"select": "avg(flowRate)"}, 400, "say how wide"),
        ({"select": "flowRate", "bin": "1h"}, 400, "leave one out"),
        ({"select": "avg(flowRate)", "bin": "1 hour"}, 400, "bin is"),
        ({"select": "avg(flowRate)", "bin": "1h", "tz": "Berlin"}, 400, "no time zone"),
        ({"select": "avg(flowRate)", "bin": "1h", "fill": "guess"}, 400, "expected one of none, null"),
        ({"select": "flowRate", "order": "random"}, 400, "order is"),
        ({"select": "flowRate", "by": "zone"}, 400, "are for bins"),
        ({"select": "flowRate", "by": "colour"}, 400, "by is"),
        ({"select": "flowRate", "fill": "null"}, 400, "are for bins"),
        ({"select": "flowRate", "limit": 0}, 400, "limit"),
        ({"select": "flowRate", "limit": 100_001}, 400, "limit"),
        ({"select": "flowRate", "cursor": "x"}, 400, "cursor is not"),
        ({"select": "flowRate", "format": "xml"}, 400, "format is"),
        ({"select": "flowRate", "start": "-1"}, 400, "between 1970"),
        ({"select": "flowRate", "start": "5", "end": "4"}, 400, "after end"),
        ({"select": "flowRate", "zoen": "zone-a"}, 400, "no parameter 'zoen'"),
        ({"select": "flow"}, 404, "has a metric 'flow'"),
        ({"select": "flowRate", "device": "nobody"}, 404, "nobody"),
        ({"select": "avg(flowRate)", "bin": "1s", "start": "0"}, 400, "ask for wider bins"),
    ],
)
async def test_what_cannot_be_answered_says_why(
    script: Client, house: House, asked: dict[str, Any], status: int, word: str
) -> None:
    await house.add_device("pump-1", zone="zone-a")
    await house.send("pump-1", {"flowRate": 1.0}, at=NOON)
    answer = await script.get(PLACE, params=parameters() | asked)
    assert answer.status_code == status
    assert word in answer.json()["detail"]


async def test_when_too_many_ask_at_once_some_are_told_when_to_come_again(script: Client, fleet: House) -> None:
    count = 3 * (QUESTIONS_AT_ONCE + WAITING_LIMIT)
    asked = parameters(select="rolling_avg(pressure, 1h)")
    answers = await asyncio.gather(*(script.get(PLACE, params=asked) for _ in range(count)))
    assert {answer.status_code for answer in answers} == {200, 429}
    for answer in answers:
        if answer.status_code == 429:
            assert int(answer.headers["retry-after"]) > 0
            assert answer.json()["code"] == "too_many_questions"
    assert await rows(script, select="max(pressure)", bin="1h")


async def begun() -> set[asyncio.Task[object]]:
    """The work of requests, as soon as there is any."""
    while True:
        if working := {task for task in asyncio.all_tasks() if task.get_name() == WORK}:
            return working
        await asyncio.sleep(0.01)


async def test_a_question_ends_when_whoever_asked_hangs_up(house: House) -> None:
    await filled(house)
    token = await house.gateway.accounts.add_token(DEFAULT_TENANT, "test")
    path = f"{PLACE}?select=pressure&start={NOON}"
    head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
    # While nobody may read, every question waits in the middle of its work.
    async with (
        serving(house.gateway, house.config) as served,
        house.gateway.telemetry.readers_kept_out(),
        asyncio.timeout(20),
    ):
        _, writer = await asyncio.open_connection("localhost", served.port, ssl=trusting(house))
        writer.write(head.encode())
        working = await begun()
        writer.transport.abort()
        await asyncio.wait(working)
        assert all(task.cancelled() for task in working)


async def test_an_answer_tells_which_units_its_columns_are_in(script: Client, fleet: House) -> None:
    await fleet.gateway.catalogue.add_type(1, DeviceType("pump", units={"pressure": "kPa", "flowRate": "µl"}))
    selected = parameters(select="flowRate,rolling_count(flowRate, 1h),zscore(flowRate, 1h),pressure")
    units = (await script.get(PLACE, params=selected)).json()["units"]
    assert units == [[], [], ["µl"], [], [], ["kPa"]]
    table = parameters(select="avg(pressure),count(pressure),p95(flowRate)", bin="1h", by="all", format="csv")
    assert json.loads((await script.get(PLACE, params=table)).headers[UNITS]) == [[], ["kPa"], [], ["µl"]]
    await fleet.gateway.catalogue.change_device(1, "pump-3", DeviceChange(type=""))
    differing = (await script.get(PLACE, params=selected)).json()["units"]
    assert differing[5] == ["kPa", None]
    await fleet.send("pump-3", {"readings": {"pressure": {"value": 4, "unit": "bar"}}}, at=NOON)
    assert (await script.get(PLACE, params=selected)).json()["units"][5] == ["bar", "kPa"]
    alone = await script.get(PLACE, params=selected | {"device": "pump-3"})
    assert alone.json()["units"] == [[], [], [], [], [], ["bar"]]
    without = await script.get(PLACE, params=selected | {"device": "pump-3", "select": "flowRate", "format": "csv"})
    assert UNITS not in without.headers


async def test_an_answer_names_the_days_of_which_it_lacks_what_was_damaged(script: Client, fleet: House) -> None:
    telemetry = fleet.gateway.telemetry
    await telemetry.seal_all()
    assert (await script.get(PLACE, params=parameters(select="pressure"))).json()["damaged_days"] == []
    file = await telemetry._files.writer(day_name(NOON // DAY_MS))
    await file.write(
        lambda connection: connection.execute(
            "UPDATE chunk SET record = x'00' WHERE tenant_id = 1"
            " AND (chunk_id >> 24 & 268435455) = (SELECT device_number FROM device WHERE device_id = 'pump-1')"
        )
    )
    answer = (await script.get(PLACE, params=parameters(select="pressure"))).json()
    assert {row[1] for row in answer["rows"]} == {"pump-2", "pump-3"}
    assert answer["damaged_days"] == ["2026-03-01"]
    other = await script.get(PLACE, params=parameters(select="pressure", device="pump-2"))
    assert other.json()["damaged_days"] == []
    table = parameters(select="avg(pressure)", bin="10m", format="csv")
    assert (await script.get(PLACE, params=table)).headers[DAMAGED_DAYS] == "2026-03-01"
    assert DAMAGED_DAYS not in (await script.get(PLACE, params=table | {"device": "pump-2"})).headers


async def test_an_answer_names_the_days_of_which_only_roll_ups_are_left_and_do_not_suffice(
    script: Client, fleet: House
) -> None:
    await fleet.send("pump-1", {"pressure": 40.0}, at=NOON + DAY_MS)
    day = parameters(start=str(NOON - 12 * HOUR_MS), end=str(NOON + 2 * DAY_MS))

    async def named(**asked: Any) -> Any:
        return (await script.get(PLACE, params=day | asked)).json()["coarse_days"]

    fine = [{"select": "p95(pressure)", "bin": "1d"}, {"select": "avg(pressure)", "bin": "10m"}, {"select": "pressure"}]
    fine += [{"select": "zscore(pressure,1h)"}, {"select": "avg(pressure)", "bin": "1h", "tz": "Asia/Kolkata"}]
    assert [await named(**asked) for asked in fine] == [[]] * len(fine)
    hourly = {"select": "avg(pressure),max(pressure)", "bin": "1h"}
    before = (await script.get(PLACE, params=day | hourly)).json()
    await let_go(fleet, NOON // DAY_MS)
    assert [await named(**asked) for asked in fine] == [["2026-03-01"]] * len(fine)
    # What roll-ups tell is told, and names nothing.
    assert (await script.get(PLACE, params=day | hourly)).json() == before
    assert await named(select="avg(pressure)", bin="1h", end=str(NOON + 5 * MINUTE_MS)) == ["2026-03-01"]
    table = day | {"select": "pressure", "format": "csv"}
    assert (await script.get(PLACE, params=table)).headers[COARSE_DAYS] == "2026-03-01"
    assert COARSE_DAYS not in (await script.get(PLACE, params=table | {"start": str(NOON + DAY_MS)})).headers


async def test_an_answer_names_the_days_out_of_which_a_device_was_taken(script: Client, fleet: House) -> None:
    await take_out(fleet, NOON // DAY_MS, [(DEFAULT_TENANT, "pump-1")])
    for device, expected in (("pump-1", ["2026-03-01"]), ("pump-2", [])):
        answer = (await script.get(PLACE, params=parameters(select="pressure", device=device))).json()
        assert (bool(answer["rows"]), answer["coarse_days"]) == (not expected, expected)
