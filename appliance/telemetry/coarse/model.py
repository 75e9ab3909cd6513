"""The nouns of what answers lack."""

from collections.abc import Collection, Sequence

import msgspec

from appliance.telemetry.asking.pieces import Span


class Needed(msgspec.Struct, frozen=True):
    """Readings that an answer needs one by one, for roll-ups cannot tell what they would."""

    metrics: Collection[str]
    """None named is all of them."""
    spans: Sequence[Span]
    """Rising; they do not touch each other."""
    is_of_numbers: bool
    """Whether nothing but numbers counts."""


class Lacking(msgspec.Struct, frozen=True):
    """The UTC days, as YYYY-MM-DD, of which an answer may lack readings."""

    damaged_days: tuple[str, ...] = ()
    """Of these stored readings are known to be damaged or missing."""
    coarse_days: tuple[str, ...] = ()
    """Of these only roll-ups are left, which cannot tell what was asked for."""
