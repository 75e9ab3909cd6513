"""What was received is given once more, in the order of its arrival, wherever it lies by then."""

import tempfile
from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.errors import InvalidInputError
from appliance.instant import DAY_MS, HOUR_MS
from appliance.stream.model import Start
from appliance.stream.replay.from_chunks.service import COARSE, DAMAGED, FromChunks
from appliance.stream.replay.model import CHUNKS, LOG, Interval, Lack, Span
from appliance.stream.replay.ordering import Ordering, Place, Placed
from appliance.stream.wanted import Wanted
from appliance.telemetry.cold.model import Arrivals, ColdError
from appliance.telemetry.cold.reading import NothingCold
from appliance.telemetry.keeping import queries as keeping_queries
from appliance.telemetry.model import Report
from appliance.telemetry.rows import Rows
from tests.appliance.stream.story import Log, backed_up, restore
from tests.appliance.telemetry.reports import NOON, exact, report

arrivals = st.lists(
    st.tuples(
        st.sampled_from([0, 0, 0, 0, -DAY_MS, DAY_MS]),
        st.lists(
            st.tuples(
                st.sampled_from("abc"),
                st.sampled_from([0, 0, 0, 1_000, -DAY_MS, -3 * DAY_MS, 200_000]),
                st.sampled_from([0, 0, 0, 1, 70]),
                st.sampled_from([0, 0, 0, 90, 2 * DAY_MS]),
            ),
            min_size=1,
            max_size=15,
        ),
    ),
    max_size=12,
)
"""Batches: how the clock is set before each, and of each report whose it is, how far its moment lies from its arrival,
how long it took to come, and for how long its arrival was past when an import told of it."""


async def gathered(log: Log, interval: Interval) -> tuple[set[str], list[Placed]]:
    sources: set[str] = set()
    placed: list[Placed] = []
    async for each in log.replay.slices(interval):
        sources.add(each.source)
        placed += each.reports
    return sources, placed


async def named(log: Log, interval: Interval) -> list[Lack]:
    """The days that slices lack something of."""
    return [lack async for each in log.replay.slices(interval) for lack in each.lacks]


def told(placed: list[Placed]) -> list[tuple[object, ...]]:
    return [(each.place, exact(each.report)) for each in placed]


async def of_chunks(log: Log, interval: Interval) -> list[Placed]:
    """What memory and the days give, even though the log would do."""
    chunks = FromChunks(log.database, log.telemetry, DAY_MS)
    span = Span(interval.tenant_id, interval.begins_at, interval.end, interval.wanted, 1_000_000)
    found = await chunks.arrived(span)
    ordering = Ordering(interval.after)
    return [*ordering.take(sorted(found, key=attrgetter("arrived_at"))), *ordering.rest()]


async def told_of(log: Log, setting: int, batch: Sequence[tuple[str, int, int, int]], number: int) -> list[Report]:
    """One commit."""
    log.now += setting
    reports = []
    for name, shift, pause, past in batch:
        log.now += pause
        number += 1
        arrived_at = log.now - past
        reports.append(report(name, arrived_at + shift, arrived_at=arrived_at, values={"n": number}))
    await log.take(*reports)
    return reports


@given(
    arrivals,
    st.booleans(),
    st.sampled_from([0, 0, DAY_MS, -2 * DAY_MS]),
    st.integers(-100, 400),
    st.integers(1, 800),
    st.sets(st.sampled_from("abc")),
    st.data(),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
async def test_everything_is_given_in_the_same_order_wherever_it_lies(
    batches: list[tuple[int, list[tuple[str, int, int, int]]]],
    is_held: bool,
    day: int,
    start: int,
    length: int,
    devices: set[str],
    data: st.DataObject,
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with Log(Path(folder)).running() as log:
            if is_held:
                await log.stream.add(1, "holds", Start.OLDEST)
            sent: list[Report] = []
            for setting, batch in batches:
                sent += await told_of(log, setting, batch, len(sent))
                if data.draw(st.booleans()):
                    await log.telemetry.seal_all()
            wanted = Wanted(frozenset(devices))
            interval = Interval(1, NOON + day + start, NOON + day + start + length, wanted)
            sources, given_again = await gathered(log, interval)
            assert not is_held or sources == {LOG}
            expected = [each for each in sent if interval.start <= each.arrived_at < interval.end and wanted.has(each)]
            assert sorted(repr(exact(each.report)) for each in given_again) == sorted(map(repr, map(exact, expected)))
            assert [each.place for each in given_again] == sorted({each.place for each in given_again})
            assert told(await of_chunks(log, interval)) == told(given_again)
            if given_again:
                after = data.draw(st.sampled_from(given_again)).place
                _, going_on = await gathered(log, Interval(1, interval.start, interval.end, wanted, after))
                assert told(going_on) == [each for each in told(given_again) if each[0] > after]  # type: ignore[operator]


async def test_reports_of_a_clock_that_was_ahead_are_no_end_of_it(tmp_path: Path) -> None:
    async with Log(tmp_path).running() as log:
        log.now = NOON + DAY_MS
        await log.take(*[report("x", log.now, arrived_at=log.now, sequence=n) for n in range(70)])
        log.now = NOON
        for number in range(5):
            log.now += 60_000
            await log.take(report("a", log.now, arrived_at=log.now, sequence=number))
        _, placed = await gathered(log, Interval(1, NOON, NOON + HOUR_MS))
        assert [each.report.sequence for each in placed] == [0, 1, 2, 3, 4]
        await log.telemetry.seal_all()
        sources, ahead = await gathered(log, Interval(1, NOON + DAY_MS, NOON + DAY_MS + HOUR_MS))
        assert CHUNKS in sources
        assert len(ahead) == 70


async def test_what_was_imported_comes_by_the_arrival_that_it_tells_of(tmp_path: Path) -> None:
    async with Log(tmp_path).running() as log:
        await log.take(*[report("live", NOON, arrived_at=NOON, sequence=n) for n in range(1_100)])
        old = NOON - 30 * DAY_MS
        await log.take(*[report("then", old - n, arrived_at=old - n, sequence=n) for n in range(5)])
        sources, placed = await gathered(log, Interval(1, old - HOUR_MS, old + HOUR_MS))
        assert sources == {LOG}
        assert [each.report.sequence for each in placed] == [4, 3, 2, 1, 0]


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
        # What came since is in the log.
        assert sources == {CHUNKS, LOG}
        assert [each.report.at for each in placed] == [NOON, NOON + 1, NOON + 2]
        assert await log.replay.source(interval) == CHUNKS
        assert await log.replay.source(log.replay.interval(1, NOON + 3, NOON + 4)) == LOG


async def test_a_log_that_is_trimmed_meanwhile_is_gone_on_with_out_of_chunks(tmp_path: Path) -> None:
    async with Log(tmp_path).running() as log:
        for n in range(30):
            log.now = NOON + n * 1_000
            await log.take(*[report(f"d{n}", log.now, arrived_at=log.now, values={"n": m}) for m in range(10)])
        log.now += HOUR_MS
        sources: list[str] = []
        placed: list[Placed] = []
        async for each in log.replay.slices(log.replay.interval(1, NOON, NOON + HOUR_MS)):
            if not sources:
                await log.telemetry.seal_all()
            sources.append(each.source)
            placed += each.reports
        assert sources[:2] == [LOG, CHUNKS]
        assert [each.place for each in placed] == [Place(NOON + n * 1_000, m + 1) for n in range(30) for m in range(10)]


async def test_erased_devices_are_not_replayed(tmp_path: Path) -> None:
    async with Log(tmp_path).running() as log:
        await log.take(report("private", arrived_at=NOON), report("other", arrived_at=NOON))
        await log.telemetry.seal_all()
        await log.telemetry.forget(lambda: log.database.write(keeping_queries.insert_erasures, 1, ["private"], log.now))
        log.now += HOUR_MS
        _, placed = await gathered(log, log.replay.interval(1, NOON, NOON + HOUR_MS))
        assert [each.report.device_id for each in placed] == ["other"]


async def take_more_than_fits(log: Log) -> None:
    """Forty reports, and no piece may have more than three."""
    log.replay.too_many = 3
    log.now += 40
    await log.take(*[report(at=NOON + n, arrived_at=NOON + n, values={"n": n}) for n in range(40)])
    await log.telemetry.seal_all()
    log.now += HOUR_MS


async def test_more_than_fits_at_once_is_given_in_shorter_pieces(tmp_path: Path) -> None:
    async with Log(tmp_path).running() as log:
        await take_more_than_fits(log)
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
        # Once, by whatever number of slices.
        lack = Lack(NOON // DAY_MS, DAMAGED)
        assert await named(log, log.replay.interval(1, NOON, NOON + HOUR_MS)) == [lack]


async def test_days_of_which_only_roll_ups_are_left_are_named_once_where_they_had_something(tmp_path: Path) -> None:
    async with Log(tmp_path).running() as log:
        for number in range(3):
            log.now = NOON + number * DAY_MS
            await log.take(report("a", at=log.now, arrived_at=log.now))
        log.now += DAY_MS
        whole = log.replay.interval(1, NOON - DAY_MS, log.now)
        assert await named(log, whole) == []
        await log.telemetry.seal_all()
        await log.telemetry.rollups.roll()
        assert await named(log, whole) == []
        days = [NOON // DAY_MS, NOON // DAY_MS + 1]
        for day in days:
            await log.telemetry.rollups.close_day(day)
            await log.telemetry._files.close(log.telemetry.day_files.path(day).name)
            log.telemetry.day_files.path(day).unlink()
        _, placed = await gathered(log, whole)
        assert [each.report.at for each in placed] == [NOON + 2 * DAY_MS]
        assert await named(log, whole) == [Lack(day, COARSE) for day in days]
        assert await named(log, log.replay.interval(1, NOON + 1, log.now)) == [Lack(days[1], COARSE)]
        assert await named(log, log.replay.interval(1, NOON, log.now, Wanted(frozenset({"b"})))) == []
        messages = [lack async for each in log.messages.slices(whole) for lack in each.lacks]
        assert messages == await named(log, whole)


@pytest.mark.parametrize("is_lost", [True, False])
async def test_what_a_restored_log_lacks_comes_out_of_chunks(tmp_path: Path, *, is_lost: bool) -> None:
    async with Log(tmp_path).running() as log:
        await log.take(report(at=log.now, arrived_at=log.now))
        if not is_lost:
            await backed_up(log)
        log.now += HOUR_MS
        start = log.now
        for number in range(5):
            await log.take(report(at=start + number, arrived_at=start + number))
        await log.telemetry.seal_all()
    restore(log)
    # The clock may not be set yet.
    log.now = NOON
    async with log.running():
        log.now = start + HOUR_MS
        await log.take(report(at=log.now, arrived_at=log.now))
        sources, placed = await gathered(log, Interval(1, start, log.now + 1))
        assert [each.report.at for each in placed] == [*range(start, start + 5), log.now]
        # What came since does not need them.
        assert sources == {CHUNKS, LOG}
        await log.telemetry.seal_all()
        await log.stream.tend()
        _, placed = await gathered(log, Interval(1, start, log.now + 1))
        assert len(placed) == 6


async def test_an_interval_that_is_none_is_refused(tmp_path: Path) -> None:
    async with Log(tmp_path).running() as log:
        with pytest.raises(InvalidInputError):
            log.replay.interval(1, NOON, NOON)
        assert log.replay.interval(1, NOON - 5, NOON + DAY_MS).end == log.replay.now()


class Unreadable(NothingCold):
    """A day that may have something, and cannot be read."""

    def days_arrived(self, start: int, end: int) -> Sequence[int]:
        del start, end
        return [NOON // DAY_MS - 9]

    def is_needed(self, day: int) -> bool:
        del day
        return True

    async def arrived(self, day: int, asked: Arrivals) -> Sequence[Rows]:
        raise ColdError("the bucket does not answer")


async def test_a_day_that_cannot_be_read_is_told_once(tmp_path: Path) -> None:
    async with Log(tmp_path).running() as log:
        await take_more_than_fits(log)
        log.telemetry.cold = Unreadable()
        interval = log.replay.interval(1, NOON, NOON + 40)
        pieces = [each async for each in log.replay.slices(interval)]
        assert len(pieces) > 1
        lack = Lack(NOON // DAY_MS - 9, "the bucket does not answer")
        assert [each.lacks for each in pieces] == [(lack,), *[()] * (len(pieces) - 1)]
        assert sum(len(each.reports) for each in pieces) == 40
        told = [each.lacks async for each in log.messages.slices(interval)]
        assert told == [each.lacks for each in pieces]
