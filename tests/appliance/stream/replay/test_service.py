"""What was received is given once more, in the order of its arrival, wherever it lies by then."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.errors import InvalidInputError
from appliance.instant import DAY_MS, HOUR_MS
from appliance.stream.model import Start
from appliance.stream.replay.model import CHUNKS, LOG, Interval
from appliance.stream.replay.ordering import Place, Placed
from appliance.stream.wanted import Wanted
from appliance.telemetry.keeping import queries as keeping_queries
from tests.appliance.stream.story import Log
from tests.appliance.telemetry.reports import NOON, exact, report

arrivals = st.lists(
    st.lists(
        st.tuples(
            st.sampled_from("abc"),
            st.sampled_from([0, 0, 0, 1_000, -DAY_MS, -3 * DAY_MS, 200_000]),
            st.sampled_from([0, 0, 0, 1, 70]),
        ),
        min_size=1,
        max_size=15,
    ),
    max_size=12,
)


async def gathered(log: Log, interval: Interval) -> tuple[set[str], list[Placed]]:
    sources: set[str] = set()
    placed: list[Placed] = []
    async for each in log.replay.slices(interval):
        sources.add(each.source)
        placed += each.reports
    return sources, placed


def told(placed: list[Placed]) -> list[tuple[object, ...]]:
    return [(each.place, exact(each.report)) for each in placed]


@given(arrivals, st.integers(0, 400), st.integers(1, 800), st.sets(st.sampled_from("abc")), st.data())
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
async def test_the_log_and_the_chunks_give_the_same_in_the_same_order(
    batches: list[list[tuple[str, int, int]]], start: int, length: int, devices: set[str], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with Log(Path(folder)).running() as log:
            await log.stream.add(1, "holds", Start.OLDEST)
            sent, number = [], 0
            for batch in batches:
                reports = []
                for name, shift, pause in batch:
                    log.now += pause
                    number += 1
                    reports.append(report(name, log.now + shift, arrived_at=log.now, values={"n": number}))
                await log.take(*reports)
                sent += reports
                if data.draw(st.booleans()):
                    await log.telemetry.seal_all()
            interval = Interval(1, NOON + start, NOON + start + length, Wanted(frozenset(devices)))
            sources, of_log = await gathered(log, interval)
            assert sources == {LOG}
            expected = [
                exact(each)
                for each in sent
                if interval.start <= each.arrived_at < interval.end and interval.wanted.has(each)
            ]
            assert sorted(map(repr, (exact(each.report) for each in of_log))) == sorted(map(repr, expected))
            assert [each.place for each in of_log] == sorted({each.place for each in of_log})
            of_chunks = [placed async for each in log.replay._from_chunks(interval) for placed in each.reports]
            assert told(of_chunks) == told(of_log)
            if of_log:
                after = data.draw(st.sampled_from(of_log)).place
                rest = Interval(1, interval.start, interval.end, interval.wanted, after)
                _, going_on = await gathered(log, rest)
                assert told(going_on) == [each for each in told(of_log) if each[0] > after]  # type: ignore[operator]


async def test_what_left_the_log_comes_out_of_chunks_and_of_memory(tmp_path: Path) -> None:
    async with Log(tmp_path).running() as log:
        log.now += 2
        sent = [report(at=NOON + n, arrived_at=NOON + n) for n in range(3)]
        await log.take(*sent)
        await log.telemetry.seal_all()
        log.now += HOUR_MS
        await log.take(report(at=log.now, arrived_at=log.now))
        interval = log.replay.interval(1, NOON, NOON + 2 * HOUR_MS)
        sources, placed = await gathered(log, interval)
        assert sources == {CHUNKS}
        assert [each.report.at for each in placed] == [NOON, NOON + 1, NOON + 2]
        assert await log.replay.source(interval) == CHUNKS
        assert await log.replay.source(log.replay.interval(1, NOON + 3, NOON + 4)) == LOG


async def test_a_log_that_is_trimmed_meanwhile_is_gone_on_with_out_of_chunks(tmp_path: Path) -> None:
    async with Log(tmp_path).running() as log:
        for n in range(150):
            log.now = NOON + n
            await log.take(*[report(f"d{n}", NOON + n, arrived_at=NOON + n, values={"n": m}) for m in range(10)])
        log.now += HOUR_MS
        sources: list[str] = []
        placed: list[Placed] = []
        async for each in log.replay.slices(log.replay.interval(1, NOON, NOON + HOUR_MS)):
            if not sources:
                await log.telemetry.seal_all()
            sources.append(each.source)
            placed += each.reports
        assert (sources[0], sources[-1]) == (LOG, CHUNKS)
        assert [each.place for each in placed] == [Place(NOON + n, m + 1) for n in range(150) for m in range(10)]


async def test_erased_devices_are_not_replayed(tmp_path: Path) -> None:
    async with Log(tmp_path).running() as log:
        await log.take(report("private", arrived_at=NOON), report("other", arrived_at=NOON))
        await log.telemetry.seal_all()
        await log.telemetry.forget(lambda: log.database.write(keeping_queries.insert_erasures, 1, ["private"], log.now))
        log.now += HOUR_MS
        _, placed = await gathered(log, log.replay.interval(1, NOON, NOON + HOUR_MS))
        assert [each.report.device_id for each in placed] == ["other"]


async def test_more_than_fits_at_once_is_given_in_shorter_pieces(tmp_path: Path) -> None:
    async with Log(tmp_path).running() as log:
        log.replay.too_many = 3
        log.now += 40
        await log.take(*[report(at=NOON + n, arrived_at=NOON + n, values={"n": n}) for n in range(40)])
        await log.telemetry.seal_all()
        log.now += HOUR_MS
        _, placed = await gathered(log, log.replay.interval(1, NOON, NOON + HOUR_MS))
        assert [each.report.values["n"] for each in placed] == list(range(40))


async def test_damaged_days_are_named_and_the_rest_is_given(tmp_path: Path) -> None:
    async with Log(tmp_path).running() as log:
        await log.take(report(arrived_at=NOON), report(at=NOON - DAY_MS, arrived_at=NOON))
        await log.telemetry.seal_all()
        days = log.telemetry.day_files
        await log.telemetry._files.close(days.path(days.numbers()[0]).name)
        days.path(days.numbers()[0]).write_bytes(b"x" * 9_000)
        log.now += HOUR_MS
        _, placed = await gathered(log, log.replay.interval(1, NOON, NOON + HOUR_MS))
        assert [each.report.at for each in placed] == [NOON - DAY_MS]
        assert days.damages


async def test_an_interval_that_is_none_is_refused(tmp_path: Path) -> None:
    async with Log(tmp_path).running() as log:
        with pytest.raises(InvalidInputError):
            log.replay.interval(1, NOON, NOON)
        assert log.replay.interval(1, NOON - 5, NOON + DAY_MS).end == log.replay.now()
