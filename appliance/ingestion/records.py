"""The reports of one commit as the event log holds them: records, each of one tenant and not too long.

A record is remembered in one go, as it is skipped whole or not at all at a restart; between two the loop gets its
turn, and chunks may be sealed.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from appliance.telemetry.model import Report

RECORD_REPORTS = 2_500
"""The most reports of a record; a commit of usual messages has fewer."""


class Record(NamedTuple):
    """What is one row of the log."""

    tenant_id: int
    reports: Sequence[Report]


def records_of(reports: Sequence[Report]) -> Iterator[Record]:
    """The records of a commit: the reports of each tenant in their order."""
    by_tenant: dict[int, list[Report]] = {}
    for report in reports:
        by_tenant.setdefault(report.tenant_id, []).append(report)
    for tenant_id, all_reports in by_tenant.items():
        for first in range(0, len(all_reports), RECORD_REPORTS):
            yield Record(tenant_id, all_reports[first : first + RECORD_REPORTS])
