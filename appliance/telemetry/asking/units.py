"""In which units the columns of an answer are."""

from collections.abc import Collection, Mapping, Sequence

from appliance.telemetry.asking.model import Aggregate, Binned, Column, Rolling, ZScore

UNITS_LIMIT = 8
"""Of more units that the devices have for one metric, the first by name are told."""

UNKNOWN = ""

Units = Sequence[str | None]
"""None of them, one, or several where devices differ; last None, where the unit of some devices is not known."""


def units_of(columns: Sequence[Column], found: Mapping[str, Collection[str]]) -> list[Units]:
    """The units of each column, by those that the devices have for its metric, `UNKNOWN` among them."""
    return [() if _is_bare(column) else _told(found.get(column.metric, ())) for column in columns]


def _told(found: Collection[str]) -> Units:
    known = sorted(unit for unit in found if unit != UNKNOWN)[:UNITS_LIMIT]
    return (*known, None) if known and UNKNOWN in found else known


def _is_bare(column: Column) -> bool:
    """Whether it is a number without a unit, whatever the metric is in."""
    return isinstance(column, ZScore) or (isinstance(column, Binned | Rolling) and column.aggregate is Aggregate.COUNT)
