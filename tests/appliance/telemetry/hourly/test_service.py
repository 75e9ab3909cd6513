"""What is answered for hours and days is what the readings say, whatever happened to them before."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.config import TelemetryConfig
from appliance.instant import DAY_MS, HOUR_MS, MINUTE_MS
from appliance.telemetry import queries, rollup_record
from appliance.telemetry.asking.columns import columns_of
from appliance.telemetry.asking.edges import width_of
from appliance.telemetry.asking.service import Asking
from appliance.telemetry.bins import Bin, bin_of, combined
from appliance.telemetry.hourly.service import _Asked, _one_by_one
from appliance.telemetry.model import Report, Value
from appliance.telemetry.rollups import metric_days, months
from appliance.telemetry.rollups.model import Stored
from tests.appliance.telemetry.asking.source import question
from tests.appliance.telemetry.reports import DAY, NOON, report
from tests.appliance.telemetry.test_service import Gateway

METRICS = ["pressure", "state"]
SPAN = ((DAY - 2) * DAY_MS, (DAY + 2) * DAY_MS)

moments = st.sampled_from(
    [NOON + hour * HOUR_MS + minute * MINUTE_MS for hour in (-13, -12, -1, 0) for minute in (0, 20, 59)]
    + [NOON - 1, NOON + 12 * HOUR_MS - 1, NOON + 12 * HOUR_MS]
)
values: st.SearchStrategy[Value] = st.integers(-9, 9) | st.floats(-9, 9) | st.sampled_from([None, "on", True, 10**400])
taken = st.lists(st.tuples(st.sampled_from("ab"), moments, values), min_size=1, max_size=6)

operations: st.SearchStrategy[tuple[str, Any]] = st.one_of(
    st.tuples(st.just("take"), taken),
    st.tuples(st.just("again"), st.integers(0, 30)),
    st.tuples(st.just("take and pass"), taken),
    st.tuples(st.just("take and pass"), taken),
    st.tuples(st.just("pass"), st.sampled_from([0, 60, 800])),
    st.tuples(st.just("wait"), st.sampled_from([11, 60, 800])),
    st.tuples(st.just("seal_one"), st.integers(0, 3)),
    st.tuples(st.sampled_from(["roll", "seal_all", "seal", "insert"]), st.none()),
    st.tuples(st.sampled_from(["restart", "kill", "power"]), st.none()),
)


async def raw(gateway: Gateway, device_id: str, length: int) -> dict[str, dict[int, Bin]]:
    """The bins of hours or days as the readings give them."""
    answer: dict[str, dict[int, Bin]] = {}
    for series in await gateway.telemetry.series(1, device_id, METRICS, *SPAN, limit=1_000_000):
        hours: dict[int, list[tuple[int, Value]]] = {}
        for at, value in zip(series.at, series.values, strict=True):
            hours.setdefault(at - at % HOUR_MS, []).append((at, value))
        bins: dict[int, list[Bin]] = {}
        for start, pairs in sorted(hours.items()):
            each = bin_of([at for at, _ in pairs], [value for _, value in pairs])
            if each is not None:
                bins.setdefault(start - start % length, []).append(each)
        answer[series.metric] = {at: whole for at, parts in bins.items() if (whole := combined(parts)) is not None}
    return answer


async def assert_answers_are_raw(gateway: Gateway) -> None:
    hours = await gateway.telemetry.hours(1, ["a", "b"], METRICS, *SPAN)
    days = await gateway.telemetry.days(1, ["b", "a"], METRICS, *SPAN)
    for device in "ab":
        for found, length in ((hours, HOUR_MS), (days, DAY_MS)):
            expected = await raw(gateway, device, length)
            assert repr(found[device]) == repr(expected), (device, length)


class Story:
    """A gateway that is run, killed and cut off in any order while readings come, late ones and some twice."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.life = 0
        self.now = NOON
        self.sent: list[Report] = []

    def place(self) -> Path:
        path = self.folder / str(self.life)
        path.mkdir(exist_ok=True)
        return path

    async def run(self, steps: list[tuple[str, Any]]) -> None:
        remaining = iter([*steps, ("wait", 3000), ("seal_all", None), ("roll", None), ("kill", None), ("end", None)])
        while await self.live(remaining):
            pass

    async def live(self, remaining: Iterator[tuple[str, Any]]) -> bool:
        gateway = Gateway(self.place(), TelemetryConfig(seal_after_reports=4))
        gateway.now = self.now
        async with gateway.running():
            await assert_answers_are_raw(gateway)
            for kind, argument in remaining:
                if kind == "end":
                    await self.finish(gateway)
                    return False
                if kind in ("restart", "kill", "power"):
                    if kind != "restart":
                        self.cut(without_wal=kind == "power")
                    break
                await self.step(gateway, kind, argument)
                await assert_answers_are_raw(gateway)
            self.now = gateway.now
        return True

    async def step(self, gateway: Gateway, kind: str, argument: Any) -> None:
        telemetry = gateway.telemetry
        match kind:
            case "take and pass":
                await self.step(gateway, "take", argument)
                await self.step(gateway, "pass", 60)
            case "take":
                fresh = [
                    report(device, at, sequence=len(self.sent) + place, values={"pressure": value, "state": place})
                    for place, (device, at, value) in enumerate(argument)
                ]
                self.sent += fresh
                await gateway.take(*fresh)
            case "again":
                await gateway.take(*self.sent[argument : argument + 2])
            case "wait":
                gateway.now += argument * MINUTE_MS
            case "pass":
                await telemetry.seal_all()
                gateway.now += argument * MINUTE_MS
                await telemetry.rollups.roll()
            case "roll":
                await telemetry.rollups.roll()
            case "seal":
                await telemetry.seal_due()
            case "seal_all":
                await telemetry.seal_all()
            case "seal_one":
                chunks = [each for device in telemetry._chunks._devices.values() for each in device.open.values()]
                telemetry._chunks._seal(chunks[argument : argument + 1])
                await telemetry._write_sealing()
            case _:
                telemetry._chunks.begin_sealing_all()
                await telemetry._insert_sealing()

    async def finish(self, gateway: Gateway) -> None:
        """When everything is over and sealed, roll-ups answer alone."""
        await gateway.telemetry.seal_all()
        await gateway.telemetry.rollups.roll()
        expected = [await raw(gateway, device, HOUR_MS) for device in "ab"]
        for path in (gateway.folder / "days").glob("*.db"):
            path.unlink()
        hours = await gateway.telemetry.hours(1, ["a", "b"], METRICS, *SPAN)
        assert repr([hours[device] for device in "ab"]) == repr(expected)

    def cut(self, *, without_wal: bool) -> None:
        """Copy the files as they lie: what a killed process leaves, or a power cut that loses what was not synced."""
        source = self.place()
        self.life += 1
        shutil.copytree(source, self.place(), dirs_exist_ok=True, ignore=shutil.ignore_patterns("*-shm"))
        if without_wal:
            for folder in ("days", "rollups"):
                for path in (self.place() / folder).glob("*-wal"):
                    path.unlink()


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(operations, min_size=6, max_size=16))
def test_whatever_happens_hours_and_days_say_what_the_readings_say(steps: list[tuple[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(Story(Path(folder)).run(steps))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(operations, min_size=6, max_size=40))
def test_long_stories_end_well_too(steps: list[tuple[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(Story(Path(folder)).run(steps))


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with Gateway(tmp_path).running() as running:
        yield running


async def rolled(gateway: Gateway, *reports: Report) -> None:
    """Take reports and let their day pass."""
    await gateway.take(*reports)
    await gateway.telemetry.seal_all()
    gateway.now = max(gateway.now, max(each.at for each in reports) + 2 * DAY_MS)
    await gateway.telemetry.rollups.roll()


def let_day_files_go(gateway: Gateway) -> None:
    for path in (gateway.folder / "days").glob("*.db"):
        path.unlink()


async def counts(gateway: Gateway, device_id: str = "a", metric: str = "pressure") -> list[tuple[int, int]]:
    """Hours after noon, with how many numbers each has."""
    hours = await gateway.telemetry.hours(1, [device_id], [metric], *SPAN)
    return [((at - NOON) // HOUR_MS, each.count) for at, each in hours[device_id][metric].items()]


async def test_roll_ups_answer_when_the_readings_are_gone(gateway: Gateway) -> None:
    await rolled(gateway, *[report("a", NOON + minute * MINUTE_MS) for minute in range(90)])
    let_day_files_go(gateway)
    assert await counts(gateway) == [(0, 60), (1, 30)]
    days = await gateway.telemetry.days(1, ["a"], ["pressure"], *SPAN)
    assert [each.count for each in days["a"]["pressure"].values()] == [90]


async def test_hours_and_days_that_lie_only_partly_in_the_range_are_left_out(gateway: Gateway) -> None:
    await rolled(gateway, *[report("a", NOON + hour * HOUR_MS) for hour in range(4)])
    for start, end, expected in (
        (NOON, NOON + 4 * HOUR_MS, 4),
        (NOON + 1, NOON + 4 * HOUR_MS - 1, 2),
        (NOON + 1, NOON + HOUR_MS, 0),
        (NOON + HOUR_MS, NOON, 0),
    ):
        found = await gateway.telemetry.hours(1, ["a"], ["pressure"], start, end)
        assert len(found["a"]["pressure"]) == expected
    found = await gateway.telemetry.days(1, ["a"], ["pressure"], NOON, NOON + DAY_MS)
    assert found == {"a": {"pressure": {}}}


async def test_a_day_that_was_rolled_up_and_got_a_late_reading_has_it_at_once(gateway: Gateway) -> None:
    await rolled(gateway, report("a"))
    await gateway.take(report("a", NOON + 1))
    for _ in range(2):
        days = await gateway.telemetry.days(1, ["a"], ["pressure"], *SPAN)
        assert [each.count for each in days["a"]["pressure"].values()] == [2]
        await gateway.telemetry.seal_all()


async def test_the_roll_up_of_a_day_follows_a_late_reading(gateway: Gateway) -> None:
    await rolled(gateway, report("a"))
    assert await gateway.telemetry.rollups.is_complete(DAY)
    await rolled(gateway, report("a", NOON + HOUR_MS))
    let_day_files_go(gateway)
    days = await gateway.telemetry.days(1, ["a"], ["pressure"], *SPAN)
    assert [each.count for each in days["a"]["pressure"].values()] == [2]


@pytest.mark.parametrize("lacking", range(3))
async def test_a_day_without_one_of_the_metrics_costs_no_other_day(gateway: Gateway, lacking: int) -> None:
    half, first = DAY_MS // 2, (DAY - 2) * DAY_MS
    for number in range(6):
        known = {"pressure": number + 0.5} | ({} if number // 2 == lacking else {"state": number + 7.5})
        await gateway.take(*[report(device, first + number * half + 9 * HOUR_MS, values=known) for device in "ab"])
    await rolled(gateway, report("c"))
    expected = await raw(gateway, "a", HOUR_MS)
    assert [len(each) for each in expected.values()] == [6, 4]
    let_day_files_go(gateway)
    # As many bins as there are hours with numbers.
    columns, width = columns_of(["sum(pressure),sum(state)"]), width_of("12h")
    asked = question(columns=columns, start=first, end=first + 3 * DAY_MS, width=width)
    rows = (await Asking(gateway.telemetry).answer(asked)).rows
    found = await gateway.telemetry.hours(1, ["a", "b"], METRICS, *SPAN)
    for device in "ab":
        for place, metric in enumerate(METRICS):
            told = {row.place.at: row.values[place] for row in rows if row.place.key == device}
            sums = {at - at % half: each.total for at, each in expected[metric].items()}
            assert {at: value for at, value in told.items() if value is not None} == sums
            bins = found[device][metric]
            assert {at: bins[at] for at in bins} == expected[metric]


async def test_unknown_devices_and_metrics_have_nothing_and_tenants_see_their_own(gateway: Gateway) -> None:
    await rolled(gateway, report("a"), report("a", tenant_id=2, values={"pressure": 7.0}))
    found = await gateway.telemetry.hours(1, ["a", "unknown"], ["pressure", "unknown"], *SPAN)
    assert found["unknown"] == {"pressure": {}, "unknown": {}}
    assert [each.total for each in found["a"]["pressure"].values()] == [45.2]
    assert found["a"]["unknown"] == {}
    other = await gateway.telemetry.days(2, ["a"], ["pressure"], *SPAN)
    assert [each.total for each in other["a"]["pressure"].values()] == [7.0]


async def test_a_damaged_roll_up_is_not_believed_and_made_again(gateway: Gateway) -> None:
    await rolled(gateway, report("a"), report("a", NOON + HOUR_MS))
    file = await gateway.telemetry.rollups._files.writer(months.file_name(months.month_of(DAY)))
    whole = await file.write(lambda connection: connection.execute("SELECT record FROM metric_day").fetchall())
    await file.write(lambda connection: connection.execute("UPDATE metric_day SET record = x'0100'"))
    await file.write(lambda connection: connection.execute("UPDATE day SET record = x'0100'"))
    assert await counts(gateway) == [(0, 1), (1, 1)]
    await assert_answers_are_raw(gateway)
    # Of a part of the day first, and then of all of it: also hours without readings were damaged.
    await gateway.telemetry.rollups.roll()
    await gateway.telemetry.hours(1, ["a"], ["pressure"], DAY * DAY_MS, (DAY + 1) * DAY_MS)
    await gateway.telemetry.rollups.roll()
    assert await file.write(lambda connection: connection.execute("SELECT record FROM metric_day").fetchall()) == whole
    let_day_files_go(gateway)
    assert await counts(gateway) == [(0, 1), (1, 1)]
    days = await gateway.telemetry.days(1, ["a"], ["pressure"], *SPAN)
    assert [each.count for each in days["a"]["pressure"].values()] == [2]


async def test_a_damaged_file_of_roll_ups_is_not_believed_and_made_again(gateway: Gateway) -> None:
    await rolled(gateway, report("a"))
    path = gateway.telemetry.rollups.path(months.month_of(DAY))
    await gateway.telemetry.rollups._files.close(path.name)
    path.write_bytes(b"no database" * 2000)
    assert await counts(gateway) == [(0, 1)]
    await gateway.telemetry.rollups.roll()
    let_day_files_go(gateway)
    assert await counts(gateway) == [(0, 1)]
    assert [each.name for each in path.parent.glob("*damaged*")] == [f"{path.name}.damaged-1"]


async def test_days_are_named_whose_roll_ups_were_damaged_after_their_readings_were_let_go(gateway: Gateway) -> None:
    await rolled(gateway, report("a"), report("b"), report("a", NOON + DAY_MS))
    telemetry, span = gateway.telemetry, (NOON, NOON + 2 * DAY_MS)
    await telemetry.rollups.close_day(DAY)
    await telemetry._files.close(telemetry.day_files.path(DAY).name)
    telemetry.day_files.path(DAY).unlink()
    path = telemetry.rollups.path(months.month_of(DAY))
    file = await telemetry.rollups._files.writer(path.name)
    await file.write(
        lambda connection: connection.execute(
            "UPDATE metric_day SET record = x'0100' WHERE metric_day_id >> ? & 1 = 1", (metric_days.NUMBER_BITS,)
        )
    )
    found = await telemetry.hours(1, ["a", "b"], ["pressure"], *span)
    missing = telemetry.day_files.missing
    lost = [device for device in "ab" if missing.between(1, [device], *span) == [DAY]]
    assert [device for device in "ab" if not found[device]["pressure"] or device in lost] == lost
    assert len(lost) == 1
    await telemetry.rollups._files.close(path.name)
    path.write_bytes(b"no database" * 2000)
    assert not any((await telemetry.hours(1, ["a", "b"], ["pressure"], NOON, NOON + HOUR_MS))["a"].values())
    # Of the day after it the readings are still there.
    assert [missing.between(1, [device], *span) for device in "ab"] == [[DAY], [DAY]]


async def test_a_file_of_a_later_release_is_left_alone_and_the_readings_answer(gateway: Gateway) -> None:
    await rolled(gateway, report("a"))
    path = gateway.telemetry.rollups.path(months.month_of(DAY))
    file = await gateway.telemetry.rollups._files.writer(path.name)
    await file.maintain(lambda connection: connection.execute("PRAGMA user_version = 99"))
    assert await counts(gateway) == [(0, 1)]
    assert not gateway.telemetry.status().ok


async def test_many_devices_are_answered_in_one_call(gateway: Gateway) -> None:
    devices = [f"sensor-{number}" for number in range(40)]
    await rolled(gateway, *[report(device, NOON + hour * HOUR_MS) for device in devices for hour in range(3)])
    await gateway.take(*[report(device, NOON + 1, sequence=7) for device in devices])
    found = await gateway.telemetry.hours(1, devices, ["pressure", "battery"], *SPAN)
    assert {device: [each.count for each in found[device]["battery"].values()] for device in devices} == {
        device: [2, 1, 1] for device in devices
    }
    assert list(found["sensor-3"]["pressure"]) == [NOON, NOON + HOUR_MS, NOON + 2 * HOUR_MS]


class Untouched(set[int]):
    """Hours that nobody is to go through."""

    def __iter__(self) -> Iterator[int]:
        raise AssertionError("the hours of a device were gone through that was not read")


def test_a_few_packed_days_are_not_held_against_all_devices_that_are_asked_about() -> None:
    span = (DAY * 24, (DAY + 1) * 24)
    raw = {"a": {DAY * 24 + 3}, **{f"other-{number}": Untouched([DAY * 24]) for number in range(9)}}
    asked = _Asked(1, frozenset(METRICS), raw, frozenset(), {}, {})
    # Of a day of which an hour may not be taken every hour is looked at.
    found = _one_by_one(rollup_record.Taker(METRICS), asked, Stored({}, [], [("a", DAY, 7, b"")]), span, ())
    assert [(device, hour) for device, hour, _ in found] == [("a", hour) for hour in range(*span)]


def test_the_names_of_day_files_are_those_of_the_month_of_their_roll_ups() -> None:
    assert queries.day_name(DAY).startswith(months.month_of(DAY))
