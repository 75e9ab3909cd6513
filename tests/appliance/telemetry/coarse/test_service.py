"""A day of which only roll-ups are left is named where an answer lacks readings of it, and nowhere else."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.instant import DAY_MS, HOUR_MS, MINUTE_MS
from appliance.telemetry.asking.columns import columns_of
from appliance.telemetry.asking.edges import width_of
from appliance.telemetry.asking.model import Order, Question
from appliance.telemetry.coarse.model import Needed
from appliance.telemetry.cold.reading import NothingCold
from appliance.telemetry.keeping.sealed_day import sealed_path
from appliance.telemetry.rollups import months
from tests.appliance.telemetry.asking.source import question
from tests.appliance.telemetry.reports import DAY, NOON, report
from tests.appliance.telemetry.test_hourly import damage, let_go
from tests.appliance.telemetry.test_service import Gateway

SPAN = ((DAY - 2) * DAY_MS, (DAY + 3) * DAY_MS)


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with Gateway(tmp_path).running() as running:
        yield running


def asked(select: str, width: str = "", **changes: Any) -> Question:
    fields = {"keys": {"a": ("a",)}, "start": SPAN[0], "end": SPAN[1], "columns": columns_of([select])}
    return question(**fields | {"width": width_of(width) if width else None} | changes)


async def answered(gateway: Gateway, what: Question) -> tuple[list[Any], list[int]]:
    """The rows of a page, and the days that it is said to lack readings of, after DAY."""
    answer = await gateway.telemetry.asking.answer(what)
    named = await gateway.telemetry.coarse.of_answer(what, answer)
    return [(row.place.at, row.values) for row in answer.rows], [day - DAY for day in named]


async def coarse(gateway: Gateway, what: Question) -> list[int]:
    return (await answered(gateway, what))[1]


async def three_days(gateway: Gateway) -> None:
    """Readings of three days; of the first two nothing but roll-ups is left."""
    for day in range(3):
        await gateway.take(report("a", NOON + day * DAY_MS), report("b", NOON + day * DAY_MS, values={"level": 1}))
    await let_go(gateway, DAY, DAY + 1)


# In Kolkata midnight is at 18:30 UTC, in Berlin at 23:00.
whole_hours = st.sampled_from([0, 12, 18, 23]).map(lambda hour: hour * HOUR_MS)
moments = st.builds(int.__add__, whole_hours, st.sampled_from([0, 10 * MINUTE_MS, 40 * MINUTE_MS]))
ZONES = ("UTC", "Asia/Kolkata", "Europe/Berlin")
ASKED = [("avg(pressure)", width, zone) for width in ("10m", "1h", "6h", "1d") for zone in ZONES]
ASKED += [("p50(pressure)", "1d", "UTC"), ("pressure", "", "UTC"), ("rolling_avg(pressure,30m)", "", "UTC")]


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    sent=st.lists(st.tuples(st.integers(-1, 2), moments), min_size=1, max_size=8),
    gone=st.sets(st.integers(-1, 2), min_size=1),
    start=moments,
    end=moments,
    order=st.sampled_from(Order),
)
def test_an_answer_that_names_no_day_is_the_one_that_all_readings_give(
    sent: list[tuple[int, int]], gone: set[int], start: int, end: int, order: Order
) -> None:
    """And a day that is named has gone, and had readings."""
    span: dict[str, Any] = {"start": (DAY - 1) * DAY_MS + start, "end": (DAY + 2) * DAY_MS + end, "order": order}
    questions = [asked(select, width, zone=ZoneInfo(zone), **span) for select, width, zone in ASKED]

    async def story(folder: Path) -> None:
        async with Gateway(folder).running() as gateway:
            for number, (day, at) in enumerate(sorted(sent)):
                values = {"pressure": float(number)}
                await gateway.take(report("a", (DAY + day) * DAY_MS + at, sequence=number, values=values))
            there = {day for day, _ in sent}
            await let_go(gateway)
            expected = [await answered(gateway, what) for what in questions]
            assert [named for _, named in expected] == [[]] * len(questions)
            await let_go(gateway, *(DAY + day for day in gone & there))
            for what, (rows, _) in zip(questions, expected, strict=True):
                found, named = await answered(gateway, what)
                assert set(named) <= gone & there
                assert named or found == rows

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(story(Path(folder)))


@pytest.mark.parametrize(
    ("select", "width"),
    [("p95(pressure)", "1d"), ("avg(pressure)", "10m"), ("pressure", ""), ("rolling_avg(pressure,1h)", "")],
)
async def test_whatever_needs_readings_names_the_days_that_have_none_any_more(
    gateway: Gateway, select: str, width: str
) -> None:
    await three_days(gateway)
    assert await coarse(gateway, asked(select, width)) == [0, 1]


async def test_what_roll_ups_tell_names_no_day(gateway: Gateway) -> None:
    await three_days(gateway)
    for width in ("1h", "6h", "1d"):
        rows, named = await answered(gateway, asked("avg(pressure),max(pressure)", width))
        assert (len(rows), named) == (3, [])


async def test_a_bin_that_begins_within_an_hour_names_the_day_if_readings_lay_beside_its_edge(gateway: Gateway) -> None:
    # In Kolkata midnight is at 18:30 UTC.
    await gateway.take(report("a", NOON + 6 * HOUR_MS + 5 * MINUTE_MS), report("a", NOON + DAY_MS))
    await let_go(gateway, DAY, DAY + 1)
    assert await coarse(gateway, asked("avg(pressure)", "1d", zone=ZoneInfo("Asia/Kolkata"))) == [0]
    assert await coarse(gateway, asked("avg(pressure)", "1d", zone=ZoneInfo("Europe/Berlin"))) == []


async def test_a_day_is_named_for_what_was_there_alone(gateway: Gateway) -> None:
    await three_days(gateway)
    assert await coarse(gateway, asked("level")) == []
    assert await coarse(gateway, asked("level", keys={"b": ("b",)})) == [0, 1]
    assert await coarse(gateway, asked("pressure", tenant_id=2)) == []
    assert await coarse(gateway, asked("pressure", end=NOON)) == []
    assert await coarse(gateway, asked("pressure", start=NOON + 1)) == [1]


async def test_text_was_there_for_rows_and_not_for_bins(gateway: Gateway) -> None:
    await gateway.take(report("a", values={"state": "on"}))
    await let_go(gateway, DAY)
    assert await coarse(gateway, asked("state")) == [0]
    assert await coarse(gateway, asked("p50(state)", "1h")) == []


async def test_a_page_names_the_days_that_it_tells_of(gateway: Gateway) -> None:
    for minute in range(4):
        for day in range(4):
            await gateway.take(report("a", NOON + day * DAY_MS + minute * MINUTE_MS, sequence=minute))
    await let_go(gateway, DAY, DAY + 2)
    for select, width in (("pressure", ""), ("p50(pressure)", "1m")):
        for order, first, second in ((Order.OLDEST, [0], [2]), (Order.NEWEST, [], [0, 2])):
            span = {"end": (DAY + 4) * DAY_MS, "order": order, "limit": 4}
            what = asked(select, width, **span)
            answer = await gateway.telemetry.asking.answer(what)
            named = [day - DAY for day in await gateway.telemetry.coarse.of_answer(what, answer)]
            assert (len(answer.rows), named) == (4, first)
            assert await coarse(gateway, asked(select, width, after=answer.next, **span)) == second


async def test_a_window_that_reaches_back_into_such_a_day_names_it(gateway: Gateway) -> None:
    midnight = (DAY + 1) * DAY_MS
    await gateway.take(report("a", midnight - MINUTE_MS), report("a", midnight + 30 * MINUTE_MS))
    await let_go(gateway, DAY)
    for window, expected in (("1h", [0]), ("20m", [])):
        assert await coarse(gateway, asked(f"rolling_max(pressure,{window})", start=midnight)) == expected


async def test_days_that_lie_in_parquet_are_not_named(gateway: Gateway) -> None:
    class Parquet(NothingCold):
        def days(self, start: int, end: int) -> list[int]:
            return [DAY] if start <= DAY * DAY_MS < end else []

        gone: tuple[tuple[int, str], ...] = ()

        def taken_out(self, day: int) -> tuple[tuple[int, str], ...]:
            return self.gone if day == DAY else ()

    await three_days(gateway)
    cold = gateway.telemetry.cold = Parquet()
    needed = [Needed(["pressure"], [SPAN], is_of_numbers=True)]
    assert await gateway.telemetry.coarse.of(1, ["a"], needed) == [DAY + 1]
    # Unless the device was taken out of it.
    for gone, expected in ((1, "b"), [DAY + 1]), ((2, "a"), [DAY + 1]), ((1, "a"), [DAY, DAY + 1]):
        cold.gone = (gone,)
        assert await gateway.telemetry.coarse.of(1, ["a", "b"], needed) == expected


async def test_a_day_is_named_though_something_came_late_for_it(gateway: Gateway) -> None:
    await three_days(gateway)
    await gateway.take(report("a", NOON + HOUR_MS, sequence=2))
    await gateway.telemetry.seal_all()
    assert await coarse(gateway, asked("pressure")) == [0, 1]


async def test_a_day_is_named_that_went_before_that_could_be_written_down(gateway: Gateway) -> None:
    await gateway.take(report("a"))
    await let_go(gateway)
    path = gateway.telemetry.day_files.path(DAY)
    await gateway.telemetry._files.close(path.name)
    path.unlink()
    assert await coarse(gateway, asked("pressure")) == [0]


async def test_a_device_that_was_taken_out_of_a_day_has_only_roll_ups_there(gateway: Gateway) -> None:
    await gateway.take(report("a"), report("b"))
    await let_go(gateway)
    file = await gateway.telemetry._files.writer(gateway.telemetry.day_files.path(DAY).name)
    await file.write(lambda connection: connection.execute("DELETE FROM device WHERE device_id = 'a'"))
    assert not sealed_path(gateway.telemetry.day_files.path(DAY)).exists()
    assert await coarse(gateway, asked("pressure")) == [0]
    assert await coarse(gateway, asked("pressure", keys={"b": ("b",)})) == []


async def test_what_is_being_erased_is_not_named(gateway: Gateway) -> None:
    await three_days(gateway)
    gateway.telemetry.day_files.erased[1, "a"] = 100
    assert await coarse(gateway, asked("pressure")) == []


async def test_what_was_damaged_is_named_as_damaged(gateway: Gateway) -> None:
    await three_days(gateway)
    missing = gateway.telemetry.day_files.missing
    file = await gateway.telemetry.rollups._files.writer(months.file_name(months.month_of(DAY)))
    await file.write(lambda connection: connection.execute("UPDATE metric_day SET record = x'0100'"))
    assert (await coarse(gateway, asked("pressure")), missing.between(1, ["a"], *SPAN)) == ([1], [DAY])
    await damage(gateway)
    assert await coarse(gateway, asked("pressure", end=(DAY + 1) * DAY_MS)) == []
    assert DAY in missing.between(1, ["b"], *SPAN)


async def test_today_is_not_looked_at(gateway: Gateway) -> None:
    await three_days(gateway)
    gateway.now = NOON + DAY_MS
    assert await coarse(gateway, asked("pressure")) == [0]
