"""What an answer lacks, in words."""

from collections.abc import Sequence

from appliance.instant import DAY_MS, day_of, from_text
from appliance.telemetry.coarse.model import Lacking


def lacking(damaged: Sequence[int], coarse: Sequence[int]) -> Lacking:
    """Days, counted since 1970, by their dates."""
    return Lacking(tuple(_date(day) for day in damaged), tuple(_date(day) for day in coarse))


def sentences(what: Lacking) -> list[str]:
    """What somebody should know who looks at the answer; nothing when nothing is lacking."""
    found = []
    if what.damaged_days:
        found.append(f"readings of {spoken(what.damaged_days)} are damaged or missing: some may not be here")
    if what.coarse_days:
        found.append(f"of {spoken(what.coarse_days)} only roll-ups are left: what needs single readings is not here")
    return found


def spoken(dates: Sequence[str]) -> str:
    """Dates, which rise, with the first and the last of those that follow each other."""
    runs: list[list[int]] = []
    for day in (from_text(date) // DAY_MS for date in dates):
        if runs and runs[-1][-1] == day - 1:
            runs[-1].append(day)
        else:
            runs.append([day])
    return ", ".join(_date(run[0]) if len(run) == 1 else f"{_date(run[0])} to {_date(run[-1])}" for run in runs)


def _date(day: int) -> str:
    return day_of(day * DAY_MS)
