"""Answers queries in PromQL out of readings and their roll-ups.

Rules:
- A query is a question as others are: it has its turn among them, and its time. All that grows with the query, the
  devices or the answer is done in the threads of readers, and given up when nobody waits for it any more.
"""

import asyncio
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import UTC
from itertools import islice
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from appliance.portions import portions_of
from appliance.registry.model import Device
from appliance.telemetry.asking.binned import Gathered
from appliance.telemetry.asking.model import (
    CELLS_LIMIT,
    EARLIEST,
    KEYS_LIMIT,
    LATEST,
    Aggregate,
    Binned,
    Fill,
    Order,
    Question,
    TooMuchError,
    Unit,
    Width,
)
from appliance.telemetry.asking.pieces import Span
from appliance.telemetry.asking.service import Asking
from appliance.telemetry.coarse.model import Lacking, Needed
from appliance.telemetry.coarse.needed import needed_between
from appliance.telemetry.promql.evaluate import (
    UNMERGED,
    Windows,
    leaf_of,
    result_of,
    values_of,
    window_of,
    windows_of,
)
from appliance.telemetry.promql.labels import Choice, labels_of
from appliance.telemetry.promql.model import (
    POINTS_LIMIT,
    Expression,
    Labels,
    Leaf,
    OverTime,
    QueryError,
    Result,
    Series,
    Steps,
)
from appliance.telemetry.promql.parser import parsed, selector_of
from appliance.telemetry.wanted import Check

P = ParamSpec("P")
T = TypeVar("T")

DEVICES_AT_ONCE = 250
"""Of so many devices the metrics are looked up before others get their turn."""
MERGES_LIMIT = 1_000_000
"""So many bins of windows that overlap are put together for one query."""
SELECTORS_LIMIT = 100

Known = list[tuple[Device, list[str]]]
"""Devices, and the metrics that each reported."""
Chosen = list[tuple[str, str, Labels]]
"""Device, metric and labels of each series."""


Told = Callable[[Check, Result, Lacking], T]
"""Makes something of what a query comes to and of what it lacks."""


class Knower(Protocol):
    """Knows what is not there any more."""

    async def lacking(
        self, tenant_id: int, device_ids: Collection[str], what: Sequence[Needed], within: Span
    ) -> Lacking:
        """What is lacking of readings that are needed, and damaged within a span."""


class Source(Protocol):
    """Where readings are, such as `Telemetry`."""

    @property
    def asking(self) -> Asking:
        """Answers questions about them."""

    @property
    def coarse(self) -> Knower:
        """Knows what is lacking."""

    def metrics(self, tenant_id: int, device_id: str) -> list[str]:
        """The metrics that a device reported."""

    async def aside(self, function: Callable[Concatenate[Check, P], T], *arguments: P.args, **named: P.kwargs) -> T:
        """What `function(check, …)` makes of them, in a thread, as long as the caller waits for it."""


class Prometheus:
    """Queries to a telemetry that is open."""

    def __init__(self, telemetry: Source) -> None:
        self._telemetry = telemetry

    async def query(self, tenant_id: int, devices: Sequence[Device], query: str, steps: Steps, told: Told[T]) -> T:
        """What `told` makes, in a thread, of what a query comes to at each step, and of what it lacks.

        Raises `QueryError`, `TooMuchError`, `TooManyQuestionsError`.
        """
        if steps.count > POINTS_LIMIT:
            raise QueryError(
                f"exceeded maximum resolution of {POINTS_LIMIT:,} points per timeseries:"
                " take a longer step or a shorter range"
            )
        aside = self._telemetry.aside
        async with self._telemetry.asking.turn():
            expression = await aside(_parsed, query)
            leaf = leaf_of(expression)
            series, lacking = ([], Lacking()) if leaf is None else await self._series(tenant_id, devices, leaf, steps)
            return await aside(_told, expression, series, lacking, told)

    async def look_up(
        self,
        tenant_id: int,
        devices: Sequence[Device],
        selectors: Sequence[str],
        told: Callable[[Iterator[Labels]], T],
    ) -> T:
        """What `told` makes, in a thread, of the labels of all series that one of the selectors chooses.

        Without selectors that is all there are. Raises as `query` does.
        """
        if len(selectors) > SELECTORS_LIMIT:
            raise QueryError(f"at most {SELECTORS_LIMIT} selectors are taken, and these are {len(selectors):,}")
        async with self._telemetry.asking.turn():
            known = await self._known(tenant_id, devices)
            return await self._telemetry.aside(_looked_up, known, selectors, told)

    async def _known(self, tenant_id: int, devices: Sequence[Device]) -> Known:
        found: Known = []
        for some in portions_of(devices, DEVICES_AT_ONCE):
            for device in some:
                found.append((device, self._telemetry.metrics(tenant_id, device.device_id)))
            await asyncio.sleep(0)
        return found

    async def _series(
        self, tenant_id: int, devices: Sequence[Device], leaf: Leaf, steps: Steps
    ) -> tuple[list[Series], Lacking]:
        aside = self._telemetry.aside
        chosen, windows = await aside(_planned, await self._known(tenant_id, devices), leaf, steps)
        if not chosen:
            return [], Lacking()
        metrics = sorted({metric for _, metric, _ in chosen})
        question = Question(
            tenant_id=tenant_id,
            keys={device_id: (device_id,) for device_id, _, _ in chosen},
            columns=tuple(Binned(metric, metric, Aggregate.LAST) for metric in metrics),
            start=windows.edges[0],
            end=windows.edges[-1],
            width=Width(1, Unit.HOUR),
            zone=UTC,
            fill=Fill.NONE,
            order=Order.OLDEST,
            limit=1,
        )
        gathered = await self._telemetry.asking.gathered(question, windows.edges)
        needed = await aside(_needed, metrics, windows)
        span = (question.start, question.end)
        lacking = await self._telemetry.coarse.lacking(tenant_id, list(question.keys), [needed], span)
        return await aside(_evaluated, chosen, windows, window_of(leaf, steps)[2], gathered), lacking


def _parsed(check: Check, query: str) -> Expression:
    check()
    return parsed(query)


def _told(check: Check, expression: Expression, series: list[Series], lacking: Lacking, told: Told[T]) -> T:
    return told(check, result_of(check, expression, series), lacking)


def _looked_up(check: Check, known: Known, selectors: Sequence[str], told: Callable[[Iterator[Labels]], T]) -> T:
    choices = []
    for selector in selectors:
        check()
        choices.append(Choice(selector_of(selector).matchers))
    return told(labels for _, _, labels in _chosen(check, known, choices))


def _chosen(check: Check, known: Known, choices: Sequence[Choice]) -> Iterator[tuple[str, str, Labels]]:
    for device, metrics in known:
        for metric in metrics:
            check()
            labels = labels_of(device, metric)
            if not choices or any(choice.takes(labels, check) for choice in choices):
                yield device.device_id, metric, labels


def _planned(check: Check, known: Known, leaf: Leaf, steps: Steps) -> tuple[Chosen, Windows]:
    """The series of a leaf, and the windows that are looked at. Raises `QueryError`, `TooMuchError`."""
    selector = leaf.selector if isinstance(leaf, OverTime) else leaf
    chosen = list(islice(_chosen(check, known, [Choice(selector.matchers)]), KEYS_LIMIT + 1))
    if len(chosen) > KEYS_LIMIT:
        raise TooMuchError(f"the query chooses more than {KEYS_LIMIT:,} series: take fewer of them")
    windows = windows_of(leaf, steps)
    if chosen:
        _require_bounded(leaf, windows, len(chosen))
    return chosen, windows


def _require_bounded(leaf: Leaf, windows: Windows, series_count: int) -> None:
    """Raise `QueryError` or `TooMuchError` for a leaf that looks too far or would take too much work."""
    edges, spans = windows
    if series_count * len(edges) > CELLS_LIMIT:
        raise TooMuchError(
            f"{len(edges):,} bins of {series_count:,} series are more than {CELLS_LIMIT:,}:"
            " take a longer step, a shorter range or fewer series"
        )
    is_merged = isinstance(leaf, OverTime) and leaf.aggregate not in UNMERGED
    if is_merged and series_count * sum(behind - first for first, behind in spans) > MERGES_LIMIT:
        raise TooMuchError("the windows overlap too often: take a longer step or a shorter window")
    if edges[0] < EARLIEST or edges[-1] > LATEST:
        raise QueryError("the query looks at moments before 1970 or after the year 9000")


def _needed(check: Check, metrics: Sequence[str], windows: Windows) -> Needed:
    check()
    return needed_between(metrics, *windows)


def _evaluated(
    check: Check, chosen: Chosen, windows: Windows, aggregate: Aggregate, gathered: Gathered
) -> list[Series]:
    """The series that have a value at any step."""
    found = []
    for device_id, metric, labels in chosen:
        values = values_of(check, windows, aggregate, gathered.whole(device_id, metric))
        if any(value is not None for value in values):
            found.append(Series(labels, values))
    return found
