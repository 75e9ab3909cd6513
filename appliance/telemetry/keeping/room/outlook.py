"""What keeps days from going as they should, in words for the person who can change it."""

from typing import NamedTuple

from appliance.instant import DAY_MS, day_of
from appliance.telemetry.keeping import plan
from appliance.telemetry.keeping.plan import FREE_SHARE, Limits, Present
from appliance.telemetry.keeping.room.measurement import Measured
from appliance.telemetry.keeping.room.reserve import GIGABYTE, LEAST_BLOCK_BYTES, MEGABYTE, Disk

PARTS_TOLD = 3
SHARE_TOLD = 100
"""What takes less than this part of the room is not named."""

_WORDS = {"rollups": "roll-ups", "cold": "Parquet files", "journal": "the raw journal"}
"""What lies in the data folder, in words where its name says too little."""


class Outlook(NamedTuple):
    """How it stands with the days that should go."""

    notices: tuple[str, ...] = ()
    """Each a part of a sentence; empty when all goes as it should."""
    is_well: bool = True
    """Whether nobody has to do anything."""


def outlook(measured: Measured, limits: Limits, today: Present, *, is_aged: bool) -> Outlook:
    """How it stands; `is_aged` when anything is to be kept for so many days and no longer."""
    budget = _of_budget(measured, limits, today)
    excess = "" if budget else _of_excess(measured, limits)
    waiting = plan.waiting_for_age(measured.days, limits.keep_days, today)
    is_told = waiting > plan.handful(len(measured.days))
    clock = _of_clock(waiting if is_told else 0, today) if is_aged else ""
    return Outlook(tuple(filter(None, (budget, excess, clock))), is_well=not budget and not is_told)


def of_blocks(disk: Disk) -> str:
    """What is said of a file system on which a full disk is more than full; empty of any other."""
    if disk.block_bytes >= LEAST_BLOCK_BYTES:
        return ""
    return (
        f"the file system of the data folder has blocks of {disk.block_bytes:,} bytes: a full disk can end the "
        f"gateway. Make that file system anew with blocks of {LEAST_BLOCK_BYTES:,} bytes"
    )


def _of_budget(measured: Measured, limits: Limits, today: Present) -> str:
    staying = measured.staying_bytes(today)
    if staying <= limits.budget_bytes:
        return ""
    if limits.nightly_bytes is None:
        return (
            f"{_gigabytes(staying)} of the {_gigabytes(limits.budget_bytes)} that may be used are not days that could "
            f"go ({_largest(measured, today)}): dropping all of those would not be enough, so none goes for it. "
            f"It takes telemetry.disk_budget_gb = {-(-staying // GIGABYTE)} or more"
        )
    whole = _gigabytes(measured.disk.total_bytes)
    if measured.others_bytes >= measured.beside_bytes:
        told = f"others fill the disk: {_gigabytes(measured.others_bytes)} of {whole} are not the gateway's"
    else:
        told = f"{_gigabytes(measured.beside_bytes)} of the disk of {whole} are files of the gateway that are not days"
    return f"{told}. Dropping every day would not leave {FREE_SHARE:.0%} free, so none goes for it"


def _largest(measured: Measured, today: Present) -> str:
    """What takes most of the room and does not go for a budget."""
    staying = measured.staying_bytes(today)
    parts = {_WORDS.get(name, name): size for name, size in measured.sizes.items() if name != "days"}
    parts["days that are not over"] = measured.day_bytes - measured.movable_bytes(today)
    # Such as files that were damaged and set aside.
    parts["other files beside days"] = measured.sizes["days"] - measured.day_bytes
    parts["the reserve"] = measured.disk.reserve_bytes
    largest = sorted(parts.items(), key=lambda part: (-part[1], part[0]))[:PARTS_TOLD]
    return ", ".join(f"{name} {_gigabytes(size)}" for name, size in largest if size * SHARE_TOLD > staying)


def _of_excess(measured: Measured, limits: Limits) -> str:
    """What is said of a budget that is used up while days go for it: nobody has to do anything."""
    if measured.used_bytes <= limits.budget_bytes:
        return ""
    told = f"{_gigabytes(measured.used_bytes)} are used, and {_gigabytes(limits.budget_bytes)} may be"
    if limits.nightly_bytes is None:
        return f"{told}: the oldest days go the next night"
    return f"{told}: about {_gigabytes(limits.nightly_bytes)} of the oldest days go each night"


def _of_clock(waiting: int, today: Present) -> str:
    if waiting:
        return (
            f"{waiting} days are too old by the clock alone: too few were received since. A few of them go each "
            "night; if the clock is wrong, set it before they do"
        )
    if today.aged < today.shown:
        return (
            f"the age of days counts from {day_of(today.aged * DAY_MS)}, for no time server vouches for a later one: "
            "if the clock is right, run `headworks clock reset`"
        )
    return ""


def _gigabytes(count: int) -> str:
    if count < GIGABYTE // 10:
        return f"{count / MEGABYTE:.1f} MB"
    return f"{count / GIGABYTE:.1f} GB"
