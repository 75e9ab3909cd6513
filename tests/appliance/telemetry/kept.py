"""Everything that telemetry has of a device, for tests."""

from collections.abc import Sequence
from itertools import chain
from operator import attrgetter

from appliance.telemetry.merge import Part
from appliance.telemetry.model import Report
from appliance.telemetry.service import Telemetry
from appliance.telemetry.wanted import Check


async def kept(telemetry: Telemetry, device_id: str, start: int, end: int) -> list[Report]:
    """The reports with `start <= at < end`, in the order of time; those that came twice are there twice."""

    def look(_check: Check, parts: Sequence[Part]) -> list[Report]:
        ordered = sorted(parts, key=attrgetter("last_log_id"))
        return [report for part in ordered for report in part.whole().reports() if start <= report.at < end]

    found = chain.from_iterable(await telemetry.looked_at(1, device_id, start, end, look))
    return sorted(found, key=attrgetter("at"))
