"""Storage: where the disk goes, how long it lasts, and what of it was damaged."""

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.response import Template

from appliance.gateway import Gateway
from appliance.instant import DAY_MS, day_of, to_text
from appliance.telemetry.cold.model import ColdUsage
from appliance.telemetry.journal.model import Usage as JournalUsage
from appliance.telemetry.keeping.room.model import Usage
from web.shell import Frame

_UNITS = ("bytes", "kB", "MB", "GB", "TB")
_STEP = 1_000


class Share(msgspec.Struct, frozen=True):
    """One of the things that take room."""

    label: str
    size: str
    told: str


@get("/storage", include_in_schema=False)
async def show_storage(gateway: NamedDependency[Gateway], frame: NamedDependency[Frame]) -> Template:
    """The page."""
    usage = await gateway.room.usage(frame.user.tenant_id)
    context = {
        "frame": frame,
        "now": frame.now,
        "usage": usage,
        "shares": _shares(usage),
        "used": size_in_words(usage.used_bytes),
        "budget": size_in_words(usage.budget_bytes),
        "staying": size_in_words(usage.staying_bytes),
        "free": size_in_words(usage.free_bytes),
        "disk": size_in_words(usage.disk_bytes),
        "others": size_in_words(max(0, usage.disk_bytes - usage.free_bytes - usage.used_bytes)),
        "growth": size_in_words(usage.growth_bytes),
        "forecast": forecast_in_words(usage.days_left),
        "oldest": None if usage.oldest_day is None else day_of(usage.oldest_day * DAY_MS),
        "newest": None if usage.newest_day is None else day_of(usage.newest_day * DAY_MS),
        "status": gateway.room.status(),
        "journal": gateway.journal.usage(),
        "journal_told": journal_in_words(gateway.journal.usage()),
        "cold": gateway.cold.usage(),
        "cold_told": cold_in_words(gateway.cold.usage()),
    }
    return Template("pages/storage.html", context=context)


def size_in_words(count: int) -> str:
    """A count of bytes as people read it, for example 1.4 GB."""
    size = float(count)
    for unit in _UNITS:
        if size < _STEP or unit == _UNITS[-1]:
            return f"{size:.0f} {unit}" if unit == _UNITS[0] else f"{size:.1f} {unit}"
        size /= _STEP
    raise AssertionError("the last unit takes any size")


def forecast_in_words(days_left: int | None) -> str:
    """When the room is used up."""
    match days_left:
        case None:
            return "The room will not be used up as it goes now."
        case 0:
            return "The room is used up: for each new day, the oldest goes."
        case 1:
            return "The room will be used up tomorrow; then the oldest day goes for each new one."
        case _:
            return f"The room will be used up in {days_left} days; then the oldest day goes for each new one."


def cold_in_words(cold: ColdUsage) -> list[tuple[str, str]]:
    """What is there as Parquet and in the bucket: a word and what it is, each."""
    told = [("Days", str(cold.day_count)), ("Size", size_in_words(cold.file_bytes))]
    if cold.oldest_day is not None:
        told.append(("Oldest day", day_of(cold.oldest_day * DAY_MS)))
    if cold.waiting_count:
        told.append(("Still to be written", str(cold.waiting_count)))
    if cold.bucket:
        uploaded = "never" if cold.uploaded_at is None else to_text(cold.uploaded_at)
        told += [
            ("Bucket", cold.bucket),
            ("In the bucket", f"{cold.uploaded_count} days, {cold.upload_waiting_count} wait"),
            ("Last upload", uploaded),
        ]
    told += [("Left behind, nothing is erased there", bucket) for bucket in cold.left_behind]
    return told


def journal_in_words(journal: JournalUsage) -> list[tuple[str, str]]:
    """What is kept as it came: a word and what it is, each."""
    since = "not now" if journal.begun_at is None else to_text(journal.begun_at)
    size = f"{size_in_words(journal.size_bytes)} of {size_in_words(journal.limit_bytes)} that may be"
    return [("Size", size), ("Kept for", f"{journal.hours} hours"), ("Has everything since", since)]


def _shares(usage: Usage) -> list[Share]:
    log_told = f"{size_in_words(usage.log_bytes)} of it are readings that are not in a day yet"
    return [
        Share("Sealed days", size_in_words(usage.sealed_bytes), "readings, checked page by page"),
        Share("Open days", size_in_words(usage.open_bytes), "readings that are sealed at night"),
        Share("Roll-ups", size_in_words(usage.rollup_bytes), "hours and days in figures, kept when readings go"),
        Share("Database", size_in_words(usage.database_bytes), log_told),
        Share("Raw journal", size_in_words(usage.journal_bytes), "messages as they came, if that is switched on"),
        Share("Reserve", size_in_words(usage.reserve_bytes), "given up first when the disk is full"),
        Share("Everything else", size_in_words(usage.other_bytes), "keys, bundles, backups"),
    ]


HANDLERS = (show_storage,)
