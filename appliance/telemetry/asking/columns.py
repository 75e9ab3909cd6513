"""The columns of a question as people write them.

`pressure`, `avg(flowRate)`, `p95(flowRate)`, `rolling_avg(pressure, 1h)`, `zscore(pressure, 1h)`.
"""

import re
from collections.abc import Sequence
from math import gcd

from appliance.errors import InvalidInputError
from appliance.instant import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from appliance.telemetry.asking.model import (
    COLUMNS_LIMIT,
    WINDOW_LIMIT_MS,
    Aggregate,
    Binned,
    Column,
    Percentile,
    Plain,
    Rolling,
    ZScore,
)

_CALL = re.compile(r"(?P<function>[a-z_0-9.]+)\((?P<inside>.*)\)", re.DOTALL)
_PERCENTILE = re.compile(r"p(?P<whole>\d{1,3})(\.(?P<part>\d{1,3}))?")
_LENGTH = re.compile(r"(?P<count>[1-9]\d{0,8})(?P<unit>[smhd])")
_UNIT_MS = {"s": SECOND_MS, "m": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS}
_MEDIAN = "median"
_ROLLING = "rolling_"
_ZSCORE = "zscore"
_SHARES = 100_000
_NEVER_ROLLING = {Aggregate.FIRST, Aggregate.LAST}


def columns_of(texts: Sequence[str]) -> tuple[Column, ...]:
    """The columns that are written, each once. Raises `InvalidInputError`."""
    items = [item for text in texts for item in _split(text)]
    if not items:
        raise InvalidInputError("select is missing: say what to tell, for example avg(pressure)")
    if len(items) > COLUMNS_LIMIT:
        raise InvalidInputError(f"select has {len(items)} columns, at most {COLUMNS_LIMIT} are told at once")
    return tuple({column.name: column for column in map(column_of, items)}.values())


def column_of(text: str) -> Column:
    """One column. Raises `InvalidInputError`."""
    call = _CALL.fullmatch(text)
    if call is None:
        return Plain(text, text)
    function, inside = call["function"], call["inside"].strip()
    if function == _ZSCORE or function.startswith(_ROLLING):
        return _windowed(text, function, inside)
    if not inside:
        raise InvalidInputError(f"{text[:80]!r} names no metric")
    if function in list(Aggregate):
        return Binned(f"{function}({inside})", inside, Aggregate(function))
    share = _share(function)
    if share is None:
        known = ", ".join([*Aggregate, "median", "p0 to p100", "rolling_avg", "zscore"])
        raise InvalidInputError(f"{function[:40]!r} is no function: expected one of {known}")
    return Percentile(f"{function}({inside})", inside, *share)


def length_of(text: str) -> int:
    """A length of time such as 90s or 1h, in milliseconds. Raises `InvalidInputError`."""
    found = _LENGTH.fullmatch(text)
    if found is None:
        raise InvalidInputError(f"{text[:40]!r} is no length of time: expected for example 90s, 10m, 1h or 7d")
    return int(found["count"]) * _UNIT_MS[found["unit"]]


def _windowed(text: str, function: str, inside: str) -> Column:
    metric, comma, length = (part.strip() for part in inside.rpartition(","))
    if not comma or not metric:
        raise InvalidInputError(f"{text[:80]!r} needs a metric and a length of time: {function[:40]}(pressure, 1h)")
    window_ms = length_of(length)
    if window_ms > WINDOW_LIMIT_MS:
        raise InvalidInputError(f"a window of {length} is longer than {WINDOW_LIMIT_MS // DAY_MS} days")
    name = f"{function}({metric}, {length})"
    if function == _ZSCORE:
        return ZScore(name, metric, window_ms)
    rolling = [each for each in Aggregate if each not in _NEVER_ROLLING]
    aggregate = function.removeprefix(_ROLLING)
    if aggregate not in rolling:
        known = ", ".join(_ROLLING + each for each in rolling)
        raise InvalidInputError(f"{function[:40]!r} is no function: expected one of {known}")
    return Rolling(name, metric, Aggregate(aggregate), window_ms)


def _share(function: str) -> tuple[int, int] | None:
    """The share of a percentile in lowest terms; None when it is none."""
    if function == _MEDIAN:
        return 1, 2
    found = _PERCENTILE.fullmatch(function)
    if found is None:
        return None
    shares = int(found["whole"]) * 1_000 + int((found["part"] or "0").ljust(3, "0"))
    if shares > _SHARES:
        return None
    divisor = gcd(shares, _SHARES)
    return shares // divisor, _SHARES // divisor


def _split(text: str) -> list[str]:
    """The items of a list with commas in between; a comma inside of parentheses belongs to its item."""
    items, depth, item = [], 0, ""
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth <= 0:
            items.append(item)
            item = ""
        else:
            item += letter
    return [each.strip() for each in [*items, item] if each.strip()]
