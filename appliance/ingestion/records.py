"""The reports of one commit as the event log holds them: records, each of one tenant and not too heavy.

A record is remembered in one go, as it is skipped whole or not at all at a restart; between two the loop gets its
turn, and chunks may be sealed. What that takes grows with the values, so a record is bounded by these.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from appliance.telemetry.model import Report
from appliance.telemetry.sheaf import Sheaf

RECORD_WEIGHT = 24_576
"""What a record holds at most, unless a single report is heavier. A commit of usual messages holds less, even at 20,000
a second: several records take more room, and more pages, than one."""
REPORT_WEIGHT = 3
"""What a report weighs without its values, each of which weighs one."""


class Record(NamedTuple):
    """What is one row of the log."""

    tenant_id: int
    reports: Sequence[Report]


def records_of(sheaves: Iterable[Sheaf]) -> Iterator[Record]:
    """The records of a commit: the reports of each tenant in their order."""
    for sheaf in sheaves:
        # A usual commit is one record: its reports are not looked at one by one.
        if REPORT_WEIGHT * len(sheaf) + sheaf.value_count <= RECORD_WEIGHT:
            if len(sheaf):
                yield Record(sheaf.tenant_id, sheaf)
            continue
        first = weight = 0
        reports = list(sheaf)
        for place, report in enumerate(reports):
            weight += weight_of(report)
            if weight > RECORD_WEIGHT and place > first:
                yield Record(sheaf.tenant_id, reports[first:place])
                first, weight = place, weight_of(report)
        yield Record(sheaf.tenant_id, reports[first:])


def weight_of(report: Report) -> int:
    """How much work a report is, in values."""
    return REPORT_WEIGHT + len(report.values)
