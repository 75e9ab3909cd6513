import json

import pytest

from appliance.errors import InvalidInputError
from appliance.instant import DAY_MS, from_text, to_text
from appliance.registry.catalogue.model import DeviceType
from appliance.registry.model import DEFAULT_TENANT
from tests.web.house import Client, House
from tests.web.retention import let_go
from web.api.telemetry import parsed

NOON = from_text("2026-03-01T12:00:00Z")


async def filled(house: House) -> None:
    await house.add_device("a")
    for second in range(5):
        await house.send("a", {"pressure": 40.0 + second, "mode": "auto"}, at=NOON + second * 1_000)


async def test_what_was_sent_is_read(script: Client, house: House) -> None:
    await filled(house)
    answer = await script.get(f"/v1/devices/a/telemetry?metric=pressure&start={NOON}&end={NOON + 4_001}")
    assert answer.json() == {
        "device_id": "a",
        "series": [
            {
                "metric": "pressure",
                "unit": None,
                "at": [to_text(NOON + second * 1_000) for second in range(5)],
                "values": [40.0, 41.0, 42.0, 43.0, 44.0],
                "time_sources": [],
            }
        ],
        "truncated": False,
        "next_cursor": None,
        "damaged_days": [],
        "coarse_days": [],
    }


async def test_without_a_metric_all_are_read(script: Client, house: House) -> None:
    await filled(house)
    answer = await script.get("/v1/devices/a/telemetry?start=2026-03-01T12:00:00Z&end=2026-03-01T12:01:00%2B00:00")
    assert [series["metric"] for series in answer.json()["series"]] == ["mode", "pressure"]


async def test_days_are_named_of_which_readings_were_damaged_or_only_roll_ups_are_left(
    script: Client, house: House
) -> None:
    await filled(house)
    await house.send("a", {"pressure": 50.0}, at=NOON + DAY_MS)
    path = f"/v1/devices/a/telemetry?start={NOON - DAY_MS}&end={NOON + 2 * DAY_MS}"

    async def named(asked: str) -> list[object]:
        told = (await script.get(path + asked)).json()
        return [told["damaged_days"], told["coarse_days"]]

    assert await named("") == [[], []]
    await let_go(house, NOON // DAY_MS)
    for metric in ("", "&metric=pressure", "&metric=mode"):
        assert await named(metric) == [[], ["2026-03-01"]]
    # The first page is of the day that is there; the one after it lacks the rest.
    await house.send("a", {"pressure": 51.0}, at=NOON + DAY_MS + 1)
    assert await named("&metric=pressure&limit=1") == [[], []]
    cursor = (await script.get(f"{path}&metric=pressure&limit=1")).json()["next_cursor"]
    assert await named(f"&metric=pressure&limit=5&cursor={cursor}") == [[], ["2026-03-01"]]
    house.gateway.telemetry.day_files.note_damage("a chunk", NOON // DAY_MS + 1, (DEFAULT_TENANT, "a"))
    assert await named("") == [["2026-03-02"], ["2026-03-01"]]


async def test_a_limit_keeps_the_newest_and_says_so(script: Client, house: House) -> None:
    await filled(house)
    answer = await script.get(f"/v1/devices/a/telemetry?metric=pressure&start={NOON}&end={NOON + 9_000}&limit=2")
    assert answer.json()["series"][0]["values"] == [43.0, 44.0]
    assert answer.json()["truncated"] is True


async def test_pages_lead_from_the_newest_readings_to_the_oldest(script: Client, house: House) -> None:
    await filled(house)
    for number in range(4):
        await house.send("a", {"pressure": float(number), "odd": number % 2 == 1}, at=NOON + 2_000)
    path = f"/v1/devices/a/telemetry?metric=pressure,odd&start={NOON}&limit=3"
    told: dict[str, list[object]] = {"pressure": [], "odd": []}
    cursor, page_count = "", 0
    while cursor is not None:
        page = (await script.get(f"{path}&end={NOON + 9_000}&cursor={cursor}")).json()
        page_count += 1
        for series in page["series"]:
            assert len(series["at"]) == len(series["values"]) <= 3
            told[series["metric"]] = series["values"] + told[series["metric"]]
        cursor = page["next_cursor"]
        assert page["truncated"] is (cursor is not None)
    assert told == {
        "pressure": [40.0, 41.0, 42.0, 0.0, 1.0, 2.0, 3.0, 43.0, 44.0],
        "odd": [False, True, False, True],
    }
    assert page_count == 3


async def test_a_page_keeps_to_the_range_of_the_first_one(script: Client, house: House) -> None:
    await filled(house)
    path = "/v1/devices/a/telemetry?metric=pressure"
    first = (await script.get(f"{path}&start={NOON + 1_000}&end={NOON + 4_000}&limit=1")).json()
    rest = (await script.get(f"{path}&cursor={first['next_cursor']}&start=2020-01-01&end=2030-01-01")).json()
    assert [page["series"][0]["values"] for page in (first, rest)] == [[43.0], [41.0, 42.0]]


async def test_a_series_tells_its_unit_where_one_is_known(script: Client, house: House) -> None:
    await filled(house)
    await house.gateway.catalogue.add_type(1, DeviceType("pump", units={"pressure": "kPa"}))
    await script.patch("/v1/devices/a", json={"type": "pump"})
    answer = await script.get(f"/v1/devices/a/telemetry?start={NOON}&end={NOON + 1}")
    assert {series["metric"]: series["unit"] for series in answer.json()["series"]} == {
        "mode": None,
        "pressure": "kPa",
    }


async def test_an_unknown_metric_names_the_known_ones(script: Client, house: House) -> None:
    await filled(house)
    answer = await script.get("/v1/devices/a/telemetry?metric=presure")
    assert answer.status_code == 404
    assert answer.json()["detail"] == "the device has no metric 'presure'; it has: mode, pressure"


async def test_wrong_ranges_are_explained(script: Client, house: House) -> None:
    await house.add_device("a")
    for query, word in (
        ("start=yesterday", "start is 'yesterday'"),
        ("start=5000&end=4000", "after end"),
        ("limit=0", "limit is 0"),
        ("limit=many", "limit"),
        ("limit=100001", "limit is 100001"),
        ("cursor=nonsense", "cursor is not the next_cursor"),
        ("end=99999999999999999999", "end is"),
    ):
        answer = await script.get(f"/v1/devices/a/telemetry?{query}")
        assert answer.status_code == 400, query
        assert word in answer.json()["detail"], answer.json()
    assert (await script.get("/v1/devices/nobody/telemetry")).status_code == 404


async def test_the_newest_readings_of_all_devices(script: Client, house: House) -> None:
    await filled(house)
    await house.add_device("silent")
    [device] = (await script.get("/v1/tenants/1/telemetry/latest")).json()["devices"]
    assert device["device_id"] == "a"
    assert device["readings"]["pressure"] == {"at": to_text(NOON + 4_000), "value": 44.0}


async def test_the_newest_readings_are_told_anew_with_every_report(script: Client, house: House) -> None:
    await filled(house)
    await house.add_device("b:c")
    await house.send("b:c", {"pressure": 7.5}, at=NOON)
    for value in (50.0, 51.0):
        await house.send("a", {"pressure": value}, at=NOON + int(value) * 1_000)
        first, second = (await script.get("/v1/tenants/1/telemetry/latest")).json()["devices"]
        assert first["readings"] == {
            "pressure": {"at": to_text(NOON + int(value) * 1_000), "value": value},
            "mode": {"at": to_text(NOON + 4_000), "value": "auto"},
        }
        assert (second["device_id"], second["readings"]["pressure"]["value"]) == ("b:c", 7.5)


@pytest.mark.parametrize(
    ("off_ms", "told"),
    [
        (0, None),
        (None, "arrival_no_clock"),
        (366 * DAY_MS, "arrival_clock_ahead"),
        (-36_500 * DAY_MS, "arrival_no_clock"),
        (-20 * 366 * DAY_MS, "arrival_clock_behind"),
    ],
)
async def test_a_newest_reading_whose_moment_is_its_arrival_says_so_and_why(
    script: Client, house: House, off_ms: int | None, told: str | None
) -> None:
    await house.add_device("a")
    now = house.clock()
    payload = {"pressure": 40.0, "flow": 1.5} | ({} if off_ms is None else {"timestamp": now + off_ms})
    await house.send("a", json.dumps(payload).encode(), arrived_at=now)
    [device] = (await script.get("/v1/tenants/1/telemetry/latest")).json()["devices"]
    marked = {} if told is None else {"time_source": told}
    assert device["readings"] == {
        "pressure": {"at": to_text(now), "value": 40.0, **marked},
        "flow": {"at": to_text(now), "value": 1.5, **marked},
    }


async def latest_units(script: Client) -> dict[str, str | None]:
    [device] = (await script.get("/v1/tenants/1/telemetry/latest")).json()["devices"]
    return {metric: each.get("unit") for metric, each in device["readings"].items()}


async def test_newest_readings_tell_their_units_as_they_are_now(script: Client, house: House) -> None:
    await house.add_device("a")
    declared = {"pressure": {"value": 4.0, "unit": "bar"}, "flow": {"value": 1.5, "unit": "l/s"}, "mode": "auto"}
    await house.send("a", {"readings": declared})
    assert await latest_units(script) == {"pressure": "bar", "flow": "l/s", "mode": None}
    await house.gateway.catalogue.add_type(1, DeviceType("pump", units={"pressure": "kPa"}))
    assert (await latest_units(script))["pressure"] == "bar"
    await script.patch("/v1/devices/a", json={"type": "pump"})
    assert await latest_units(script) == {"pressure": "kPa", "flow": "l/s", "mode": None}
    await script.patch("/v1/device-types/pump", json={"units": {"flow": "l/min"}})
    assert await latest_units(script) == {"pressure": "bar", "flow": "l/min", "mode": None}
    await script.delete("/v1/device-types/pump")
    assert await latest_units(script) == {"pressure": "bar", "flow": "l/s", "mode": None}


async def test_readings_of_one_device_tell_their_own_time_sources(script: Client, house: House) -> None:
    await house.add_device("a")
    await house.send("a", b'{"pressure": 40.0}')
    await house.send("a", {"flow": 1.5}, at=house.clock() - 1_000)
    [device] = (await script.get("/v1/tenants/1/telemetry/latest")).json()["devices"]
    assert {name: each.get("time_source") for name, each in device["readings"].items()} == {
        "pressure": "arrival_no_clock",
        "flow": None,
    }


@pytest.mark.parametrize("is_sealed", [False, True])
async def test_readings_whose_moment_is_their_arrival_say_so_where_they_stand(
    script: Client, house: House, *, is_sealed: bool
) -> None:
    await house.add_device("a")
    for number, word in enumerate(("", "device", "", "", "ahead", "device")):
        arrived_at = house.clock() - DAY_MS + number * 1_000
        moments = {"device": {"timestamp": arrived_at}, "ahead": {"timestamp": arrived_at + DAY_MS}}
        payload = {"flow": number, **({"mode": "on"} if number in {1, 5} else {})} | moments.get(word, {})
        await house.send("a", json.dumps(payload).encode(), arrived_at=arrived_at)
    if is_sealed:
        await house.gateway.telemetry.seal_all()
    path = f"/v1/devices/a/telemetry?start={house.clock() - 2 * DAY_MS}"
    told = {series["metric"]: series["time_sources"] for series in (await script.get(path)).json()["series"]}
    assert told == {
        "flow": [
            {"first": 0, "time_source": "arrival_no_clock"},
            {"first": 1, "time_source": "device"},
            {"first": 2, "time_source": "arrival_no_clock"},
            {"first": 4, "time_source": "arrival_clock_ahead"},
            {"first": 5, "time_source": "device"},
        ],
        "mode": [],
    }
    page = (await script.get(f"{path}&metric=flow&limit=3")).json()
    assert [each["first"] for each in page["series"][0]["time_sources"]] == [0, 1, 2]
    page = (await script.get(f"{path}&metric=flow&limit=3&cursor={page['next_cursor']}")).json()
    assert [each["time_source"] for each in page["series"][0]["time_sources"]] == [
        *("arrival_no_clock", "device", "arrival_no_clock")
    ]


async def test_another_tenant_is_not_there(script: Client) -> None:
    for number in ("2", "0", "-1", "9" * 30):
        assert (await script.get(f"/v1/tenants/{number}/telemetry/latest")).status_code == 404, number


def test_moments_are_read_in_both_forms() -> None:
    assert parsed("start", "2026-03-01T12:00:00Z") == NOON
    assert parsed("start", "2026-03-01T13:00:00 01:00") == NOON
    assert parsed("start", str(NOON)) == NOON
    with pytest.raises(InvalidInputError):
        parsed("start", "²")
