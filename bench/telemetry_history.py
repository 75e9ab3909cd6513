"""Days of readings in the gateway's own day files and roll-ups: what they take, and how soon they answer.

Run as `python -m bench.telemetry_history '<JSON of History>'`; prints `Kept` as JSON. The readings go the way that
committed ones go, from memory on; the event log, which is trimmed behind the day files, is left out.
"""

import asyncio
import datetime as dt
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import cycle
from pathlib import Path

import msgspec

from appliance.instant import DAY_MS, HOUR_MS, MINUTE_MS
from appliance.registry.model import DEFAULT_TENANT
from appliance.telemetry import chunk, queries
from appliance.telemetry.asking.model import Aggregate, Binned, Fill, Order, Question, Unit, Width
from appliance.telemetry.model import Report, TimeSource
from bench.numbers import Spread, spread
from bench.telemetry_rig import Rig, opened, size_bytes, written_bytes
from bench.telemetry_walk import INTERVAL_MS, METRICS, Walk, device_id, steps

LIMIT = 100_000
LATE_MS = 3 * HOUR_MS
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
    is_full: bool
    """Whether the readings are doubles of full precision."""
    is_asked: bool
    """Whether queries are measured, and the day is dropped afterwards."""


class Kept(msgspec.Struct, frozen=True):
    """What it came to."""

    reading_count: int
    """Of the day."""
    open_bytes: int
    """What the day takes while it lasts, with its roll-ups."""
    sealed_bytes: int
    rollup_bytes: int
    """Of the day alone."""
    taken_s: float
    """For the readings of all days: through memory into day files, sealed and rolled up."""
    all_count: int
    raw: Spread | None = None
    month_days: Spread | None = None
    month_hours: Spread | None = None
    wide: Spread | None = None
    wide_rows: int = 0
    drop_bytes: int = 0
    """Written while the day was unlinked."""
    close_bytes: int = 0
    """Written before that, to say in the roll-ups that they stay as they are."""


async def keep(task: History) -> Kept:
    """Make the days, and ask."""
    start = (task.day - task.past_days) * DAY_MS
    async with opened(Path(task.folder), start) as rig:
        walks = [Walk(number, is_full=task.is_full) for number in range(task.device_count)]
        began = time.perf_counter()
        past = 0
        for day in range(task.day - task.past_days, task.day):
            past += await _lived(rig, walks, day, task.past_interval_ms)
        rolled_up = _rollups(rig)
        counted = await _lived(rig, walks, task.day, INTERVAL_MS)
        taken_s = time.perf_counter() - began
        path = rig.telemetry.day_files.path(task.day)
        rollup_bytes = _rollups(rig) - rolled_up
        # As large as the open part was: what it held is the same, only the file is another one.
        kept = Kept(
            reading_count=counted,
            open_bytes=_open_bytes.pop() + rollup_bytes,
            sealed_bytes=size_bytes([path, queries.sealed_day.sealed_path(path)]) + rollup_bytes,
            rollup_bytes=rollup_bytes,
            taken_s=taken_s,
            all_count=past + counted,
        )
        return await _asked(rig, task, kept) if task.is_asked else kept


