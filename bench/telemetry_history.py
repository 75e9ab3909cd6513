"""Days of readings in the gateway's own day files and roll-ups: what they take, and how soon they answer.

Run as `python -m bench.telemetry_history '<JSON of History>'`; prints `Kept` as JSON. The readings go the way that
committed ones go, from memory on; the event log, which is trimmed behind the day files, is left out.
"""

import asyncio
import datetime as dt
import itertools
import os
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec

from appliance.instant import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from appliance.registry.model import DEFAULT_TENANT
from appliance.telemetry.asking.model import Aggregate, Binned, Fill, Order, Question, Unit, Width
from appliance.telemetry.keeping.sealed_day import sealed_path, sync
from appliance.telemetry.model import Report, TimeSource
from bench.message import device_ids
from bench.numbers import Spread, spread
from bench.telemetry_rig import Rig, handed_bytes, opened, size_bytes, written_bytes
from bench.telemetry_walk import INTERVAL_MS, METRICS, SPREAD_MS, Walk
from web.api.telemetry import latest_out

LIMIT = 100_000
LATE_MS = 3 * HOUR_MS
DELAY_MS = 37
"""From the measurement to the arrival."""
HOURLY = Width(1, Unit.HOUR)
ROUNDS = 30


class History(msgspec.Struct, frozen=True):
    """What is to be kept: days of few readings, and after them one of many."""

    folder: str
    device_count: int
    day: int
    """The day of many readings: whole UTC days since 1970."""
    past_days: int
    past_interval_ms: int
    hours: int
    """How long the day of many readings lasts: 24, or less to see that it works."""
    fleet_count: int
    """Of how many devices the latest readings are asked for."""
    is_full: bool
    """Whether the readings are doubles of full precision."""
    is_asked: bool
    """Whether queries are measured, and the day is dropped afterwards."""


class Kept(msgspec.Struct, frozen=True):
    """What it came to."""

    reading_count: int
    """Of the day."""
    open_bytes: int
    """What they take until they are sealed, at night."""
    sealed_bytes: int
    """What they take from then on."""
    rollup_bytes: int
    """What the roll-ups of the day take beside them."""
    taken_s: float
    """For the readings of all days: through memory into day files, sealed and rolled up."""
    all_count: int
    raw: Spread | None = None
    month_days: Spread | None = None
    month_hours: Spread | None = None
    wide: Spread | None = None
    latest: Spread | None = None
    drop_bytes: int = 0
    """Written to any file while the day was unlinked."""
    unlink_bytes: int = 0
    """What the file system wrote meanwhile for itself: its names and its lists of what is free."""
    bare_bytes: int = 0
    """What it wrote for itself to unlink a file as long of which nobody knows."""
    close_bytes: int = 0
    """Written before that, to say in the roll-ups that they stay as they are."""


async def keep(task: History) -> Kept:
    """Make the days, and ask."""
    async with opened(Path(task.folder), (task.day - task.past_days) * DAY_MS) as rig:
        walks = [Walk(number, is_full=task.is_full) for number in range(task.device_count)]
        began = time.perf_counter()
        past = 0
        for day in range(task.day - task.past_days, task.day):
            past += await _live_a_day(rig, walks, day, task.past_interval_ms, 24)
            await rig.night()
        rolled_up = _rollup_bytes(rig)
        counted = await _live_a_day(rig, walks, task.day, INTERVAL_MS, task.hours)
        await rig.telemetry.seal_all()
        path = rig.telemetry.day_files.path(task.day)
        open_bytes = size_bytes([path])
        await rig.night()
        taken_s = time.perf_counter() - began
        rollup_bytes = _rollup_bytes(rig) - rolled_up
        sealed_bytes = size_bytes([path, sealed_path(path)])
        kept = Kept(counted, open_bytes, sealed_bytes, rollup_bytes, taken_s, past + counted)
        return await _asked(rig, task, kept) if task.is_asked else kept


async def live(rig: Rig, walks: Sequence[Walk], start: int, end: int, interval_ms: int) -> int:
    """Let devices measure from `start` to `end`, UTC milliseconds; gives how many readings that were.

    Chunks are sealed as time goes by, unless the interval is a minute or more: then they wait for the end.
    """
    names = device_ids(len(walks))
    for at in range(start, end, interval_ms):
        rig.now = at + SPREAD_MS
        reports = [_report(name, *walk.step(at)) for name, walk in zip(names, walks, strict=True)]
        rig.telemetry.absorb(reports, rig.next_log_id())
        if interval_ms < MINUTE_MS and at % MINUTE_MS == 0:
            await rig.telemetry.seal_due()
    return (end - start) // interval_ms * len(walks) * len(METRICS)


async def _live_a_day(rig: Rig, walks: Sequence[Walk], day: int, interval_ms: int, hours: int) -> int:
    """The same for so many hours of a day; afterwards it is the next morning."""
    count = await live(rig, walks, day * DAY_MS, day * DAY_MS + hours * HOUR_MS, interval_ms)
    rig.now = (day + 1) * DAY_MS + LATE_MS
    return count


def _report(name: str, at: int, values: Sequence[float]) -> Report:
    topic = f"sensors/{name}/telemetry"
    return Report(
        DEFAULT_TENANT, name, at, at + DELAY_MS, TimeSource.DEVICE, topic, name, dict(zip(METRICS, values, strict=True))
    )


def _rollup_bytes(rig: Rig) -> int:
    return size_bytes([rig.folder / "rollups"])


async def _asked(rig: Rig, task: History, kept: Kept) -> Kept:
    start, end = task.day * DAY_MS, (task.day + 1) * DAY_MS
    telemetry, names = rig.telemetry, device_ids(task.device_count)

    async def raw(name: str) -> int:
        [series] = await telemetry.series(DEFAULT_TENANT, name, METRICS[:1], start, end, LIMIT)
        return len(series.at)

    async def month(name: str, width: Width) -> int:
        question = _question([name], METRICS[:1], end - (task.past_days + 1) * DAY_MS, end, width)
        return len((await telemetry.asking.answer(question)).rows)

    async def wide(_: str) -> int:
        return len((await telemetry.asking.answer(_question(names, METRICS, start, end, HOURLY))).rows)

    async def latest(_: str) -> int:
        newest = telemetry.newest_of_all(DEFAULT_TENANT)
        return (await latest_out(newest, lambda _: {}, 0)).count(b'"device_id"')

    fleet = [Walk(number, is_full=False) for number in range(task.fleet_count)]
    seconds = itertools.count(end, SECOND_MS)

    async def hear() -> None:
        """A fifth of the fleet, as many as tell of themselves in a second, have news each time."""
        at = next(seconds)
        await live(rig, fleet if at == end else fleet[: len(fleet) // 5], at, at + 1, 1)

    kept = msgspec.structs.replace(
        kept,
        raw=await _timed(raw, names, task.hours * HOUR_MS // INTERVAL_MS),
        month_hours=await _timed(lambda name: month(name, HOURLY), names, task.past_days * 24 + task.hours),
        month_days=await _timed(lambda name: month(name, Width(1, Unit.DAY)), names, task.past_days + 1),
        wide=await _timed(wide, names, task.hours * task.device_count),
    )
    await hear()
    asked = await _timed(latest, names, max(task.fleet_count, task.device_count), hear)
    kept = msgspec.structs.replace(kept, latest=asked)
    return await _dropped(rig, task.day, kept)


async def _dropped(rig: Rig, day: int, kept: Kept) -> Kept:
    days = rig.telemetry.day_files.path(day).parent
    bare = days.parent / "bare"
    bare.write_bytes(bytes(kept.sealed_bytes))
    # Whatever waits to be written is in nobody's figure.
    os.sync()
    before = written_bytes()
    bare.unlink()
    sync(days.parent)
    bare_bytes = written_bytes() - before
    before = written_bytes()
    await rig.telemetry.rollups.close_day(day)
    close_bytes = written_bytes() - before
    os.sync()
    handed, before = handed_bytes(), written_bytes()
    await rig.keeping.unlink(day)
    return msgspec.structs.replace(
        kept,
        drop_bytes=handed_bytes() - handed,
        unlink_bytes=written_bytes() - before,
        bare_bytes=bare_bytes,
        close_bytes=close_bytes,
    )


async def _nothing() -> None:
    """Nothing happens between two questions."""


async def _timed(
    ask: Callable[[str], Awaitable[int]],
    names: Sequence[str],
    expected: int,
    between: Callable[[], Awaitable[None]] = _nothing,
) -> Spread:
    """Ask again and again, of one device after the other; raises `ValueError` when not everything is answered."""
    times = []
    for number in range(ROUNDS):
        await between()
        begun = time.perf_counter_ns()
        count = await ask(names[number * 7 % len(names)])
        times.append(time.perf_counter_ns() - begun)
        if count != expected:
            raise ValueError(f"{count:,} were answered, {expected:,} expected")
    return spread(times)


def _question(names: Sequence[str], metrics: Sequence[str], start: int, end: int, width: Width) -> Question:
    return Question(
        tenant_id=DEFAULT_TENANT,
        keys={name: (name,) for name in names},
        columns=tuple(Binned(f"avg({metric})", metric, Aggregate.AVG) for metric in metrics),
        start=start,
        end=end,
        width=width,
        zone=dt.UTC,
        fill=Fill.NONE,
        order=Order.OLDEST,
        limit=LIMIT,
    )


if __name__ == "__main__":
    print(msgspec.json.encode(asyncio.run(keep(msgspec.json.decode(sys.argv[1].encode(), type=History)))).decode())
