"""The nouns of pages of readings."""

from collections.abc import Sequence
from typing import Annotated

import msgspec

from appliance.telemetry.model import Series, Value

PLACES_LIMIT = 16
"""At so many places at most a page goes on: each is looked for by itself."""
NAMES_LIMIT = 2_000
"""Names of metrics with so many characters at most stand in a cursor: it is part of an address."""

_FARTHEST = 1 << 48
"""Beyond the year 9999, in milliseconds."""

Moment = Annotated[int, msgspec.Meta(ge=-_FARTHEST, le=_FARTHEST)]


class Place(msgspec.Struct, frozen=True, order=True, array_like=True, forbid_unknown_fields=True):
    """Where a reading stands among those of its metric."""

    at: Moment
    occurrence: Annotated[int, msgspec.Meta(ge=0, le=_FARTHEST)]
    """Which of the readings of this moment it is, from 0, in the order in which they were received."""


class Going(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Metrics that go on with what stands before a place."""

    before: Place
    metrics: tuple[str, ...]
    """None named is all of them."""


class Cursor(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Where a page goes on. It carries the range, so that all pages are of the same one."""

    start: Moment
    end: Moment
    going: Annotated[tuple[Going, ...], msgspec.Meta(min_length=1, max_length=PLACES_LIMIT)]


class Cut(msgspec.Struct, frozen=True):
    """The newest readings of a metric that stand before a place, oldest first."""

    metric: str
    at: Sequence[int]
    values: Sequence[Value]
    next: Place | None
    """The oldest one given, when there are more before it."""
    sources: bytes | None = None
    """As in `Series`."""


class Page(msgspec.Struct, frozen=True):
    """Readings of each metric, and where the page after this one goes on; None when this is the last."""

    series: list[Series]
    next: Cursor | None
