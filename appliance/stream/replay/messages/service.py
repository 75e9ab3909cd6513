"""Gives what was received as messages: out of the raw journal where that has the whole interval, else written anew.

Rules:
- Where it comes from is told with every slice. Out of the journal come all messages that were let in, also those that
  were not understood, were delivered twice or are on topics that nobody reads; elsewhere only what was understood is.
- When the journal ends before the interval does, for a part went meanwhile or was damaged, the rest is written anew.
  What arrived in the millisecond where it ends may come twice: rather that than not at all.
"""

import logging
from collections.abc import AsyncGenerator

import msgspec

from appliance.stream.replay.messages.canonical import message_of
from appliance.stream.replay.messages.model import (
    JOURNAL,
    START,
    GivenMessage,
    Mark,
    MessageSlice,
    PlacedMessage,
)
from appliance.stream.replay.model import Interval
from appliance.stream.replay.ordering import Place
from appliance.stream.replay.service import Replay
from appliance.stream.wanted import Wanted
from appliance.telemetry.journal.model import BrokenOffError, RawMessage, Span, Standing
from appliance.telemetry.journal.service import Journal
from broker.topics import matches

log = logging.getLogger(__name__)


class Messages:
    """What was received, once more, as messages."""

    def __init__(self, replay: Replay, journal: Journal) -> None:
        self._replay = replay
        self._journal = journal

    async def source(self, interval: Interval, after: Mark = START) -> str:
        """Where the next messages of an interval come from."""
        await self._journal.flush()
        if self._journal.has_whole(_begins_at(interval, after), interval.end):
            return JOURNAL
        return await self._replay.source(_rest(interval, after))

    async def slices(self, interval: Interval, after: Mark = START) -> AsyncGenerator[MessageSlice, None]:
        """The messages of an interval after a mark, slice by slice."""
        if await self.source(interval, after) == JOURNAL:
            reached = after
            try:
                async for piece in self._raw(interval, after):
                    reached = piece.messages[-1].mark if piece.messages else reached
                    yield piece
            except BrokenOffError as error:
                log.warning("messages are written anew for the rest of a replay reason=%s", error)
                after = reached
            else:
                return
        async for reports in self._replay.slices(_rest(interval, after)):
            placed = (PlacedMessage(place, message_of(report), Mark(place)) for place, report in reports.reports)
            yield MessageSlice(reports.source, tuple(placed), reports.reached_at, reports.lacks)

    async def _raw(self, interval: Interval, after: Mark) -> AsyncGenerator[MessageSlice, None]:
        """What the journal has. Raises `BrokenOffError`."""
        start, known = _begins_at(interval, after), await self._standing(after)
        # What lies behind the one that was told last may have arrived before it.
        span = Span(interval.start if known else start, interval.end)
        counted, left_out = Place(0, 0), after.place if after.is_raw else START.place
        async for some in self._journal.messages(interval.tenant_id, span, start, known.segment if known else 0):
            placed = []
            for standing, raw in some:
                if not _is_wanted(interval.wanted, raw):
                    continue
                number = counted.number + 1 if raw.arrived_at == counted.arrived_at else 1
                counted = Place(raw.arrived_at, number)
                if standing > known if known else counted > left_out:
                    placed.append(PlacedMessage(counted, _given(raw), Mark(counted, is_raw=True, standing=standing)))
            yield MessageSlice(JOURNAL, tuple(placed), start)
        yield MessageSlice(JOURNAL, (), interval.end)

    async def _standing(self, after: Mark) -> Standing | None:
        """Where the message lies that was told last; None when something was erased since, or it never was known.

        Then what arrived after it is left: of what was committed in another order, some is given again or left out.
        """
        if after.standing and await self._journal.is_there(after.standing, after.place.arrived_at):
            return after.standing
        return None


def _begins_at(interval: Interval, after: Mark) -> int:
    return max(interval.start, after.place.arrived_at)


def _rest(interval: Interval, after: Mark) -> Interval:
    """What is left of an interval for reports."""
    if after.is_raw:
        return msgspec.structs.replace(interval, start=_begins_at(interval, after))
    return msgspec.structs.replace(interval, after=after.place)


def _is_wanted(wanted: Wanted, raw: RawMessage) -> bool:
    if wanted.device_ids and not raw.is_of(wanted.device_ids):
        return False
    return not wanted.topic_filters or any(matches(each, raw.topic) for each in wanted.topic_filters)


def _given(raw: RawMessage) -> GivenMessage:
    return GivenMessage(raw.topic, raw.client_id, raw.arrived_at, raw.content_type, raw.payload)
