"""Moments: UTC milliseconds since 1970, parsing, printing."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], int]
"""Gives the present moment, UTC milliseconds."""

SECOND_MS = 1_000
MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND_US = 1_000


def to_text(at: int) -> str:
    """Print a moment as ISO 8601 with milliseconds, for example 2026-01-31T10:30:00.000Z."""
    moment = _EPOCH + timedelta(milliseconds=at)
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def from_text(text: str) -> int:
    """Read an ISO 8601 moment; one without an offset is taken as UTC.

    Raises `ValueError` when the text is not a moment of the years 1 to 9999 in UTC.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    try:
        # Mostly it is in UTC: nothing to convert.
        in_utc = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
        since = in_utc - _EPOCH
        # Its parts, for to divide it takes three times as long.
        return since.days * DAY_MS + since.seconds * SECOND_MS + since.microseconds // _MILLISECOND_US
    except OverflowError:
        raise ValueError(f"{text!r} is not a moment of the years 1 to 9999") from None


def day_of(at: int) -> str:
    """The UTC day that holds a moment, as YYYY-MM-DD."""
    return (_EPOCH + timedelta(milliseconds=at)).date().isoformat()
