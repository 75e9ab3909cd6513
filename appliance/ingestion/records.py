"""The reports of one commit as the event log holds them: records, each of one tenant and not too heavy.

A record is remembered in one go, as it is skipped whole or not at all at a restart; between two the loop gets its
turn, and chunks may be sealed. What that takes grows with the values, so a record is bounded by these.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from appliance.telemetry.model import Report

RECORD_WEIGHT = 24_576
"""What a record holds at most, unless a single report is heavier. A commit of usual messages holds less, even at 20,000
a second: several records take more room, and more pages, than one."""
REPORT_WEIGHT = 3
"""What a report weighs without its values, each of which weighs one."""


class Record(NamedTuple):
    """What is one row of the log."""

    tenant_id: int
    reports: Sequence[Report]


def records_of(reports: Sequence[Report]) -> Iterator[Record]:
    """The records of a commit: the reports of each tenant in their order."""
    for tenant_id, all_reports in _by_tenant(reports).items():
        # A usual commit is one record: its reports are not looked at one by one.
        if REPORT_WEIGHT * len(all_reports) + sum([len(report.values) for report in all_reports]) <= RECORD_WEIGHT:
            yield Record(tenant_id, all_reports)
            continue
        first = weight = 0
        for place, report in enumerate(all_reports):
            weight += weight_of(report)
            if weight > RECORD_WEIGHT and place > first:
                yield Record(tenant_id, all_reports[first:place])
                first, weight = place, weight_of(report)
        yield Record(tenant_id, all_reports[first:])


def _by_tenant(reports: Sequence[Report]) -> Mapping[int, Sequence[Report]]:
    tenant_ids = {report.tenant_id for report in reports}
    if len(tenant_ids) == 1:
        return {tenant_ids.pop(): reports}
    by_tenant: dict[int, list[Report]] = {}
    for report in reports:
        by_tenant.setdefault(report.tenant_id, []).append(report)
    return by_tenant


def weight_of(report: Report) -> int:
    """How much work a report is, in values."""
    return REPORT_WEIGHT + len(report.values)
