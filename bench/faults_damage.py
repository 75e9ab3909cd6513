"""Every page of every kind of file of readings, damaged in turn: it is named, and never silently empty.

The gateway's own code reads the damaged copy as it would after a start. What it gives must be what was stored, without
readings that were damaged, and if any are missing, the file is named where people look (`/v1/status`, *Storage*).
"""

import asyncio
import contextlib
import logging
import random
import shutil
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from appliance.config import TelemetryConfig
from appliance.errors import ApplianceError
from appliance.instant import DAY_MS, HOUR_MS, MINUTE_MS, day_of
from appliance.store import database, migrate
from appliance.store.database import Database
from appliance.telemetry import log_record, queries
from appliance.telemetry.keeping import layout
from appliance.telemetry.keeping.service import Keeping
from appliance.telemetry.model import Report, TimeSource
from appliance.telemetry.packing import ChunkError
from appliance.telemetry.rollups import queries as rollup_queries
from appliance.telemetry.service import Telemetry
from bench.numbers import table

NOON = 1_769_860_800_000
"""2026-01-31, 12:00 UTC."""
DAY = day_of(NOON)
TENANT = 1
METRIC = "pressure"
DEVICES = tuple(f"pump-{number:03d}" for number in range(24))
BATCHES = 5
REPORTS_A_BATCH = 60
FOREVER = (0, 2**53)
SEED = 20_260_131
DATABASE_PAGE_BYTES = 4_096

Readings = dict[str, dict[int, float]]
"""By device and moment."""
Spoil = Callable[[Sequence[bytes], int, random.Random], Mapping[int, bytes]]
"""Of the pages of a file and the number of one: what which of them become."""


def _flipped(page: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(page))
    return page[:place] + bytes([page[place] ^ (1 << chance.randrange(8))]) + page[place + 1 :]


def _alone(become: Callable[[bytes, random.Random], bytes]) -> Spoil:
    return lambda pages, number, chance: {number: become(pages[number], chance)}


def _swapped(pages: Sequence[bytes], number: int, _chance: random.Random) -> Mapping[int, bytes]:
    other = (number - 1) % len(pages)
    return {number: pages[other], other: pages[number]}


SWAPPED = "swapped with the page before it"
PATTERNS: Mapping[str, Spoil] = {
    "zeros": _alone(lambda page, _: bytes(len(page))),
    "ones": _alone(lambda page, _: b"\xff" * len(page)),
    "noise": _alone(lambda page, chance: chance.randbytes(len(page))),
    "half of it zeros": _alone(lambda page, _: page[: len(page) // 2].ljust(len(page), b"\0")),
    "one bit": _alone(_flipped),
    "the page before it": lambda pages, number, _: {number: pages[number - 1]},
    SWAPPED: _swapped,
}


class Kind(msgspec.Struct, frozen=True):
    """A kind of file of which every page is damaged."""

    name: str
    file: str
    """Within the data folder."""
    page_bytes: int
    is_checked_whole: bool = False
    """Whether damage is found that no answer comes across."""
    is_sealed_later: bool = False
    """Whether the file is read whole at night, when the day is sealed."""
    step: int = 1
    """Every how manieth page is damaged when it is done in turn."""


KINDS = (
    Kind("open day", f"days/{DAY}.db", queries.DAY_PAGE_BYTES, is_sealed_later=True),
    Kind("sealed day", f"days/{DAY}.sealed", layout.PAGE_BYTES, is_checked_whole=True),
    Kind("roll-ups", f"rollups/{DAY[:7]}.db", rollup_queries.PAGE_BYTES),
    # Most of its hundred pages belong to tables of which this gateway has nothing.
    Kind("gateway.db", "gateway.db", DATABASE_PAGE_BYTES, step=3),
)


class Seen(msgspec.Struct, frozen=True):
    """What a gateway gave that started on a damaged page."""

    missing: int = 0
    """Devices of which a reading is missing, or an hour."""
    wrong: int = 0
    """Devices of which something is given that was not stored."""
    names: tuple[str, ...] = ()
    """What is said to be damaged."""
    refusal: str = ""
    """Why it did not start."""
    is_aside: bool = False
    """Whether the file was set aside in the end, or a part of it."""

    def outcome(self, kind: Kind) -> str:
        """What that is, in a word; those in capitals must not be."""
        if self.refusal:
            return "refused"
        if self.wrong:
            return "WRONG"
        if self.names:
            return "named, missing" if self.missing else "named, all there"
        if self.missing:
            return "SILENT"
        return "NOT NOTICED" if kind.is_checked_whole else "all there"


class Damage(msgspec.Struct, frozen=True):
    """One page that was damaged in one way, some with the one before it, and what came of it."""

    kind: str
    page: int
    pattern: str
    outcome: str
    seen: Seen


class _Gateway(NamedTuple):
    """The parts of a gateway that know readings."""

    database: Database
    telemetry: Telemetry
    keeping: Keeping

    async def take(self, reports: Sequence[Report]) -> None:
        """Commit reports and take them, as ingestion does."""
        record = log_record.encode(reports)
        log_id = await self.database.write(queries.insert_log, TENANT, NOON, len(reports), record)
        self.telemetry.absorb(reports, log_id)


async def damaged(folder: Path, patterns: Sequence[str], *, in_turn: bool = False) -> list[Damage]:
    """Damage every page of every kind of file in each of some ways; or, `in_turn`, each page in one of them.

    In turn, a kind of file may be damaged at every few pages only.
    """
    chance = random.Random(SEED)  # noqa: S311  no secret
    before = await _stored(folder / "whole", chance)
    found = []
    for kind in KINDS:
        whole = folder / "whole" / kind.name.replace(" ", "-")
        content = (whole / kind.file).read_bytes()
        pages = [content[start : start + kind.page_bytes] for start in range(0, len(content), kind.page_bytes)]
        for way, pattern in enumerate(patterns):
            turns = range(way * kind.step, len(pages), len(patterns) * kind.step)
            for number in turns if in_turn else range(len(pages)):
                became = PATTERNS[pattern](pages, number, chance)
                spoiled = {place: page for place, page in became.items() if page != pages[place]}
                if not spoiled:
                    continue
                seen = await _seen(folder, whole, kind, spoiled, before)
                found.append(Damage(kind.name, number, pattern, seen.outcome(kind), seen))
    return found


def report(found: Sequence[Damage]) -> str:
    """What came of it, by file and pattern."""
    groups: dict[tuple[str, str, str], list[Seen]] = {}
    for each in found:
        groups.setdefault((each.kind, each.pattern, each.outcome), []).append(each.seen)
    head = ("file", "a page is", "outcome", "pages", "devices with gaps, at most", "set aside", "met")
    rows = [
        [
            *key,
            f"{len(seen):,}",
            f"{max(each.missing for each in seen)} of {len(DEVICES)}",
            f"{sum(each.is_aside for each in seen)}",
            "NO" if key[2].isupper() else "yes",
        ]
        for key, seen in groups.items()
    ]
    return table(head, rows)


async def _stored(folder: Path, chance: random.Random) -> Readings:
    """Make a data folder for each kind of file that holds it, and tell what is stored."""
    source = folder / "source"
    before: Readings = {}
    async with _opened(source) as gateway:
        for number in range(BATCHES):
            reports = [each for device in DEVICES for each in _reports(device, number, chance)]
            for each in reports:
                before.setdefault(each.device_id, {})[each.at] = float(str(each.values[METRIC]))
            await gateway.take(reports)
            if number < BATCHES - 1:
                await gateway.telemetry.seal_all()
        # The last batch is in the log.
        await asyncio.to_thread(_copied, source, folder / "gateway.db")
        await gateway.telemetry.seal_all()
        await gateway.telemetry.rollups.roll()
        await asyncio.to_thread(_copied, source, folder / "roll-ups")
        await asyncio.to_thread(_copied, source, folder / "open-day")
        await gateway.keeping.seal_due()
    shutil.copytree(source, folder / "sealed-day")
    return before


def _copied(source: Path, target: Path) -> None:
    """Copy files that are open as a backup does: what is in write-ahead logs is in the files then."""
    for path in source.rglob("*.db"):
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.closing(sqlite3.connect(path)) as old, contextlib.closing(sqlite3.connect(copy)) as new:
            old.backup(new)


def _reports(device_id: str, batch: int, chance: random.Random) -> list[Report]:
    first = NOON + batch * HOUR_MS
    return [
        Report(
            TENANT,
            device_id,
            at,
            at + 20,
            TimeSource.DEVICE,
            f"sensors/{device_id}/telemetry",
            device_id,
            {METRIC: chance.random() * 100},
        )
        for at in range(first, first + REPORTS_A_BATCH * MINUTE_MS, MINUTE_MS)
    ]


@contextlib.asynccontextmanager
async def _opened(folder: Path) -> AsyncIterator[_Gateway]:
    folder.mkdir(parents=True, exist_ok=True)
    config = TelemetryConfig()
    async with database.opened(folder / "gateway.db", prepare=migrate.migrate) as opened:
        telemetry = Telemetry(opened, folder, config, _clock)
        async with telemetry.opened():
            yield _Gateway(opened, telemetry, Keeping(opened, telemetry, config, _clock))


def _clock() -> int:
    return NOON + 2 * DAY_MS


async def _seen(folder: Path, whole: Path, kind: Kind, spoiled: Mapping[int, bytes], before: Readings) -> Seen:
    scratch = Path(tempfile.mkdtemp(dir=folder)) / "data"
    shutil.copytree(whole, scratch)
    with (scratch / kind.file).open("r+b") as file:
        for number, page in spoiled.items():
            file.seek(number * kind.page_bytes)
            file.write(page)
    try:
        seen = await _looked_at(scratch, kind, before)
    except (sqlite3.Error, ApplianceError, ChunkError, ExceptionGroup) as error:
        seen = Seen(refusal=str(error) or repr(error))
    aside = bool(list(scratch.rglob("*.damaged-*")))
    shutil.rmtree(scratch.parent)
    return msgspec.structs.replace(seen, is_aside=aside)


async def _looked_at(folder: Path, kind: Kind, before: Readings) -> Seen:
    """What is given after a start and again after the night, whichever is worse."""
    async with _opened(folder) as gateway:
        first = await _found(gateway.telemetry, before)
        # What the gateway does by itself soon after a start.
        await gateway.keeping.check_opened()
        await gateway.telemetry.rollups.check_files(lambda: False)
        await gateway.telemetry.rollups.roll()
        seen = _judged(before, first, gateway.telemetry)
        if not kind.is_sealed_later:
            return seen
        with contextlib.suppress(ApplianceError, ChunkError):
            await gateway.keeping.seal_due()
        after = _judged(before, await _found(gateway.telemetry, before), gateway.telemetry)
    return seen if seen.outcome(kind).isupper() or after.missing == 0 else after


async def _found(telemetry: Telemetry, before: Readings) -> tuple[Readings, dict[str, float]]:
    """The readings of each device, and the sum of its bins."""
    readings: Readings = {}
    for device_id in before:
        [series] = await telemetry.series(TENANT, device_id, [METRIC], *FOREVER, limit=100_000)
        readings[device_id] = {at: float(str(value)) for at, value in zip(series.at, series.values, strict=True)}
    start = NOON // DAY_MS * DAY_MS
    hours = await telemetry.hours(TENANT, list(before), [METRIC], start, start + DAY_MS)
    counts = {
        device_id: float(sum(each.count for each in metrics.get(METRIC, {}).values()))
        for device_id, metrics in hours.items()
    }
    return readings, counts


def _judged(before: Readings, found: tuple[Readings, dict[str, float]], telemetry: Telemetry) -> Seen:
    readings, counts = found
    missing = {device for device, known in before.items() if known.keys() - readings[device].keys()}
    missing |= {device for device, known in before.items() if counts.get(device, 0) < len(known)}
    wrong = [device for device, known in before.items() if readings[device].items() - known.items()]
    wrong += [device for device, known in before.items() if counts.get(device, 0) > len(known)]
    return Seen(len(missing), len(wrong), tuple(sorted(telemetry.day_files.damages)))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Let the gateway's code not print what it finds."""
    logger = logging.getLogger("appliance")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)
