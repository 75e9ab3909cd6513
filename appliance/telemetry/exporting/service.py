"""Writes everything that was received of devices in a range, a piece at a time.

Rules:
- Device after device, each in the order of time. However much that is, one piece is in memory at a time: what is read
  in one go becomes shorter for a device that says much.
- Files are read and unpacked in threads, and every piece may be the last: nothing is kept for whoever does not ask on.
- Two exports are written at once; beyond that, who asks is sent away for a while.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import msgspec

from appliance.instant import DAY_MS, HOUR_MS, MINUTE_MS
from appliance.telemetry.asking.edges import edges, least_ms
from appliance.telemetry.asking.model import Question, Row, TooManyQuestionsError
from appliance.telemetry.exporting.model import Block, InBins, Mark, Piece, Raw, TooManyExportsError, Wanted
from appliance.telemetry.exporting.reports import only
from appliance.telemetry.model import Report
from appliance.telemetry.service import Telemetry
from appliance.telemetry.tables import binned, layout

EXPORTS_AT_ONCE = 2

BLOCK_REPORTS = 2_000
"""A block is given as soon as it has so many."""
CELLS_AT_ONCE = 30_000
"""So many bins are asked for in one go."""
READS_AT_ONCE = 64
"""A block is given after so many looks, if it is empty: who carries it may be stopped in between."""

_MANY = 4_000
_SHORTEST_MS = MINUTE_MS
_LONGEST_MS = DAY_MS
_WAIT_S = 0.5


class Exporting:
    """Exports of a telemetry that is open."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._count = 0

    @property
    def count(self) -> int:
        """How many exports are being written."""
        return self._count

    async def pieces(self, wanted: Wanted) -> AsyncIterator[str]:
        """The whole text; the first piece tells of everything that is wrong with what is wanted.

        Raises `TooManyExportsError`, and whatever `Asking.answer` raises.
        """
        with self._admitted():
            piece = await self.piece(wanted, Mark())
            yield piece.text
            while piece.next is not None:
                piece = await self.piece(wanted, piece.next)
                if piece.text:
                    yield piece.text

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
        following: Mark | None = mark
        for _ in range(READS_AT_ONCE):
            if following is None or following.place >= len(wanted.device_ids) or wanted.start >= wanted.end:
                return Block(found, None)
            reports, following = await self._step(wanted, following)
            found += reports
            if len(found) >= BLOCK_REPORTS:
                break
        return Block(found, following)

    async def _step(self, wanted: Raw, mark: Mark) -> tuple[list[Report], Mark | None]:
        device_id, start = wanted.device_ids[mark.place], max(mark.at, wanted.start)
        days = await self._telemetry.days_between(wanted.tenant_id, device_id, start, wanted.end)
        start = max(start, days[0] * DAY_MS) if days else wanted.end
        end = min(start + mark.step_ms, wanted.end)
        reports = await self._telemetry.reports(wanted.tenant_id, device_id, start, end)
        step_ms = mark.step_ms
        if len(reports) > _MANY:
            step_ms = max(step_ms // 4, _SHORTEST_MS)
        elif len(reports) * 4 < _MANY:
            step_ms = min(step_ms * 4, _LONGEST_MS)
        if wanted.metrics is not None:
            reports = await asyncio.to_thread(only, reports, wanted.metrics)
        if end < wanted.end:
            return reports, Mark(mark.place, end, step_ms)
        if mark.place + 1 >= len(wanted.device_ids):
            return reports, None
        # The next device may say much more than this one.
        return reports, Mark(mark.place + 1, wanted.start, min(step_ms, 4 * HOUR_MS))

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
    def _admitted(self) -> Iterator[None]:
        if self._count >= EXPORTS_AT_ONCE:
            raise TooManyExportsError(f"{self._count} exports are being written: ask again when one of them is done")
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1


def _text_of_reports(wanted: Raw, block: Block, mark: Mark) -> str:
    text = layout.body(wanted.layout, block.reports, is_first=mark.is_first)
    return _around(text, mark, layout.heading(wanted.layout), layout.ending(wanted.layout), is_last=block.next is None)


def _text_of_rows(wanted: InBins, rows: tuple[Row, ...], mark: Mark, *, is_last: bool) -> str:
    columns = tuple(column.name for column in wanted.question.columns)
    form = binned.BinnedLayout(wanted.form, wanted.key, columns)
    text = binned.body(form, rows, is_first=mark.is_first)
    return _around(text, mark, binned.heading(form), binned.ending(form), is_last=is_last)


def _around(text: str, mark: Mark, heading: str, ending: str, *, is_last: bool) -> str:
    # An export that has written nothing may be on its way for long: its heading is written at its very beginning.
    is_beginning = mark.place == 0 and mark.at == 0
    return (heading if is_beginning else "") + text + (ending if is_last else "")
