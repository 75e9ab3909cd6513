"""The nouns of an import of readings."""

from collections.abc import Mapping

import msgspec

from appliance.errors import InvalidInputError, UnavailableError
from appliance.telemetry.model import TimeSource, Value

REFUSALS_TOLD = 100
"""Of the rows that are refused, so many are told one by one."""


class InvalidReadingsError(InvalidInputError):
    """The file is no table of readings; the message says what it lacks."""

    code = "invalid_readings"


class BusyImportingError(UnavailableError):
    """Another import has been at work for too long to be waited for."""

    code = "busy_importing"


class Told(msgspec.Struct, frozen=True):
    """What rows of a table tell of one device and moment."""

    line: int
    device_id: str
    at: int
    sequence: int | None
    values: Mapping[str, Value]
    arrived_at: int | None
    """None where the table does not tell it, as of the next three."""
    time_source: TimeSource | None
    topic: str | None
    client_id: str | None


class Refusal(msgspec.Struct, frozen=True):
    """Why a row is not taken, in words for its author."""

    line: int
    reason: str


class Tally(msgspec.Struct, frozen=True):
    """What an import did, or would do."""

    is_dry_run: bool
    row_count: int
    reading_count: int
    """Readings that were taken, or would be."""
    duplicate_count: int
    """Readings that were there before."""
    refused_count: int
    """Rows that were refused."""
    refused: tuple[Refusal, ...]
    """The first of them."""
