"""What a clock on the wall shows, and which bin that means: the model that bins are held against."""

from datetime import UTC, date, datetime, timedelta, tzinfo

from appliance.instant import HOUR_MS
from appliance.telemetry.asking.edges import least_ms, width_of

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MONDAY = date(1970, 1, 5)

# Put forward and back by an hour, north and south; by half an hour; never, by quarters of an hour.
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Asia/Kolkata"]


def shown(at: int, zone: tzinfo) -> datetime:
    return (EPOCH + timedelta(milliseconds=at)).astimezone(zone)


def label(at: int, text: str, zone: tzinfo) -> object:
    """Which bin a moment is in, from what the clock on the wall shows."""
    local = shown(at, zone)
    width = width_of(text)
    if width.unit == "mo":
        return ((local.year - 1970) * 12 + local.month - 1) // width.count
    if width.unit in {"d", "w"}:
        return (local.date() - MONDAY).days // (width.count * (7 if width.unit == "w" else 1))
    since_midnight = (local.hour * 3600 + local.minute * 60 + local.second) * 1000 + local.microsecond // 1000
    place = local.date(), since_midnight // least_ms(width)
    return (local.utcoffset(), *place) if least_ms(width) <= HOUR_MS else place


class Asked(tzinfo):
    """A zone an hour ahead, which is to be asked only so often."""

    def __init__(self, limit: int) -> None:
        self.left = limit

    def utcoffset(self, _at: datetime | None) -> timedelta:
        assert self.left > 0
        self.left -= 1
        return timedelta(hours=1)

    def dst(self, _at: datetime | None) -> timedelta:
        return timedelta()

    def tzname(self, _at: datetime | None) -> str:
        return "ahead"
