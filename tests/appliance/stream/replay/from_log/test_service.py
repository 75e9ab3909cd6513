"""What the log holds of a span is found wherever it lies in it, and who asks is sent away when that is not all."""

import tempfile
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.instant import DAY_MS, HOUR_MS
from appliance.stream.model import Start
from appliance.stream.replay.from_log.service import RECORDS_AT_ONCE, FromLog
from appliance.stream.replay.model import Span, TooMuchError
from appliance.stream.wanted import EVERYTHING, Wanted
from appliance.telemetry.model import Report
from appliance.telemetry.service import Telemetry
from tests.appliance.stream.story import Log
from tests.appliance.telemetry.reports import NOON, exact, report

PAST_MS = 1_000


def span_of(start: int, end: int, most: int = 1_000_000) -> Span:
    return Span(1, start, end, EVERYTHING, most)


async def took(log: Log, *arrivals: int) -> list[Report]:
    reports = [report(at=at, arrived_at=at, values={"n": number}) for number, at in enumerate(arrivals)]
    await log.take(*reports)
    return reports


@given(
    st.lists(st.tuples(st.integers(0, PAST_MS), st.integers(0, 50)), min_size=1, max_size=3 * RECORDS_AT_ONCE),
    st.lists(st.tuples(st.integers(0, PAST_MS), st.integers(1, PAST_MS), st.integers(0, 200)), min_size=1, max_size=5),
)
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
async def test_a_span_is_whole_whatever_the_order_of_arrivals_and_whatever_was_asked_before(
    arrivals: list[tuple[int, int]], spans: list[tuple[int, int, int]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with Log(Path(folder)).running() as log:
            await log.stream.add(1, "holds", Start.OLDEST)
            from_log = FromLog(log.database, log.telemetry)
            log.now = NOON + PAST_MS
            sent, waiting = [], [NOON + at for at, _ in arrivals]
            for start, length, count in spans:
                for at in waiting[:count]:
                    log.now += 1
                    sent += await took(log, at, at + 1)
                waiting = waiting[count:]
                asked = span_of(NOON + start, NOON + start + length)
                found = await from_log.arrived(asked)
                assert found is not None
                assert [exact(each) for each in found] == [exact(each) for each in sent if asked.has(each)]


async def test_stretches_that_hold_only_what_is_newer_are_no_end_of_it(tmp_path: Path) -> None:
    async with Log(tmp_path).running() as log:
        from_log = FromLog(log.database, log.telemetry)
        log.now += PAST_MS
        for number in range(2 * RECORDS_AT_ONCE):
            await took(log, NOON + PAST_MS + number)
        await took(log, NOON)
        assert len(await from_log.arrived(span_of(NOON, NOON + 1)) or ()) == 1
        # A stretch that is not full yet grows: not every look makes one of its own.
        for number in range(1, 4):
            await took(log, NOON + number)
            assert len(await from_log.arrived(span_of(NOON, NOON + PAST_MS)) or ()) == number + 1
        assert len(from_log._stretches[1]) == 3


class Interrupted:
    """Telemetry that seals, and so trims the log, whenever something was worked on."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self.day_files = telemetry.day_files

    async def aside(self, function: Any, *arguments: Any) -> Any:
        found = await self._telemetry.aside(function, *arguments)
        await self._telemetry.seal_all()
        return found


async def test_what_is_trimmed_meanwhile_is_not_taken_for_all(tmp_path: Path) -> None:
    async with Log(tmp_path).running() as log:
        await took(log, NOON)
        from_log = FromLog(log.database, cast("Telemetry", Interrupted(log.telemetry)))
        assert await from_log.arrived(span_of(NOON, NOON + 1)) is None


async def test_what_left_the_log_is_not_here_and_what_came_since_is(tmp_path: Path) -> None:
    async with Log(tmp_path).running() as log:
        from_log = FromLog(log.database, log.telemetry)
        await took(log, NOON)
        assert await from_log.reaches(1, NOON - DAY_MS)
        assert len(await from_log.arrived(span_of(NOON, NOON + 1)) or ()) == 1
        await log.telemetry.seal_all()
        assert await from_log.arrived(span_of(NOON, NOON + HOUR_MS)) is None
        log.now += 1
        await took(log, NOON + 1)
        assert not await from_log.reaches(1, NOON)
        assert await from_log.reaches(1, NOON + 1)
        assert len(await from_log.arrived(span_of(NOON + 1, NOON + HOUR_MS)) or ()) == 1


async def test_a_record_that_cannot_be_read_makes_nobody_believe_that_this_is_all(tmp_path: Path) -> None:
    async with Log(tmp_path).running() as log:
        await took(log, NOON)
        await log.database.write(lambda connection: connection.execute("UPDATE log SET record = x'00'"))
        assert await FromLog(log.database, log.telemetry).arrived(span_of(NOON, NOON + 1)) is None


async def test_nothing_is_found_in_an_empty_log_nor_of_what_is_not_wanted_or_erased(tmp_path: Path) -> None:
    async with Log(tmp_path).running() as log:
        from_log = FromLog(log.database, log.telemetry)
        assert await from_log.arrived(span_of(NOON, NOON + 1)) == []
        await took(log, NOON)
        assert await from_log.arrived(Span(1, NOON, NOON + 1, Wanted(frozenset({"other"})), 9)) == []
        assert await from_log.arrived(Span(2, NOON, NOON + 1, EVERYTHING, 9)) == []
        log.telemetry.day_files.erased[1, "sensor-001"] = 1
        assert await from_log.arrived(span_of(NOON, NOON + 1)) == []


async def test_more_than_is_held_at_once_is_too_much_but_for_a_single_moment(tmp_path: Path) -> None:
    async with Log(tmp_path).running() as log:
        await took(log, *[NOON] * 4)
        from_log = FromLog(log.database, log.telemetry)
        with pytest.raises(TooMuchError):
            await from_log.arrived(span_of(NOON, NOON + 2, most=3))
        assert len(await from_log.arrived(span_of(NOON, NOON + 1, most=3)) or ()) == 4
