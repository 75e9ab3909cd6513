"""The nouns of a question about readings, and of its answer."""

from collections.abc import Mapping
from datetime import tzinfo
from enum import StrEnum

import msgspec

from appliance.errors import InvalidInputError, TooManyAttemptsError
from appliance.instant import DAY_MS
from appliance.telemetry.model import Value

ROWS_LIMIT = 100_000
"""The most rows of one answer."""

CELLS_LIMIT = 300_000
"""The most bins of one question, those of each device and metric counted."""

READINGS_LIMIT = 1_000_000
"""The most readings that one question looks at, one by one."""

READINGS_AT_ONCE_LIMIT = 250_000
"""The most readings that are in memory for one question at once: some 25 MB, and as much again for their rows."""

READS_LIMIT = 20_000
"""How often one question may go to memory and day files for the readings of a device."""

KEYS_LIMIT = 10_000
COLUMNS_LIMIT = 32
WINDOW_LIMIT_MS = 31 * DAY_MS

EARLIEST = 0
LATEST = 221_845_392_000_000
"""The year 9000: much later there are no moments any more in some time zones."""


class TooMuchError(InvalidInputError):
    """The question would take more work than one question may; the message says what would be less."""

    code = "too_much"


class TooManyQuestionsError(TooManyAttemptsError):
    """Others are being answered, and enough wait already."""

    code = "too_many_questions"


class Aggregate(StrEnum):
    """What is told of the numbers of a bin or window. The deviation is that of the population."""

    AVG = "avg"
    MIN = "min"
    MAX = "max"
    SUM = "sum"
    COUNT = "count"
    FIRST = "first"
    LAST = "last"
    STDDEV = "stddev"


class Fill(StrEnum):
    """What stands where a bin has no numbers."""

    NONE = "none"
    """A bin without any is left out."""
    NULL = "null"
    PREVIOUS = "previous"
    """What the bin before it has; nothing before the first one that has any."""
    LINEAR = "linear"
    """What lies on the straight line between its neighbours that have any; nothing outside of them."""
    ZERO = "zero"


class Order(StrEnum):
    """Which rows come first."""

    NEWEST = "newest"
    OLDEST = "oldest"


class Plain(msgspec.Struct, frozen=True):
    """The readings themselves."""

    name: str
    metric: str


class Binned(msgspec.Struct, frozen=True):
    """An aggregate of each bin."""

    name: str
    metric: str
    aggregate: Aggregate


class Percentile(msgspec.Struct, frozen=True):
    """A percentile of each bin; the share is `numerator / denominator`, 0 to 1."""

    name: str
    metric: str
    numerator: int
    denominator: int


class Rolling(msgspec.Struct, frozen=True):
    """An aggregate of the window that ends with each reading."""

    name: str
    metric: str
    aggregate: Aggregate
    window_ms: int


class ZScore(msgspec.Struct, frozen=True):
    """How many standard deviations each reading lies from the mean of the window that ends with it."""

    name: str
    metric: str
    window_ms: int


Column = Plain | Binned | Percentile | Rolling | ZScore


class Unit(StrEnum):
    """What the width of a bin is counted in."""

    SECOND = "s"
    MINUTE = "m"
    HOUR = "h"
    DAY = "d"
    WEEK = "w"
    MONTH = "mo"


class Width(msgspec.Struct, frozen=True):
    """The width of a bin."""

    count: int
    unit: Unit


class Place(msgspec.Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """Where a row stands among all: its moment, its key, and which of the readings of that moment it is."""

    at: int
    key: str
    occurrence: int


class Question(msgspec.Struct, frozen=True):
    """What is asked. Moments are UTC milliseconds, `start <= at < end`."""

    tenant_id: int
    keys: Mapping[str, tuple[str, ...]]
    """What each row is named by, and the devices that it tells of."""
    columns: tuple[Column, ...]
    start: int
    end: int
    width: Width | None
    """None asks for the readings themselves; then every key has one device."""
    zone: tzinfo
    """In whose midnights, Mondays and months bins begin."""
    fill: Fill
    order: Order
    limit: int
    after: Place | None = None
    """The last row of the page before."""


class Row(msgspec.Struct, frozen=True, gc=False):
    """One row of an answer. Of a bin, `at` is where it begins, which may lie before the range."""

    place: Place
    values: tuple[Value, ...]


class Answer(msgspec.Struct, frozen=True):
    """A page of rows, and where the next one goes on; None when this is the last."""

    rows: tuple[Row, ...]
    next: Place | None
