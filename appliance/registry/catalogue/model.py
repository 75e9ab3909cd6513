"""The nouns of the catalogue: types of devices, saved filters, changes, and what a table would do."""

from collections.abc import Mapping
from enum import StrEnum
from math import isfinite

import msgspec

from appliance.errors import ConflictError, InvalidInputError, NotFoundError
from appliance.registry.model import TEXT_LENGTH, Bundle, Device, NewDevice

QUERY_LENGTH = 200
DESCRIPTION_LENGTH = 2_000
UNIT_LENGTH = 32
UNITS_LIMIT = 200
RULES_LIMIT = 200
FILTERS_LIMIT = 100
TYPES_LIMIT = 1_000
INTERVAL_LIMIT_MS = 366 * 86_400_000


class UnknownTypeError(NotFoundError):
    """The tenant has described no type of that name."""

    code = "unknown_device_type"


class TypeExistsError(ConflictError):
    """The tenant has described a type of that name."""

    code = "device_type_exists"


class UnknownFilterError(NotFoundError):
    """The tenant has kept no search under that name."""

    code = "unknown_device_filter"


class InvalidQueryError(InvalidInputError):
    """A search that cannot be understood; the message says what would be."""

    code = "invalid_query"


class InvalidTableError(InvalidInputError):
    """A file that is no table, or a table that no device can be read from."""

    code = "invalid_table"


class MetricKind(StrEnum):
    """What the values of a metric are; null is always one of them."""

    ANY = "any"
    NUMBER = "number"
    WHOLE = "whole"
    TEXT = "text"
    BOOLEAN = "boolean"
    LOCATION = "location"


class Violation(StrEnum):
    """What becomes of a reading that is not as its type says."""

    KEEP = "keep"
    FLAG = "flag"
    """Kept, and shown as a problem of the device."""
    REJECT = "reject"
    """Left out, and shown as a problem of the device."""


class MetricRule(msgspec.Struct, frozen=True):
    """What a type says of one metric, besides its unit."""

    kind: MetricKind = MetricKind.ANY
    least: float | None = None
    """In the unit of the type."""
    greatest: float | None = None
    violation: Violation = Violation.FLAG


class DeviceType(msgspec.Struct, frozen=True):
    """What is known of all devices of a type."""

    name: str
    description: str = ""
    units: Mapping[str, str] = {}
    """The unit of each metric, for example `pressure` in `kPa`."""
    expected_interval_ms: int | None = None
    """How often a device of this type is heard of when it is well; None when nothing is expected."""
    metrics: Mapping[str, MetricRule] = {}
    """What the readings of each metric are to be."""
    unknown_metrics: Violation = Violation.KEEP
    """What becomes of metrics that have neither a unit nor a rule here."""


class SavedFilter(msgspec.Struct, frozen=True):
    """A search under a name."""

    name: str
    query: str


class DeviceChange(msgspec.Struct, frozen=True):
    """What is to be another of a device; None leaves a field as it is."""

    name: str | None = None
    type: str | None = None
    zone: str | None = None
    serial_number: str | None = None
    groups: tuple[str, ...] | None = None
    attributes: Mapping[str, str | None] = {}
    """Keys with their new text; None takes the attribute away. Those that are not named stay."""
    notes: str | None = None


class Fate(StrEnum):
    """What becomes of a row of a table."""

    NEW = "new"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    REFUSED = "refused"


class PlannedRow(msgspec.Struct, frozen=True):
    """One row of a table, and what an import would do with it."""

    line: int
    """The line of the file on which the row begins; the first is 1."""
    device_id: str
    fate: Fate
    reason: str = ""
    """Why it is refused, or which fields are another."""
    wanted: NewDevice | None = None
    """The device as it is to be; None when the row is refused."""
    before: Device | None = None
    """The device as it is now; None when it is new."""


class Plan(msgspec.Struct, frozen=True):
    """What an import would do."""

    rows: tuple[PlannedRow, ...]

    def count(self, fate: Fate) -> int:
        """How many rows have this fate."""
        return sum(row.fate is fate for row in self.rows)

    def wanted(self, fate: Fate) -> list[NewDevice]:
        """The devices of the rows of this fate, as they are to be."""
        return [row.wanted for row in self.rows if row.fate is fate and row.wanted is not None]


class Imported(msgspec.Struct, frozen=True):
    """What an import has done, and the bundles of the devices that are new, if they were asked for."""

    plan: Plan
    bundles: tuple[Bundle, ...] = ()


class Facts(msgspec.Struct):
    """What a search looks at."""

    text: str
    """What a free word is looked for in: all that people wrote, folded, so that capitals do not matter."""
    device: Device
    attributes: dict[str, tuple[str, ...]] | None = None
    """The values by their keys, both folded, once somebody has searched for one: most fleets have none."""


def check_type(told: DeviceType) -> DeviceType:
    """Give back a type when it can be kept. Raises `InvalidInputError`."""
    name = told.name
    if not name.strip() or len(name) > TEXT_LENGTH or "/" in name or not name.isprintable() or name != name.strip():
        raise InvalidInputError(f"a type is named by 1 to {TEXT_LENGTH} characters without '/', not {name[:80]!r}")
    if len(told.description) > DESCRIPTION_LENGTH:
        raise InvalidInputError(f"the description of {name} has more than {DESCRIPTION_LENGTH:,} characters")
    if len(told.units) > UNITS_LIMIT:
        raise InvalidInputError(f"{name} has {len(told.units)} units; at most {UNITS_LIMIT} are kept")
    for metric, unit in told.units.items():
        if not metric or len(metric) > TEXT_LENGTH or not unit or len(unit) > UNIT_LENGTH or not unit.isprintable():
            raise InvalidInputError(
                f"{metric[:80]!r} in {unit[:80]!r} is no unit of {name}: expected a metric and 1 to"
                f" {UNIT_LENGTH} characters"
            )
    _check_rules(told)
    interval_ms = told.expected_interval_ms
    if interval_ms is not None and not 0 < interval_ms <= INTERVAL_LIMIT_MS:
        raise InvalidInputError(f"the interval of {name} is not between 1 ms and 366 days")
    return told


def _check_rules(told: DeviceType) -> None:
    if len(told.metrics) > RULES_LIMIT:
        raise InvalidInputError(
            f"{told.name} has rules for {len(told.metrics)} metrics; at most {RULES_LIMIT} are kept"
        )
    for metric, rule in told.metrics.items():
        if not metric or len(metric) > TEXT_LENGTH:
            raise InvalidInputError(f"{metric[:80]!r} is no metric of {told.name}")
        bounds = [bound for bound in (rule.least, rule.greatest) if bound is not None]
        if bounds and rule.kind not in {MetricKind.ANY, MetricKind.NUMBER, MetricKind.WHOLE}:
            raise InvalidInputError(
                f"{metric} of {told.name} is a {rule.kind}, which has no least and no greatest value"
            )
        if not all(map(isfinite, bounds)) or bounds != sorted(bounds):
            raise InvalidInputError(f"the least value of {metric} of {told.name} is not below its greatest")


def check_filter_name(name: str) -> str:
    """Give back the name of a saved filter when it can be one. Raises `InvalidInputError`."""
    if not name.strip() or name != name.strip() or len(name) > TEXT_LENGTH or "/" in name or not name.isprintable():
        raise InvalidInputError(f"a filter is named by 1 to {TEXT_LENGTH} characters without '/', not {name[:80]!r}")
    return name
