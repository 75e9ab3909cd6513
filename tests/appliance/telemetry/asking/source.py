"""Readings in a list, in the place of those that a gateway keeps; and questions about them."""

from collections.abc import Callable, Sequence
from datetime import UTC
from typing import Any

from appliance.instant import DAY_MS, HOUR_MS
from appliance.telemetry.asking.model import Fill, Order, Question
from appliance.telemetry.asking.service import Bins
from appliance.telemetry.bin_column import BinColumn
from appliance.telemetry.bins import Bin, bin_of
from appliance.telemetry.model import Series, Value
from appliance.telemetry.wanted import is_wanted

Sent = list[tuple[str, str, int, Value]]
"""Device, metric, moment and value, in the order in which they came."""


class Listed:
    """What was sent. Hours and days are told only where they lie whole in what is asked."""

    def __init__(self, sent: Sent) -> None:
        self.sent = sorted(sent, key=lambda each: each[2])
        self.read_count = 0
        self.before_read: Callable[[], Any] | None = None
        self.aside_count = 0

    def readings(self, device: str, metric: str, start: int, end: int) -> list[tuple[int, Value]]:
        return [(at, value) for *named, at, value in self.sent if named == [device, metric] and start <= at < end]

    async def series(
        self, tenant_id: int, device_id: str, metrics: Sequence[str], start: int, end: int, limit: int
    ) -> list[Series]:
        self.read_count += 1
        if self.before_read is not None:
            await self.before_read()
        found = []
        for metric in metrics:
            pairs = self.readings(device_id, metric, start, end)
            kept = pairs[max(len(pairs) - limit, 0) :]
            at, values = tuple(at for at, _ in kept), tuple(value for _, value in kept)
            found.append(Series(metric, at, values, truncated=len(kept) < len(pairs)))
        return found

    async def hours(self, tenant_id: int, device_ids: Sequence[str], metrics: Sequence[str], *span: int) -> Bins:
        return self._whole(device_ids, metrics, span, HOUR_MS)

    async def days(self, tenant_id: int, device_ids: Sequence[str], metrics: Sequence[str], *span: int) -> Bins:
        return self._whole(device_ids, metrics, span, DAY_MS)

    async def aside(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        self.aside_count += 1
        return function(is_wanted, *arguments, **named)

    def _whole(self, device_ids: Sequence[str], metrics: Sequence[str], span: Sequence[int], length: int) -> Bins:
        start, end = span
        assert start % length == end % length == 0
        bins: dict[str, dict[str, dict[int, Bin]]] = {}
        for device in device_ids:
            for metric in metrics:
                for at in range(start, end, length):
                    pairs = self.readings(device, metric, at, at + length)
                    each = bin_of([moment for moment, _ in pairs], [value for _, value in pairs])
                    if each is not None:
                        bins.setdefault(device, {}).setdefault(metric, {})[at] = each
        return {
            device: {metric: BinColumn.of(found) for metric, found in of_device.items()}
            for device, of_device in bins.items()
        }


def question(**changes: Any) -> Question:
    """A question; what a test does not say is ordinary."""
    fields: dict[str, Any] = {
        "tenant_id": 1,
        "keys": {"a": ("a",), "b": ("b",)},
        "columns": (),
        "start": 0,
        "end": DAY_MS,
        "width": None,
        "zone": UTC,
        "fill": Fill.NONE,
        "order": Order.OLDEST,
        "limit": 100_000,
    }
    return Question(**fields | changes)
