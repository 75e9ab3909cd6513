"""What the command line may ask to be replayed, of a gateway that runs: opened once, then fetched page by page."""

from collections.abc import AsyncGenerator, Iterator, Mapping
from itertools import count, islice
from typing import Any

import msgspec

from appliance.control import Call
from appliance.errors import InvalidInputError, NotFoundError
from appliance.instant import DAY_MS, day_of, from_text
from appliance.registry.model import DEFAULT_TENANT
from appliance.stream.replay.messages.model import MessageSlice
from appliance.stream.replay.messages.service import Messages
from appliance.stream.replay.messages.written import message_out
from appliance.stream.replay.model import Slice
from appliance.stream.replay.service import Replay
from appliance.stream.wanted import wanted
from appliance.stream.written import as_json, report_out

OPEN_LIMIT = 4
"""When one more is opened, the oldest is closed."""
LINES_AT_ONCE = 2_000


class Opened(msgspec.Struct, frozen=True):
    """A replay that was opened."""

    number: int
    start: int


class Page(msgspec.Struct, frozen=True):
    """What comes next, and out of what; without a source there is nothing more."""

    source: str
    lines: tuple[tuple[int, str], ...] = ()
    """When each report arrived, and the report as JSON."""
    lacks: tuple[str, ...] = ()
    """Which days may be missing, and why."""


class ReplayEndedError(NotFoundError):
    """Others were opened since."""

    code = "replay_ended"


class Replays:
    """The replays of the command line that are open."""

    def __init__(self, replay: Replay, messages: Messages) -> None:
        self._replay = replay
        self._messages = messages
        self._numbers = count(1)
        self._open: dict[int, AsyncGenerator[Page, None]] = {}

    def calls(self) -> Mapping[str, Call]:
        """Each call by its name."""
        return {"replay.open": self._begin, "replay.next": self._next, "replay.close": self._close}

    async def _begin(self, arguments: dict[str, Any]) -> Opened:
        """Begin to replay an interval."""
        chosen = wanted(
            msgspec.convert(arguments["devices"], list[str]), msgspec.convert(arguments["topics"], list[str])
        )
        until = str(arguments["until"])
        end = _moment("until", until) if until else self._replay.now() + 1
        interval = self._replay.interval(DEFAULT_TENANT, _moment("from", str(arguments["start"])), end, chosen)
        while len(self._open) >= OPEN_LIMIT:
            await self._end(next(iter(self._open)))
        number = next(self._numbers)
        is_messages = msgspec.convert(arguments.get("messages", False), bool)
        given = self._messages.slices(interval) if is_messages else self._replay.slices(interval)
        self._open[number] = _pages(given)
        return Opened(number, interval.start)

    async def _next(self, arguments: dict[str, Any]) -> Page:
        """What comes next."""
        opened = self._open.get(arguments["number"])
        if opened is None:
            raise ReplayEndedError("this replay was ended, because others were begun: begin again")
        return await anext(opened, Page(""))

    async def _close(self, arguments: dict[str, Any]) -> None:
        """Let go of a replay."""
        await self._end(arguments["number"])

    async def _end(self, number: int) -> None:
        opened = self._open.pop(number, None)
        if opened is not None:
            await opened.aclose()


async def _pages(
    slices: AsyncGenerator[Slice, None] | AsyncGenerator[MessageSlice, None],
) -> AsyncGenerator[Page, None]:
    try:
        async for each in slices:
            lines = _lines(each)
            if each.lacks:
                yield Page(each.source, (), tuple(f"{day_of(day * DAY_MS)}: {why}" for day, why in each.lacks))
            while some := tuple(islice(lines, LINES_AT_ONCE)):
                yield Page(each.source, some)
    finally:
        await slices.aclose()


def _lines(given: Slice | MessageSlice) -> Iterator[tuple[int, str]]:
    """When each arrived, and what it is as JSON."""
    match given:
        case Slice(reports=reports):
            return ((each.place.arrived_at, as_json(report_out(each.report)).decode()) for each in reports)
        case MessageSlice(messages=messages):
            return ((each.place.arrived_at, as_json(message_out(each.message)).decode()) for each in messages)


def _moment(name: str, text: str) -> int:
    try:
        return int(text) if text.lstrip("-").isdecimal() else from_text(text)
    except (ValueError, OverflowError):
        raise InvalidInputError(f"{name} is {text[:64]!r}, expected ISO 8601 or epoch milliseconds") from None
