"""What an answer lacks, as headers of HTTP say it where its body cannot."""

from appliance.telemetry.coarse.model import Lacking

DAMAGED_DAYS = "headworks-damaged-days"
"""Names the days of which stored readings are known to be damaged or missing; without such days it is not there."""
COARSE_DAYS = "headworks-coarse-days"
"""The same of days of which only roll-ups are left."""


def headers(what: Lacking) -> dict[str, str]:
    """The headers that name the days, with commas in between."""
    named = {DAMAGED_DAYS: what.damaged_days, COARSE_DAYS: what.coarse_days}
    return {name: ",".join(days) for name, days in named.items() if days}
