import asyncio
import html
import json
import re
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from appliance.alerts.model import NewRule
from appliance.instant import DAY_MS, HOUR_MS, MINUTE_MS, day_of
from appliance.registry.catalogue.model import DeviceType, MetricKind, MetricRule, Violation
from appliance.registry.model import DEFAULT_TENANT, NewDevice
from appliance.telemetry.asking.service import QUESTIONS_AT_ONCE, WAITING_LIMIT, Asking
from tests.appliance.registry.examples import FakeClock
from tests.web.house import EMAIL, PASSWORD, Client, House, app_of, opened
from web.charts import POINTS_LIMIT
from web.pages import device
from web.shell import moment


async def test_a_device_that_sent_nothing_shows_how_to_send(owner: Client, house: House) -> None:
    await house.add_device("sensor-001", is_connected=False)
    page = (await owner.get("/devices/sensor-001")).text
    assert "mosquitto_pub" in page
    assert "sensors/sensor-001/telemetry" in page
    assert "none yet" in page


async def test_the_newest_reading_of_each_metric_is_a_tile(owner: Client, house: House) -> None:
    await house.add_device("sensor-001", name="Pump", zone="north")
    await house.send("sensor-001", {"pressure": 45.2, "valve": True, "mode": "auto", "nothing": None})
    page = (await owner.get("/devices/sensor-001")).text
    for text in ("Pump", "45.2", ">on<", "auto", "north", "192.0.2.7:4711"):
        assert text in page, text


async def test_the_chart_holds_the_readings_of_its_range(owner: Client, house: House) -> None:
    await house.add_device("sensor-001")
    now = house.clock()
    for minutes in (3 * 24 * 60, 120, 30, 20, 10):
        await house.send("sensor-001", {"pressure": float(minutes)}, at=now - minutes * MINUTE_MS)
    for range_, values in (("1h", [30, 20, 10]), ("6h", [120, 30, 20, 10]), ("7d", [4320, 120, 30, 20, 10])):
        chart = await _charted(owner, f"sensor-001?range={range_}")
        assert [value for _, value in chart["points"] if value is not None] == values
    assert 'aria-current="true">1 h<' in (await owner.get("/devices/sensor-001?range=nonsense")).text


async def test_a_month_is_drawn_from_hours_and_a_year_from_days(owner: Client, house: House) -> None:
    await house.add_device("sensor-001")
    now = house.clock()
    today = now // DAY_MS * DAY_MS
    for days in (200, 20, 10):
        for minute in (0, 20, 40):
            await house.send("sensor-001", {"pressure": days + minute}, at=today - days * DAY_MS + minute * MINUTE_MS)
    await house.send("sensor-001", {"pressure": 7.5}, at=now)
    chart = await _charted(owner, "sensor-001?range=30d")
    assert chart["bin"] == HOUR_MS
    assert chart["start"] % HOUR_MS == chart["end"] % HOUR_MS == 0
    assert [point for point in chart["points"] if point[1] is not None] == [
        [today - 20 * DAY_MS, 40.0, 20.0, 60.0],
        [today - 10 * DAY_MS, 30.0, 10.0, 50.0],
        [now // HOUR_MS * HOUR_MS, 7.5, 7.5, 7.5],
    ]
    chart = await _charted(owner, "sensor-001?range=1y")
    assert chart["bin"] == DAY_MS
    assert [point[:2] for point in chart["points"] if point[1] is not None] == [
        [today - 200 * DAY_MS, 220.0],
        [today - 20 * DAY_MS, 40.0],
        [today - 10 * DAY_MS, 30.0],
        [today, 7.5],
    ]
    page = (await owner.get("/devices/sensor-001?range=1y")).text
    assert 'aria-current="true">1 y<' in page
    assert "The line is the mean of each day, the band reaches from its least to its greatest reading." in page
    assert "Pressure over 1 year: lowest 7.50, highest 240.0, at the end 7.50" in page
    month = day_of(today - 200 * DAY_MS)[:7]
    assert re.search(rf'class="num">{month}</th><td class="r num">220.0</td><td class="r num">200.0</td>', page)


async def test_days_of_which_only_roll_ups_are_left_are_drawn_too(owner: Client, house: House) -> None:
    await house.add_device("sensor-001")
    now = house.clock()
    day = now // DAY_MS - 3
    for minute in (0, 20, 40):
        await house.send("sensor-001", {"pressure": minute}, at=day * DAY_MS + minute * MINUTE_MS)
    await house.send("sensor-001", {"pressure": 1}, at=now)
    await house.gateway.telemetry.seal_all()
    await house.gateway.room.keeping.seal_due()
    await house.gateway.telemetry.rollups.roll()
    assert (await _charted(owner, "sensor-001?range=7d"))["bin"] == 0
    await house.gateway.room.keeping.drop(day)
    for range_, bin_ms in (("7d", HOUR_MS), ("30d", HOUR_MS), ("1y", DAY_MS)):
        chart = await _charted(owner, f"sensor-001?range={range_}")
        assert chart["bin"] == bin_ms
        assert chart["points"][0] == [day * DAY_MS, 20.0, 0.0, 40.0]


async def test_many_readings_are_drawn_in_bins_and_none_is_left_out(owner: Client, house: House) -> None:
    await house.add_device("sensor-001")
    now = house.clock()
    count = POINTS_LIMIT + 1
    many = [{"timestamp": now - place * 5_000, "flow": place % 10} for place in range(count)]
    for low in range(0, count, 100):
        await house.send("sensor-001", json.dumps(many[low : low + 100]).encode())
    for range_, bin_ms in (("1h", 10_000), ("6h", MINUTE_MS), ("24h", 5 * MINUTE_MS), ("7d", HOUR_MS)):
        chart = await _charted(owner, f"sensor-001?range={range_}")
        assert chart["bin"] == bin_ms
        points = [point for point in chart["points"] if point[1] is not None]
        assert all(0 <= least <= mean <= greatest <= 9 for _, mean, least, greatest in points)
        assert f"{count} readings in all." in (await owner.get(f"/devices/sensor-001?range={range_}")).text


async def test_more_readings_than_are_looked_at_are_drawn_from_hours(
    owner: Client, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "READINGS_LIMIT", 2)
    await house.add_device("sensor-001")
    now = house.clock()
    for value in (1, 2, 6):
        await house.send("sensor-001", {"pressure": value}, at=now // HOUR_MS * HOUR_MS - MINUTE_MS * value)
    chart = await _charted(owner, "sensor-001?range=24h")
    assert chart["points"] == [[now // HOUR_MS * HOUR_MS - HOUR_MS, 3.0, 1.0, 6.0]]


async def test_a_chart_that_nobody_can_draw_now_says_so_and_the_page_stays(owner: Client, house: House) -> None:
    await house.add_device("sensor-001")
    await house.send("sensor-001", {"pressure": 45.2})
    asking = house.gateway.telemetry.asking
    async with AsyncExitStack() as stack:
        for _ in range(QUESTIONS_AT_ONCE):
            await stack.enter_async_context(asking.turn())
        waiting = [asyncio.create_task(_wait_for(asking)) for _ in range(WAITING_LIMIT)]
        await asyncio.sleep(0)
        answer = await owner.get("/devices/sensor-001?range=30d")
        assert answer.status_code == 200
        assert "This cannot be drawn now" in answer.text
        assert "too many questions are being answered" in answer.text
        assert ">45.2<" in answer.text
        assert (await _charted(owner, "sensor-001?range=1h"))["bin"] == 0
    await asyncio.gather(*waiting)
    assert (await _charted(owner, "sensor-001?range=30d"))["bin"] == HOUR_MS


async def test_the_chart_says_of_which_days_readings_were_damaged(owner: Client, house: House) -> None:
    for device_id in ("sensor-001", "sensor-002"):
        await house.add_device(device_id)
        await house.send(device_id, {"pressure": 1.0}, at=house.clock())
    day = house.clock() // DAY_MS
    house.gateway.telemetry.day_files.note_damage("a chunk", day, (DEFAULT_TENANT, "sensor-001"))
    said = f"readings were damaged on {day_of(day * DAY_MS)}: some may be missing"
    assert said in (await owner.get("/devices/sensor-001")).text
    assert "readings were damaged" not in (await owner.get("/devices/sensor-002")).text


async def test_the_chart_shows_the_metric_that_was_picked(owner: Client, house: House) -> None:
    await house.add_device("sensor-001")
    await house.gateway.alerts.add_rule(1, NewRule("High", "pressure", "GREATER_THAN", 60.0))
    await house.send("sensor-001", {"flow": 1.0, "pressure": 45.2})
    assert '<h2 id="chart-title">Pressure</h2>' in (await owner.get("/devices/sensor-001")).text
    assert '<h2 id="chart-title">Flow</h2>' in (await owner.get("/devices/sensor-001?metric=flow")).text


async def test_an_open_alert_and_problems_are_in_sight(owner: Client, house: House) -> None:
    await house.gateway.alerts.add_rule(1, NewRule("High pressure", "pressure", "GREATER_THAN", 60.0))
    await house.add_device("sensor-001")
    await house.send("sensor-001", {"pressure": 61.0})
    await house.send("sensor-001", b'{"pressure": }')
    await house.send("sensor-001", {"pressure": 61.0}, at=house.clock() + DAY_MS)
    page = (await owner.get("/devices/sensor-001")).text
    assert 'class="banner"' in page
    assert "High pressure" in page
    assert "A message was not JSON" in page
    assert "JSON is malformed" in page
    assert "Its clock is ahead" in page
    assert "Let the device set its clock by NTP." in page
    assert "time of arrival" in page


async def test_certificates_are_told_by_fingerprint_and_end(owner: Client, house: House) -> None:
    await house.add_device("sensor-001")
    bundle = await house.gateway.registry.issue_certificate(1, "sensor-001")
    page = (await owner.get("/devices/sensor-001")).text
    assert bundle.fingerprint[:8] in page
    assert "Expires" in page


async def test_an_unknown_device_is_not_found(owner: Client) -> None:
    assert (await owner.get("/devices/nobody")).status_code == 404


async def test_a_chart_that_takes_too_long_is_given_up(
    owner: Client, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "PATIENCE_S", 0.01)
    await house.add_device("sensor-001")
    await house.send("sensor-001", {"pressure": 45.2})
    async with AsyncExitStack() as stack:
        for _ in range(QUESTIONS_AT_ONCE):
            await stack.enter_async_context(house.gateway.telemetry.asking.turn())
        page = (await owner.get("/devices/sensor-001?range=1y")).text
    assert "this took more than 0.01 s, for others ask much: load the page again in a while" in page
    assert ">45.2<" in page


async def test_many_damaged_days_of_a_year_are_told_in_a_few_words(owner: Client, house: House) -> None:
    await house.add_device("sensor-001")
    await house.send("sensor-001", {"pressure": 1.0})
    today = house.clock() // DAY_MS
    for ago in (100, 90, 80, 70):
        house.gateway.telemetry.day_files.note_damage("a chunk", today - ago, (DEFAULT_TENANT, "sensor-001"))
    said = f"damaged on 4 days from {day_of((today - 100) * DAY_MS)} to {day_of((today - 70) * DAY_MS)}: some may"
    assert said in (await owner.get("/devices/sensor-001?range=1y")).text
    assert "damaged on" not in (await owner.get("/devices/sensor-001?range=30d")).text


async def _wait_for(asking: Asking) -> None:
    async with asking.turn():
        pass


async def _charted(owner: Client, path: str) -> dict[str, Any]:
    """What the script of the chart reads."""
    page = (await owner.get(f"/devices/{path}")).text
    chart: dict[str, Any] = json.loads(html.unescape(_found(r'data-chart="([^"]*)"', page)))
    return chart


def _found(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    assert found
    return found[1]


async def test_a_renewal_that_is_due_is_in_sight(tmp_path: Path) -> None:
    clock = FakeClock(moment())
    async with opened(tmp_path, clock=clock) as house:
        await house.add_device("pump-7", is_connected=False)
        await house.gateway.registry.issue_certificate(1, "pump-7")
        secret = await house.claim()
        async with Client(app_of(house), secret) as client:
            assert "<dt>Renewal</dt>" not in (await client.get("/devices/pump-7")).text
        clock.now += 250 * DAY_MS
        secret = await house.gateway.accounts.sign_in(EMAIL, PASSWORD, "192.0.2.1")
        async with Client(app_of(house), secret) as client:
            page = (await client.get("/devices/pump-7")).text
    assert "<dt>Renewal</dt><dd>It cannot be asked to renew: it is not connected.</dd>" in page


async def test_how_well_a_device_reports_is_in_sight(owner: Client, house: House) -> None:
    await house.add_device("sensor-001")
    assert "Nothing came since the gateway started" in (await owner.get("/devices/sensor-001")).text
    now = house.clock()
    for number, ago_ms in ((1, 9_000), (5, 5_000), (3, 7_000)):
        await house.send("sensor-001", {"sequence": number, "flow": number}, at=now - ago_ms)
    again = {"timestamp": now - 5_000, "sequence": 5, "flow": 5}
    await house.send("sensor-001", json.dumps([again, {"timestamp": now - 4_000, "sequence": 6, "flow": 6}]).encode())
    page = (await owner.get("/devices/sensor-001")).text
    quality = _found(r'(?s)id="device-quality"(.*?)</dl>', page)
    assert "1 gap, 2 missing" in quality
    assert '<dt>Came twice</dt><dd class="num">1</dd>' in quality
    assert '<dt>Came late</dt><dd class="num">1</dd>' in quality
    assert re.search(r"<dt>Clock</dt><dd class=\"num\">\d.* s behind</dd>", quality)


async def test_a_location_is_one_tile_before_its_coordinates(owner: Client, house: House) -> None:
    await house.add_device("sensor-001")
    await house.send("sensor-001", {"gps": {"lat": 52.52, "lon": 13.405}, "half.latitude": 1.5})
    tiles = _found(r'(?s)id="device-tiles"(.*?)id="chart-title"', (await owner.get("/devices/sensor-001")).text)
    assert "52.52000° N 13.40500° E" in tiles
    assert "Half<" not in tiles


async def test_what_a_type_rejects_is_told_and_a_declared_unit_is_shown(owner: Client, house: House) -> None:
    rule = MetricRule(MetricKind.NUMBER, 0, 60, Violation.REJECT)
    kind = DeviceType("px", units={"pressure": "kPa"}, metrics={"pressure": rule})
    await house.gateway.catalogue.add_type(1, kind)
    await house.gateway.catalogue.add_device(1, NewDevice("sensor-001", type="px"))
    await house.send("sensor-001", {"pressure": {"value": 0.5, "unit": "bar"}, "flow": {"value": 3, "unit": "l/min"}})
    await house.send("sensor-001", {"pressure": 61})
    page = (await owner.get("/devices/sensor-001")).text
    for text in ("50.0<small>kPa</small>", "<small>l/min</small>", "Readings were left out", "61 kPa, above 60"):
        assert text in page, text
    assert '<dt>Left out by its type</dt><dd class="num">1</dd>' in page
