"""The nouns of a query in PromQL, and of what it gives. Times and lengths are milliseconds."""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from appliance.errors import InvalidInputError
from appliance.telemetry.asking.model import Aggregate

POINTS_LIMIT = 11_000
"""The most steps of one query, as Prometheus has it."""
LOOK_BACK_MS = 300_000
"""So long a reading is the present one, at least."""


class QueryError(InvalidInputError):
    """The query is not one, or asks for what is not answered here; the message says where and why."""

    code = "bad_data"


class MatchKind(StrEnum):
    """How a label is compared."""

    EQUAL = "="
    NOT_EQUAL = "!="
    MATCHES = "=~"
    MATCHES_NOT = "!~"


class Matcher(msgspec.Struct, frozen=True):
    """What a label has to be. A label that is not there is empty."""

    label: str
    kind: MatchKind
    text: str


class Number(msgspec.Struct, frozen=True):
    """A number that is written."""

    value: float


class Selector(msgspec.Struct, frozen=True):
    """The newest reading of each series that is chosen."""

    matchers: tuple[Matcher, ...]
    offset_ms: int = 0


class OverTime(msgspec.Struct, frozen=True):
    """An aggregate of the readings within a window that ends with each step."""

    function: str
    aggregate: Aggregate
    selector: Selector
    window_ms: int


class Over(StrEnum):
    """What is made of several series."""

    SUM = "sum"
    AVG = "avg"
    MIN = "min"
    MAX = "max"
    COUNT = "count"


class Aggregated(msgspec.Struct, frozen=True):
    """Several series as one for each group."""

    over: Over
    inner: "Expression"
    labels: tuple[str, ...] = ()
    is_without: bool = False
    """Whether these labels are left out, and not kept alone."""


class Sign(StrEnum):
    """What is counted with two numbers."""

    ADD = "+"
    SUBTRACT = "-"
    MULTIPLY = "*"
    DIVIDE = "/"
    MODULO = "%"
    POWER = "^"


class Counted(msgspec.Struct, frozen=True):
    """Two numbers, or each reading and a number."""

    sign: Sign
    left: "Expression"
    right: "Expression"


Expression = Number | Selector | OverTime | Aggregated | Counted
Leaf = Selector | OverTime

Labels = Mapping[str, str]


class Series(msgspec.Struct, frozen=True):
    """A value for each step; None where there is none."""

    labels: Labels
    values: list[float | None]


class Scalar(msgspec.Struct, frozen=True):
    """The same number at each step."""

    value: float


Result = Scalar | list[Series]


class Steps(msgspec.Struct, frozen=True):
    """The moments that are asked about."""

    start: int
    count: int
    step_ms: int

    def moments(self) -> list[int]:
        """Each of them."""
        return [self.start + number * self.step_ms for number in range(self.count)]
