"""What is stored is found by its arrival, in memory, in day files and in Parquet."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from appliance.instant import DAY_MS, HOUR_MS
from appliance.stream.replay.from_chunks.service import FromChunks
from appliance.stream.replay.model import Span, TooMuchError
from appliance.stream.wanted import EVERYTHING, Wanted
from appliance.telemetry.cold.model import Arrivals
from appliance.telemetry.rows import Rows
from tests.appliance.stream.story import Log
from tests.appliance.telemetry.cold.rig import ColdGateway, needs_pyarrow
from tests.appliance.telemetry.reports import NOON, report

TODAY = NOON // DAY_MS


class Shelf:
    """One day that lies elsewhere."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self.is_in_day_files = False
        self.asked: list[Arrivals] = []

    def days(self, start: int, end: int) -> Sequence[int]:
        return [self._rows.day] if self._rows.day * DAY_MS < end and (self._rows.day + 1) * DAY_MS > start else []

    def days_arrived(self, start: int, end: int) -> Sequence[int]:
        return [self._rows.day] if min(self._rows.arrived_at) < end and max(self._rows.arrived_at) >= start else []

    def is_needed(self, day: int) -> bool:
        return day == self._rows.day and not self.is_in_day_files

    async def parts(self, device: tuple[int, str], day: int, span: tuple[int, int]) -> Sequence[Rows]:
        raise NotImplementedError

    async def arrived(self, day: int, asked: Arrivals) -> Sequence[Rows]:
        assert day == self._rows.day
        self.asked.append(asked)
        return [self._rows] if asked.device_ids in {(), (self._rows.device_id,)} else []


def span_of(start: int, end: int, wanted: Wanted = EVERYTHING, most: int = 1_000) -> Span:
    return Span(1, start, end, wanted, most)


async def test_what_only_parquet_has_is_given_too(tmp_path: Path) -> None:
    async with Log(tmp_path).running() as log:
        chunks = FromChunks(log.database, log.telemetry, DAY_MS)
        await log.take(report("a", arrived_at=NOON), report("b", arrived_at=NOON))
        old = NOON - 9 * DAY_MS
        shelf = Shelf(Rows.of([report("a", old, arrived_at=old), report("a", old + 5, arrived_at=old + HOUR_MS)], 1))
        log.telemetry.cold = shelf
        found = await chunks.arrived(span_of(old, old + 10))
        assert [each.at for each in found] == [old]
        found = await chunks.arrived(span_of(old + HOUR_MS, old + 2 * HOUR_MS, Wanted(frozenset("a"))))
        assert [each.at for each in found] == [old + 5]
        assert [each.device_ids for each in shelf.asked] == [(), ("a",)]
        # What is more than fits is told of by whoever finds it, but in a single moment.
        assert [each.most for each in shelf.asked] == [1_000, 1_000]
        with pytest.raises(TooMuchError):
            await chunks.arrived(span_of(old, old + 2, most=1))
        await chunks.arrived(span_of(old, old + 1, most=1))
        assert [each.most for each in shelf.asked[2:]] == [1, 0]
        shelf.asked.clear()
        await chunks.arrived(span_of(NOON, NOON + 1))
        shelf.is_in_day_files = True
        await chunks.arrived(span_of(old, old + 10))
        assert not shelf.asked


@needs_pyarrow
async def test_devices_that_only_parquet_knows_are_given_after_a_restart_unless_they_are_erased(tmp_path: Path) -> None:
    asked = span_of(NOON - 1, NOON + HOUR_MS)
    gateway = ColdGateway(tmp_path)
    async with gateway.running():
        await gateway.take(report("retired"), report("b"))
        await gateway.seal()
        await gateway.well()
        await gateway.drop()
        gateway.now += 5 * DAY_MS
        await gateway.take(report("b", NOON + 5 * DAY_MS, arrived_at=NOON + 5 * DAY_MS))
        await gateway.telemetry.seal_all()
    async with gateway.running():
        chunks = FromChunks(gateway.database, gateway.telemetry, DAY_MS)
        assert sorted(each.device_id for each in await chunks.arrived(asked)) == ["b", "retired"]
        await gateway.keeping.erase(1, ["retired"])
        assert [each.device_id for each in await chunks.arrived(asked)] == ["b"]
        gateway.file().write_bytes(b"no table")
        assert await chunks.arrived(asked) == []
        assert not gateway.cold.status().ok


async def test_a_day_that_was_written_since_is_looked_at_anew(tmp_path: Path) -> None:
    async with Log(tmp_path).running() as log:
        chunks = FromChunks(log.database, log.telemetry, DAY_MS)
        for number in range(3):
            log.now += HOUR_MS
            await log.take(report(at=NOON + number, arrived_at=log.now))
            await log.telemetry.seal_all()
            found = await chunks.arrived(span_of(log.now, log.now + 1))
            assert [each.at for each in found] == [NOON + number]
        # Hours that are over are looked for in what was committed since, and nowhere else.
        assert chunks._newest_of(TODAY, 1) == 3
        assert chunks._newest_of(TODAY, 2) == 0


async def test_more_than_is_held_at_once_is_too_much_wherever_it_lies(tmp_path: Path) -> None:
    async with Log(tmp_path).running() as log:
        chunks = FromChunks(log.database, log.telemetry, DAY_MS)
        await log.take(*[report(arrived_at=NOON, values={"n": n}) for n in range(4)])
        with pytest.raises(TooMuchError):
            await chunks.arrived(span_of(NOON, NOON + 2, most=3))
        await log.telemetry.seal_all()
        with pytest.raises(TooMuchError):
            await chunks.arrived(span_of(NOON, NOON + 2, most=3))
        assert len(await chunks.arrived(span_of(NOON, NOON + 1, most=3))) == 4


@needs_pyarrow
async def test_what_came_late_is_found_in_old_days_that_only_parquet_has(tmp_path: Path) -> None:
    late_at = NOON + 9 * DAY_MS
    asked = [span_of(NOON, NOON + HOUR_MS), span_of(late_at, late_at + HOUR_MS)]
    gateway = ColdGateway(tmp_path)
    async with gateway.running():
        await gateway.take(report("a"))
        await gateway.seal()
        await gateway.well()
        await gateway.drop()
        gateway.now = late_at
        await gateway.take(report("a", NOON + 1, arrived_at=late_at), report("b", NOON + 2, arrived_at=late_at + 5))
        gateway.now += 2 * DAY_MS
        await gateway.seal()
        await gateway.well()
        await gateway.drop()
        chunks = FromChunks(gateway.database, gateway.telemetry, DAY_MS)
        expected = [[NOON], [NOON + 1, NOON + 2]]
        assert [sorted(each.at for each in await chunks.arrived(span)) for span in asked] == expected
    async with gateway.running():
        # What is kept beside the files is known after a start: no other day is looked at.
        assert gateway.cold.days_arrived(late_at + HOUR_MS, gateway.now) == []
        (tmp_path / "cold" / "_arrivals.json").unlink()
    async with gateway.running():
        # A file of an earlier version is asked itself, until it is found out when what is in it arrived.
        chunks = FromChunks(gateway.database, gateway.telemetry, DAY_MS)
        assert gateway.cold.days_arrived(late_at + HOUR_MS, gateway.now) == [TODAY]
        assert [sorted(each.at for each in await chunks.arrived(span)) for span in asked] == expected
        await gateway.well()
        assert gateway.cold.days_arrived(late_at + HOUR_MS, gateway.now) == []
        assert [sorted(each.at for each in await chunks.arrived(span)) for span in asked] == expected


@needs_pyarrow
async def test_a_day_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    gateway = ColdGateway(tmp_path)
    async with gateway.running():
        await gateway.take(report("a"), report("b", arrived_at=NOON + 9 * DAY_MS))
        await gateway.seal()
        await gateway.well()
        await gateway.drop()
        chunks = FromChunks(gateway.database, gateway.telemetry, DAY_MS)
        gateway.file().write_bytes(b"no table")
        for start, expected in ((NOON, [TODAY]), (NOON + 9 * DAY_MS, [TODAY]), (NOON + 10 * DAY_MS, [])):
            lacking: dict[int, str] = {}
            assert await chunks.arrived(span_of(start, start + HOUR_MS), lacking.setdefault) == []
            assert list(lacking) == expected
            assert all("damaged" in why for why in lacking.values())
