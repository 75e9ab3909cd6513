"""The reports of one device in the order of time, whole, each once."""

from collections.abc import Collection, Sequence
from itertools import chain, pairwise
from operator import attrgetter

import msgspec

from appliance.telemetry.model import Report
from appliance.telemetry.rows import Identity, Rows, identity_of
from appliance.telemetry.wanted import Check

_at = attrgetter("at")


def in_order(check: Check, parts: Sequence[Rows], start: int, end: int) -> list[Report]:
    """The reports of chunks and memory with `start <= at < end`.

    One that was delivered twice (same moment, sequence number and values) counts once, the first.
    """
    check()
    first = sorted(parts, key=attrgetter("last_log_id"))
    found = [report for part in first for report in part.reports() if start <= report.at < end]
    found.sort(key=_at)
    if all(one.at < other.at for one, other in pairwise(found)):
        return found
    return list(chain.from_iterable(map(_each_once, _moments(found))))


def only(reports: Sequence[Report], metrics: Collection[str]) -> list[Report]:
    """The same with the readings of these metrics alone; reports that have none of them are left out."""
    found = []
    for report in reports:
        values = {metric: value for metric, value in report.values.items() if metric in metrics}
        if values:
            found.append(msgspec.structs.replace(report, values=values))
    return found


def _moments(reports: Sequence[Report]) -> list[list[Report]]:
    groups: list[list[Report]] = []
    for report in reports:
        if groups and groups[-1][0].at == report.at:
            groups[-1].append(report)
        else:
            groups.append([report])
    return groups


def _each_once(same: Sequence[Report]) -> Sequence[Report]:
    if len(same) == 1:
        return same
    known: dict[Identity, Report] = {}
    for report in same:
        known.setdefault(identity_of(report), report)
    return list(known.values())
