"""What of a table is there already."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from appliance.ingestion.repeats import Earlier
from appliance.telemetry.model import Report
from appliance.telemetry.rows import identity_of

Moment = tuple[str, int]
"""A device, and when."""
Reading = tuple[str, str]
"""A metric, and its value in words that tell it from every other one."""


class Known:
    """What was there of a moment before a table was, and what of the table was taken since."""

    def __init__(self, moment: Moment, stored: Iterable[Report]) -> None:
        self.moment = moment
        identities = [identity_of(report) for report in stored]
        self._earlier = Earlier(identities)
        self._stored: set[Reading] = {reading for _, _, readings in identities for reading in readings}

    def left_of(self, report: Report) -> Report | None:
        """What of a report is not there yet; None when all of it is."""
        identity = identity_of(report)
        # Rows of one reading do not tell in which of several reports it was.
        if report.sequence is None and self._stored.issuperset(identity[2]):
            return None
        repeated, _ = self._earlier.repeated(report)
        self._earlier.add(identity)
        if not repeated:
            return report
        values = {metric: value for metric, value in report.values.items() if metric not in repeated}
        return msgspec.structs.replace(report, values=values) if values else None


def unknown_moments(reports: Iterable[Report], last: Known | None) -> set[Moment]:
    """The moments of which it must be looked up what is there."""
    moments = {(report.device_id, report.at) for report in reports}
    # What the table itself has brought is there by now, and is no reason to leave out what it brings next.
    return moments - {last.moment} if last else moments


def lefts(
    reports: Sequence[Report], stored: Mapping[Moment, Sequence[Report]], last: Known | None
) -> tuple[list[Report | None], Known | None]:
    """What of each report is not there yet, and what is known of the moment of the last one, which may go on.

    `last` is the same of what the table told before.
    """
    known = {last.moment: last} if last else {}
    found = []
    for report in reports:
        moment = report.device_id, report.at
        if moment not in known:
            known[moment] = Known(moment, stored.get(moment, ()))
        last = known[moment]
        found.append(last.left_of(report))
    return found, last
