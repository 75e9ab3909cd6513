"""Writes everything that was received of devices in a range, a piece at a time.

Rules:
- What is written, of which devices and in which columns, is settled before the first piece: what comes new meanwhile
  changes no heading and moves nobody's place.
- Device after device, each in the order of time. However much that is, one piece is in memory at a time, of so many
  reports and so much text; the time that is looked at in one go becomes shorter for a device that says much.
- Files are read and unpacked in threads, and every piece may be the last: whoever does not ask on keeps nobody.
- Only some exports are written at once, and fewer for one user; beyond that, who asks is sent away for a while.
- Parquet is made of the pieces by a program beside the gateway, as they come: nothing of it lies on the disk.
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from functools import partial

import msgspec

from appliance.cold_settings import ColdConfig
from appliance.instant import DAY_MS, HOUR_MS, MINUTE_MS
from appliance.portions import portions_of
from appliance.registry.model import Device
from appliance.telemetry.asking.edges import edges, least_ms
from appliance.telemetry.asking.model import Answer, Question, Row, TooManyQuestionsError
from appliance.telemetry.coarse.model import Lacking, Needed
from appliance.telemetry.cold.worker.service import has_pyarrow
from appliance.telemetry.exporting.model import (
    Asked,
    Block,
    InBins,
    Mark,
    Piece,
    Raw,
    Stretch,
    TooManyExportsError,
    UnknownExportError,
    Wanted,
)
from appliance.telemetry.exporting.program.service import parquet, require_pyarrow
from appliance.telemetry.exporting.reports import STRETCH_CHARACTERS, STRETCH_REPORTS, only, stretch
from appliance.telemetry.exporting.request import asks_for_metrics, asks_for_units, wanted
from appliance.telemetry.merge import Part
from appliance.telemetry.model import Report
from appliance.telemetry.service import Telemetry
from appliance.telemetry.tables import binned, layout
from appliance.telemetry.tables.layout import Form
from appliance.telemetry.wanted import Check

EXPORTS_AT_ONCE = 4
EXPORTS_OF_ONE = 2
"""So many of them may be one user's."""
PARQUET_AT_ONCE = 2
"""So many of them may be Parquet: each has a program of its own, with so much memory as the cold tier's may take."""
BEGUN_LIMIT = 16
"""So many exports wait for whoever asks for each piece; another one takes the place of the one that waited longest."""
CELLS_AT_ONCE = 30_000
"""So many bins are asked for in one go."""
DEVICES_AT_ONCE = 256
"""Of so many devices metrics are looked up in one turn of the loop."""
READS_AT_ONCE = 64
"""A block is given after so many looks, if it is empty: who carries it may be stopped in between."""

_SHORTEST_MS = MINUTE_MS
_LONGEST_MS = DAY_MS
_WAIT_S = 0.5

Who = tuple[int, str]
"""Tenant and name of a user or token."""


class Exporting:
    """Exports of a telemetry that is open."""

    def __init__(
        self,
        telemetry: Telemetry,
        memory_mb: int = ColdConfig().memory_mb,
        units_of: Callable[[int, str], Mapping[str, str]] = lambda *_: {},
    ) -> None:
        self._telemetry = telemetry
        self._memory_mb = memory_mb
        self._units_of = units_of
        self._parquet_count = 0
        self._counts: Counter[Who] = Counter()
        """How many are being written."""
        self._begun: dict[str, Wanted] = {}
        """What is asked for piece by piece; what was asked for last is last."""

    @property
    def count(self) -> int:
        """How many exports are being written."""
        return self._counts.total()

    @property
    def has_parquet(self) -> bool:
        """Whether Parquet can be written here."""
        return has_pyarrow()

    async def wanted(self, tenant_id: int, asked: Asked, devices: Sequence[Device]) -> Wanted:
        """What is to be written of these devices. Raises `InvalidInputError`, `NoPyarrowError`.

        In a thread, but for what only the loop may look at: thousands of devices have tens of thousands of metrics.
        """
        if asked.form == Form.PARQUET:
            require_pyarrow()
        metrics: dict[str, Sequence[str]] = {}
        units: dict[str, Mapping[str, str]] = {}
        has_metrics, has_units = asks_for_metrics(asked), asks_for_units(asked)
        for some in portions_of(devices if has_metrics or has_units else (), DEVICES_AT_ONCE):
            for device in some:
                if has_metrics:
                    metrics[device.device_id] = self._telemetry.metrics(tenant_id, device.device_id)
                elif known := self._units_of(tenant_id, device.device_id):
                    units[device.device_id] = known
            await asyncio.sleep(0)
        return await asyncio.to_thread(wanted, tenant_id, asked, devices, metrics.__getitem__, units)

    async def written(self, wanted: Wanted, who: Who) -> AsyncGenerator[bytes]:
        """The whole file for somebody; the first bytes tell of everything that is wrong with what is wanted.

        Raises what `pieces` raises, and `UnavailableError`.
        """
        async with aclosing(self.pieces(wanted, who)) as texts:
            if wanted.form is not Form.PARQUET:
                async for text in texts:
                    yield text.encode()
                return
            with self._program_admitted():
                async with aclosing(parquet(texts, self._memory_mb)) as grown:
                    async for more in grown:
                        yield more

    async def pieces(self, wanted: Wanted, who: Who) -> AsyncGenerator[str]:
        """The whole text for somebody; the first piece tells of everything that is wrong with what is wanted.

        Raises `TooManyExportsError`, and whatever `Asking.answer` raises.
        """
        with self._admitted(who):
            piece = await self.piece(wanted, Mark())
            yield piece.text
            while piece.next is not None:
                piece = await self.piece(wanted, piece.next)
                if piece.text:
                    yield piece.text

    def begin(self, wanted: Wanted) -> str:
        """A name under which the pieces can be asked for one by one, from `Mark()` on."""
        name = secrets.token_hex(8)
        self._begun[name] = wanted
        if len(self._begun) > BEGUN_LIMIT:
            del self._begun[next(iter(self._begun))]
        return name

    async def further(self, name: str, mark: Mark) -> Piece:
        """The text that comes next of an export that was begun. Raises `UnknownExportError`."""
        wanted = self._begun.pop(name, None)
        if wanted is None:
            raise UnknownExportError("the gateway does not know this export any more: begin it again")
        self._begun[name] = wanted
        piece = await self.piece(wanted, mark)
        if piece.next is not None:
            return piece
        self._begun.pop(name, None)
        return msgspec.structs.replace(piece, lacking=await self.lacking(wanted))

    async def lacking(self, wanted: Wanted) -> Lacking:
        """What an export may lack, as far as it is known: of what is damaged, all of it once everything was read."""
        coarse = self._telemetry.coarse
        if isinstance(wanted, InBins):
            return await coarse.lacking_in(wanted.question, Answer((), None))
        span = (wanted.start, wanted.end)
        what = Needed(wanted.metrics or (), (span,), is_of_numbers=False)
        return await coarse.lacking(wanted.tenant_id, wanted.device_ids, [what], span)

    async def piece(self, wanted: Wanted, mark: Mark) -> Piece:
        """The text that comes next; it may be empty and not the last."""
        if isinstance(wanted, Raw):
            block = await self.block(wanted, mark)
            text = await asyncio.to_thread(_text_of_reports, wanted, block, mark)
            found, is_first = block.next, mark.is_first and not block.reports
        else:
            rows, start = await self._bins(wanted.question, mark)
            text = await asyncio.to_thread(_text_of_rows, wanted, rows, mark, is_last=start is None)
            found, is_first = None if start is None else Mark(at=start), mark.is_first and not rows
        return Piece(text, None if found is None else msgspec.structs.replace(found, is_first=is_first))

    async def block(self, wanted: Raw, mark: Mark) -> Block:
        """The reports that come next; a block may be empty and not the last."""
        found: list[Report] = []
        character_count = 0
        following: Mark | None = mark
        for _ in range(READS_AT_ONCE):
            if following is None or following.place >= len(wanted.device_ids) or wanted.start >= wanted.end:
                return Block(found, None)
            some, following = await self._step(wanted, following)
            found += some.reports
            character_count += some.character_count
            if len(found) >= STRETCH_REPORTS or character_count >= STRETCH_CHARACTERS:
                break
        return Block(found, following)

    async def _step(self, wanted: Raw, mark: Mark) -> tuple[Stretch, Mark | None]:
        """What comes next of a device within a day, and where to look then."""
        device_id, start = wanted.device_ids[mark.place], max(mark.at, wanted.start)
        days = await self._telemetry.days_between(wanted.tenant_id, device_id, start, wanted.end)
        if not days:
            return Stretch([], 0, None), _next_device(wanted, mark)
        start = max(start, days[0] * DAY_MS)
        end = min(start + mark.step_ms, (days[0] + 1) * DAY_MS, wanted.end)
        look = partial(_stretch, start=start, skip=mark.skip if start == mark.at else 0, end=end, of=wanted.metrics)
        # A day that has gone meanwhile has nothing.
        [some] = await self._telemetry.looked_at(wanted.tenant_id, device_id, start, end, look) or [
            Stretch([], 0, None)
        ]
        if some.next is not None:
            at, skip = some.next
            return some, Mark(mark.place, at, skip, max(mark.step_ms // 4, _SHORTEST_MS))
        if end >= wanted.end:
            return some, _next_device(wanted, mark)
        is_little = len(some.reports) * 4 < STRETCH_REPORTS
        return some, Mark(mark.place, end, 0, min(mark.step_ms * 4, _LONGEST_MS) if is_little else mark.step_ms)

    async def _bins(self, question: Question, mark: Mark) -> tuple[tuple[Row, ...], int | None]:
        """The rows that come next, and where the bins after them begin; None when there are none."""
        if question.width is None:
            raise TypeError("a question without a width has no bins")
        start = max(question.start, mark.at)
        series_count = max(1, len(question.keys) * len({column.metric for column in question.columns}))
        at_once = max(1, CELLS_AT_ONCE // series_count - 1)
        # No bin is twice as long as another: so far there are enough of them.
        horizon = min(question.end, start + 2 * (at_once + 2) * least_ms(question.width))
        found = await asyncio.to_thread(edges, start, horizon, question.width, question.zone)
        if not found or not question.keys:
            return (), None
        end = min(found[min(at_once, len(found) - 1)], question.end)
        part = msgspec.structs.replace(question, start=start, end=end)
        return await self._answered(part), end if end < question.end else None

    async def _answered(self, question: Question) -> tuple[Row, ...]:
        while True:
            try:
                return (await self._telemetry.asking.answer(question)).rows
            except TooManyQuestionsError:
                # People who look at charts come first: an export has time.
                await asyncio.sleep(_WAIT_S)

    @contextmanager
    def _admitted(self, who: Who) -> Iterator[None]:
        if self._counts[who] >= EXPORTS_OF_ONE:
            raise TooManyExportsError(f"{EXPORTS_OF_ONE} of your exports are being written: ask again when one is done")
        if self.count >= EXPORTS_AT_ONCE:
            raise TooManyExportsError(
                f"{EXPORTS_AT_ONCE} exports are being written: ask again when one of them is done"
            )
        self._counts[who] += 1
        try:
            yield
        finally:
            self._counts[who] -= 1
            # Nobody is kept who has none.
            self._counts += Counter()

    @contextmanager
    def _program_admitted(self) -> Iterator[None]:
        if self._parquet_count >= PARQUET_AT_ONCE:
            raise TooManyExportsError(
                f"{PARQUET_AT_ONCE} exports are being written as Parquet: ask again when one of them is done"
            )
        self._parquet_count += 1
        try:
            yield
        finally:
            self._parquet_count -= 1


def _stretch(
    check: Check, parts: Sequence[Part], *, start: int, skip: int, end: int, of: frozenset[str] | None
) -> Stretch:
    found = stretch(check, parts, start, skip, end)
    return found if of is None else msgspec.structs.replace(found, reports=only(found.reports, of))


def _next_device(wanted: Raw, mark: Mark) -> Mark | None:
    if mark.place + 1 >= len(wanted.device_ids):
        return None
    # The next device may say much more than this one.
    return Mark(mark.place + 1, wanted.start, 0, min(mark.step_ms, 4 * HOUR_MS))


def _text_of_reports(wanted: Raw, block: Block, mark: Mark) -> str:
    text = layout.body(wanted.layout, block.reports, is_first=mark.is_first)
    return _around(text, mark, layout.heading(wanted.layout), layout.ending(wanted.layout), is_last=block.next is None)


def _text_of_rows(wanted: InBins, rows: tuple[Row, ...], mark: Mark, *, is_last: bool) -> str:
    columns = tuple(column.name for column in wanted.question.columns)
    form = binned.BinnedLayout(wanted.form, wanted.key, columns, wanted.units)
    text = binned.body(form, rows, is_first=mark.is_first)
    return _around(text, mark, binned.heading(form), binned.ending(form), is_last=is_last)


def _around(text: str, mark: Mark, heading: str, ending: str, *, is_last: bool) -> str:
    # An export that has written nothing may be on its way for long: its heading is written at its very beginning.
    is_beginning = mark.place == 0 and mark.at == 0 and mark.skip == 0
    return (heading if is_beginning else "") + text + (ending if is_last else "")
