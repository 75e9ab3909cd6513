"""Roll-ups out of readings."""

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from appliance.instant import HOUR_MS
from appliance.telemetry.bins import Bin, bin_of, combined
from appliance.telemetry.merge import Part, Readings, merge
from appliance.telemetry.rollup_record import RollUp, encode
from appliance.telemetry.rollups.model import HourRow
from appliance.telemetry.rollups.stale import Device


def rolled_up(parts: Sequence[Part], hours: Iterable[int]) -> dict[int, RollUp]:
    """The roll-ups of some hours, counted since 1970, of a device whose reports of these hours are all in the parts.

    An hour without readings has none.
    """
    wanted = sorted(hours)
    if not wanted or not parts:
        return {}
    metrics = list(dict.fromkeys(metric for part in parts for metric in part.columns))
    readings = merge(parts, metrics, wanted[0] * HOUR_MS, (wanted[-1] + 1) * HOUR_MS)
    bins: dict[int, dict[str, Bin]] = {hour: {} for hour in wanted}
    others: dict[int, dict[str, int]] = {hour: {} for hour in wanted}
    for metric, found in readings.items():
        for hour, (at, values, _) in split(found, wanted):
            each = bin_of(at, values)
            if each is not None:
                bins[hour][metric] = each
            if (other_count := len(at) - (each.count if each else 0)) > 0:
                others[hour][metric] = other_count
    return {hour: RollUp(bins[hour], others[hour]) for hour in wanted if bins[hour] or others[hour]}


def hour_rows(device: Device, parts: Sequence[Part], hours: Collection[int], *, is_certain: bool) -> list[HourRow]:
    """The same as rows, and one without a record for each of the hours that has no readings.

    Where not every chunk could be read, nobody knows which hours have none.
    """
    found = rolled_up(parts, hours)
    rows = [HourRow(*device, hour, each.reading_count, encode(each), is_certain) for hour, each in found.items()]
    if not is_certain:
        return rows
    return rows + [HourRow(*device, hour, 0, b"", is_certain) for hour in hours if hour not in found]


def by_device(rows: Iterable[HourRow]) -> dict[Device, list[HourRow]]:
    """The rows of each device."""
    found: dict[Device, list[HourRow]] = {}
    for row in rows:
        found.setdefault((row.tenant_id, row.device_id), []).append(row)
    return found


def binned(readings: Mapping[str, Readings], hours: Iterable[int]) -> dict[str, dict[int, Bin]]:
    """By metric and by the moment at which the hour begins: the bins of some hours."""
    wanted = sorted(hours)
    return {
        metric: {
            hour * HOUR_MS: each
            for hour, (at, values, _) in split(found, wanted)
            if (each := bin_of(at, values)) is not None
        }
        for metric, found in readings.items()
    }


def split(readings: Readings, hours: Sequence[int]) -> Iterable[tuple[int, Readings]]:
    """The readings of each hour that has any."""
    at, values, _ = readings
    for hour in hours:
        first = bisect_left(at, hour * HOUR_MS)
        end = bisect_left(at, (hour + 1) * HOUR_MS, first)
        if first < end:
            yield hour, Readings(at[first:end], values[first:end])


def of_day(hours: Iterable[RollUp]) -> RollUp:
    """The roll-up of a day out of those of its hours, which stand in the order of time."""
    bins: dict[str, list[Bin]] = {}
    others: dict[str, int] = {}
    for hour in hours:
        for metric, each in hour.bins.items():
            bins.setdefault(metric, []).append(each)
        for metric, count in hour.others.items():
            others[metric] = others.get(metric, 0) + count
    return RollUp({metric: found for metric, each in bins.items() if (found := combined(each)) is not None}, others)


def grouped(hours: Mapping[int, Bin], span: Callable[[int], int]) -> dict[int, Bin]:
    """Bins combined into longer ones; `span` gives the beginning of the longer one from that of the shorter."""
    groups: dict[int, list[Bin]] = {}
    for start in sorted(hours):
        groups.setdefault(span(start), []).append(hours[start])
    return {start: found for start, each in groups.items() if (found := combined(each)) is not None}
