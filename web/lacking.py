"""What an answer lacks, as headers of HTTP say it where its body cannot."""

from collections.abc import Sequence
from datetime import date, timedelta

from appliance.telemetry.coarse.model import Lacking

RUNS_LIMIT = 100
"""So many runs of days are named in a header, which others may not let pass if it is long."""
DAMAGED_DAYS = "headworks-damaged-days"
"""Names the days of which stored readings are known to be damaged or missing; without such days it is not there."""
COARSE_DAYS = "headworks-coarse-days"
"""The same of days of which only roll-ups are left."""


def headers(what: Lacking) -> dict[str, str]:
    """The headers that name the days, with commas in between."""
    named = {DAMAGED_DAYS: what.damaged_days, COARSE_DAYS: what.coarse_days}
    return {name: _listed(days) for name, days in named.items() if days}


def _listed(days: Sequence[str]) -> str:
    """The days with commas in between, those that follow each other as the first and the last of them."""
    runs: list[list[date]] = []
    for day in map(date.fromisoformat, days):
        if runs and day - runs[-1][-1] == timedelta(days=1):
            runs[-1][1:] = [day]
        else:
            runs.append([day])
    told = ["..".join(day.isoformat() for day in run) for run in runs[:RUNS_LIMIT]]
    return ",".join([*told, "..."] if len(runs) > RUNS_LIMIT else told)
