"""Reads what a device sent page by page, the newest page first.

Nothing is kept between two pages: where the next one goes on stands in its cursor.
"""

import sys
from collections.abc import Callable, Sequence
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from appliance.telemetry.merge import Readings
from appliance.telemetry.model import Series
from appliance.telemetry.paging.cut import Found, cut, paged, split_moment, up_to, with_moment
from appliance.telemetry.paging.model import Cursor, Cut, Page, Place
from appliance.telemetry.wanted import Check

P = ParamSpec("P")
T = TypeVar("T")

Device = tuple[int, str]
"""Tenant and identifier."""


class Source(Protocol):
    """Where readings come from."""

    async def series(
        self, tenant_id: int, device_id: str, metrics: Sequence[str], start: int, end: int, limit: int
    ) -> list[Series]:
        """The readings with `start <= at < end` of each metric, oldest first, at most the newest `limit` of each."""

    async def aside(self, function: Callable[Concatenate[Check, P], T], *arguments: P.args, **named: P.kwargs) -> T:
        """What `function(check, …)` makes of them, in a thread, as long as the caller waits for it."""


class Paging:
    """Pages of what devices sent."""

    def __init__(self, source: Source) -> None:
        self._source = source

    async def page(self, device: Device, metrics: Sequence[str], cursor: Cursor, limit: int) -> Page:
        """The newest readings of each metric that stand before the places of a cursor, at most so many of each."""
        cuts: dict[str, Cut] = {}
        for going in cursor.going:
            names = [name for name in metrics if name not in cuts and (name in going.metrics or not going.metrics)]
            if names:
                cuts |= await self._cuts(device, names, cursor.start, going.before, limit)
        in_order = [cuts[name] for name in metrics if name in cuts]
        return await self._source.aside(paged, in_order, cursor.start, cursor.end)

    async def _cuts(
        self, device: Device, names: Sequence[str], start: int, before: Place, limit: int
    ) -> dict[str, Cut]:
        # One more than are given: whether there are more.
        found = await self._look(device, names, start, before.at, limit + 1)
        if before.occurrence:
            there = await self._moment(device, names, before.at)
            found = await self._source.aside(up_to, found, there, before.occurrence)
        split: dict[int, list[str]] = {}
        for name in names:
            at = split_moment(found[name], limit)
            if at is not None and at != before.at:
                split.setdefault(at, []).append(name)
        for at, some in split.items():
            there = await self._moment(device, some, at)
            found |= await self._source.aside(with_moment, {name: found[name] for name in some}, there, at)
        return await self._source.aside(cut, found, limit)

    async def _moment(self, device: Device, names: Sequence[str], at: int) -> Found:
        """All readings of a moment: which of them one is, is counted from the first."""
        return await self._look(device, names, at, at + 1, sys.maxsize)

    async def _look(self, device: Device, names: Sequence[str], start: int, end: int, most: int) -> Found:
        found = await self._source.series(*device, names, start, end, most)
        return {series.metric: Readings(series.at, series.values, series.sources) for series in found}
