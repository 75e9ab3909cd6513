"""Answers queries in PromQL out of readings and their roll-ups."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import UTC
from typing import Protocol

from appliance.registry.model import Device
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
from appliance.telemetry.asking.service import Asking
from appliance.telemetry.promql.evaluate import edges_of, leaves, result_of, values_of, window_of
from appliance.telemetry.promql.labels import Choice, labels_of
from appliance.telemetry.promql.model import (
    POINTS_LIMIT,
    Labels,
    Leaf,
    OverTime,
    QueryError,
    Result,
    Selector,
    Series,
    Steps,
)
from appliance.telemetry.promql.parser import parsed

DEVICES_AT_ONCE = 250
"""Of so many devices the series are looked at before others get their turn."""
MERGES_LIMIT = 1_000_000
"""So many bins of windows that overlap are put together for one query."""

Chosen = list[tuple[str, str, Labels]]
"""Device, metric and labels of each series."""


class Source(Protocol):
    """Where readings are, such as `Telemetry`."""

    @property
    def asking(self) -> Asking:
        """Answers questions about them."""

    def metrics(self, tenant_id: int, device_id: str) -> list[str]:
        """The metrics that a device reported."""


class Prometheus:
    """Queries to a telemetry that is open."""

    def __init__(self, telemetry: Source) -> None:
        self._telemetry = telemetry

    async def query(self, tenant_id: int, devices: Sequence[Device], query: str, steps: Steps) -> Result:
        """What a query comes to at each step. Raises `QueryError`, `TooMuchError`, `TooManyQuestionsError`."""
        if steps.count > POINTS_LIMIT:
            raise QueryError(
                f"exceeded maximum resolution of {POINTS_LIMIT:,} points per timeseries:"
                " take a longer step or a shorter range"
            )
        expression = parsed(query)
        found: dict[Leaf, list[Series]] = {}
        for leaf in leaves(expression):
            if leaf not in found:
                found[leaf] = await self._leaf(tenant_id, devices, leaf, steps)
        return await asyncio.to_thread(result_of, expression, found.__getitem__)

    async def series(self, tenant_id: int, devices: Sequence[Device], selectors: Iterable[Selector]) -> list[Labels]:
        """The labels of all series that one of the selectors chooses; of all there are without selectors."""
        choices = [Choice(selector.matchers) for selector in selectors]
        return [labels for _, _, labels in await self._chosen(tenant_id, devices, choices)]

    async def _chosen(self, tenant_id: int, devices: Sequence[Device], choices: Sequence[Choice]) -> Chosen:
        found: Chosen = []
        for first in range(0, len(devices), DEVICES_AT_ONCE):
            for device in devices[first : first + DEVICES_AT_ONCE]:
                for metric in self._telemetry.metrics(tenant_id, device.device_id):
                    labels = labels_of(device, metric)
                    if not choices or any(choice.takes(labels) for choice in choices):
                        found.append((device.device_id, metric, labels))
            await asyncio.sleep(0)
        return found

    async def _leaf(self, tenant_id: int, devices: Sequence[Device], leaf: Leaf, steps: Steps) -> list[Series]:
        selector = leaf.selector if isinstance(leaf, OverTime) else leaf
        chosen = await self._chosen(tenant_id, devices, [Choice(selector.matchers)])
        if not chosen:
            return []
        edges = edges_of(leaf, steps)
        _check(leaf, steps, edges, len(chosen))
        if edges[0] < EARLIEST or edges[-1] > LATEST:
            raise QueryError("the query looks at moments before 1970 or after the year 9000")
        metrics = sorted({metric for _, metric, _ in chosen})
        question = Question(
            tenant_id=tenant_id,
            keys={device_id: (device_id,) for device_id, _, _ in chosen},
            columns=tuple(Binned(metric, metric, Aggregate.LAST) for metric in metrics),
            start=edges[0],
            end=edges[-1],
            width=Width(1, Unit.HOUR),
            zone=UTC,
            fill=Fill.NONE,
            order=Order.OLDEST,
            limit=1,
        )
        gathered = await self._telemetry.asking.gathered(question, edges)

        def told() -> list[Series]:
            found = []
            for device_id, metric, labels in chosen:
                values = values_of(leaf, steps, edges, gathered.whole(device_id, metric))
                if any(value is not None for value in values):
                    found.append(Series(labels, values))
            return found

        return await asyncio.to_thread(told)


def _check(leaf: Leaf, steps: Steps, edges: Sequence[int], series_count: int) -> None:
    """Raise `TooMuchError` when a leaf would take too much work."""
    if series_count > KEYS_LIMIT or series_count * len(edges) > CELLS_LIMIT:
        raise TooMuchError(
            f"{len(edges):,} bins of {series_count:,} series are more than {CELLS_LIMIT:,}:"
            " take a longer step, a shorter range or fewer series"
        )
    length_ms, _, aggregate = window_of(leaf, steps)
    if aggregate is Aggregate.LAST:
        return
    a_window = 2 * length_ms // steps.step_ms + 1 if steps.step_ms else 1
    if series_count * steps.count * min(a_window, len(edges)) > MERGES_LIMIT:
        raise TooMuchError("the windows overlap too often: take a longer step or a shorter window")
