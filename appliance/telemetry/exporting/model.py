"""The nouns of an export."""

from enum import StrEnum

import msgspec

from appliance.errors import NotFoundError, TooManyAttemptsError
from appliance.instant import HOUR_MS
from appliance.telemetry.asking.model import Question
from appliance.telemetry.coarse.model import Lacking
from appliance.telemetry.model import Report
from appliance.telemetry.tables.layout import Form, Layout


class TooManyExportsError(TooManyAttemptsError):
    """As many are being written as there may be at once."""

    code = "too_many_exports"


class UnknownExportError(NotFoundError):
    """No export with this name is under way."""

    code = "unknown_export"


class By(StrEnum):
    """What a row of bins is of."""

    DEVICE = "device"
    GROUP = "group"
    ZONE = "zone"
    TYPE = "type"
    ALL = "all"


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is asked for, as people write it; moments are UTC milliseconds."""

    start: int
    end: int
    select: tuple[str, ...] = ()
    """Metrics, none is all of them; or aggregates of bins."""
    width: str = ""
    zone: str = "UTC"
    fill: str = "none"
    by: str = "device"
    form: str = "csv"
    is_detailed: bool = False


class Raw(msgspec.Struct, frozen=True):
    """The readings themselves, of some devices, with `start <= at < end`."""

    tenant_id: int
    device_ids: tuple[str, ...]
    """In the order in which they are written."""
    metrics: frozenset[str] | None
    """None is every metric."""
    start: int
    end: int
    layout: Layout

    @property
    def form(self) -> Form:
        """How it is written."""
        return self.layout.form


class InBins(msgspec.Struct, frozen=True):
    """Aggregates of bins."""

    question: Question
    key: str
    """What the column is called that says what a row is of; empty when there is none."""
    form: Form
    units: tuple[str | None, ...] = ()
    """Of each column, where no two devices have different ones, if the form tells it."""


Wanted = Raw | InBins


class Mark(msgspec.Struct, frozen=True):
    """How far an export has come: everything before is written."""

    place: int = 0
    """Of the device, among those that are wanted."""
    at: int = 0
    """Of this device, or of all in bins, everything before this moment is written,"""
    skip: int = 0
    """and so many of the reports of the moment itself."""
    step_ms: int = HOUR_MS
    """How much is looked at in one go: more of a device that says little."""
    is_first: bool = True
    """Whether nothing was written yet."""


class Stretch(msgspec.Struct, frozen=True):
    """The first reports of a device in a time."""

    reports: list[Report]
    character_count: int
    """What they are about as text."""
    next: tuple[int, int] | None
    """The moment at which it goes on, and how many of its reports were given; None when these are all."""


class Block(msgspec.Struct, frozen=True):
    """Some reports, and where the export goes on; None when these are the last."""

    reports: list[Report]
    next: Mark | None


class Piece(msgspec.Struct, frozen=True):
    """Some text of an export, and where it goes on; None when this is the last."""

    text: str
    next: Mark | None
    lacking: Lacking = Lacking()
    """With the last one: what the whole export may lack."""
