"""What a query comes to, once the bins of its series are known.

A window reaches from `t - length` up to, and without, `t`: see docs/reference/grafana.md.
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from math import fmod, fsum, inf, isinf, nan
from typing import NamedTuple

from appliance.telemetry.asking.binned import aggregate_of
from appliance.telemetry.asking.model import Aggregate
from appliance.telemetry.bins import Bin, combined
from appliance.telemetry.promql.labels import without
from appliance.telemetry.promql.model import (
    LOOK_BACK_MS,
    Aggregated,
    Counted,
    Expression,
    Labels,
    Leaf,
    Number,
    Over,
    OverTime,
    Result,
    Scalar,
    Selector,
    Series,
    Sign,
    Steps,
)
from appliance.telemetry.promql.parser import NAME
from appliance.telemetry.wanted import Check

UNMERGED = frozenset((Aggregate.FIRST, Aggregate.LAST))
"""For these one bin of a window suffices, however many it has."""


class Windows(NamedTuple):
    """Where the windows of a leaf lie. Each is one bin or several."""

    edges: list[int]
    """Between which moments bins are needed, rising."""
    spans: list[tuple[int, int]]
    """Of each step: the first bin of its window, and the one behind its last."""


def leaf_of(expression: Expression) -> Leaf | None:
    """The part of a query that is about readings; it has one at most, since nothing is counted with two series."""
    match expression:
        case Number():
            return None
        case Selector() | OverTime():
            return expression
        case Aggregated():
            return leaf_of(expression.inner)
        case Counted():
            return leaf_of(expression.left) or leaf_of(expression.right)


def window_of(leaf: Leaf, steps: Steps) -> tuple[int, int, Aggregate]:
    """How long before a step a leaf looks, how far that is put back, and what is told of it.

    The present reading is the newest of five minutes at least, and of a step at least: what roll-ups know suffices.
    """
    if isinstance(leaf, OverTime):
        return leaf.window_ms, leaf.selector.offset_ms, leaf.aggregate
    step_ms = steps.step_ms or LOOK_BACK_MS
    return -(-LOOK_BACK_MS // step_ms) * step_ms, leaf.offset_ms, Aggregate.LAST


def windows_of(leaf: Leaf, steps: Steps) -> Windows:
    """The windows of a leaf at each step."""
    length_ms, offset_ms, _ = window_of(leaf, steps)
    ends = [at - offset_ms for at in steps.moments()]
    edges = sorted({*ends, *[end - length_ms for end in ends]})
    places = {edge: place for place, edge in enumerate(edges)}
    return Windows(edges, [(places[end - length_ms], places[end]) for end in ends])


def values_of(check: Check, windows: Windows, aggregate: Aggregate, bins: Mapping[int, Bin]) -> list[float | None]:
    """The value of a leaf at each step, out of the bins between edges, which are known by their place."""
    places = sorted(bins)
    held = [bins[place] for place in places]
    found: list[float | None] = []
    for first, behind in windows.spans:
        check()
        low, high = bisect_left(places, first), bisect_left(places, behind)
        if aggregate in UNMERGED:
            low, high = (max(low, high - 1), high) if aggregate is Aggregate.LAST else (low, min(low + 1, high))
        whole = combined(held[low:high])
        found.append(None if whole is None else float(aggregate_of(whole, aggregate)))
    return found


def result_of(check: Check, expression: Expression, series: list[Series]) -> Result:
    """What a query comes to, of which the leaf has these series."""
    check()
    match expression:
        case Number():
            return Scalar(expression.value)
        case Selector():
            return series
        case OverTime():
            if expression.aggregate in UNMERGED:
                return series
            return [Series(without(each.labels, (NAME,)), each.values) for each in series]
        case Aggregated():
            inner = result_of(check, expression.inner, series)
            if isinstance(inner, Scalar):
                raise TypeError("an aggregation of a number is refused when it is read")
            return _aggregated(check, expression, inner)
        case Counted():
            left, right = (result_of(check, side, series) for side in (expression.left, expression.right))
            return _counted(check, expression.sign, left, right)


def _aggregated(check: Check, expression: Aggregated, inner: Sequence[Series]) -> list[Series]:
    groups: dict[tuple[tuple[str, str], ...], list[Series]] = {}
    for series in inner:
        groups.setdefault(tuple(sorted(_kept(expression, series.labels).items())), []).append(series)
    over = _OVER[expression.over]
    return [
        Series(
            dict(labels), [_told(check, over, values) for values in zip(*(each.values for each in same), strict=True)]
        )
        for labels, same in groups.items()
    ]


def _kept(expression: Aggregated, labels: Labels) -> Labels:
    if expression.is_without:
        return without(labels, (*expression.labels, NAME))
    return {label: labels[label] for label in expression.labels if label in labels}


def _told(check: Check, over: Callable[[list[float]], float], values: Sequence[float | None]) -> float | None:
    check()
    numbers = [value for value in values if value is not None]
    return over(numbers) if numbers else None


def _sum(numbers: list[float]) -> float:
    try:
        return fsum(numbers)
    except (OverflowError, ValueError):
        return sum(numbers)


_OVER: Mapping[Over, Callable[[list[float]], float]] = {
    Over.SUM: _sum,
    Over.AVG: lambda numbers: _sum(numbers) / len(numbers),
    Over.MIN: min,
    Over.MAX: max,
    Over.COUNT: lambda numbers: float(len(numbers)),
}


def _counted(check: Check, sign: Sign, left: Result, right: Result) -> Result:
    if isinstance(left, Scalar):
        if isinstance(right, Scalar):
            return Scalar(calculated(sign, left.value, right.value))
        return [_mapped(check, each, lambda value: calculated(sign, left.value, value)) for each in right]
    if isinstance(right, Scalar):
        return [_mapped(check, each, lambda value: calculated(sign, value, right.value)) for each in left]
    raise TypeError("two series are refused when the query is read")


def _mapped(check: Check, series: Series, function: Callable[[float], float]) -> Series:
    check()
    values = [None if value is None else function(value) for value in series.values]
    return Series(without(series.labels, (NAME,)), values)


def calculated(sign: Sign, left: float, right: float) -> float:
    """As IEEE 754 has it: what has no result is NaN or infinite, never an error."""
    match sign:
        case Sign.ADD:
            return left + right
        case Sign.SUBTRACT:
            return left - right
        case Sign.MULTIPLY:
            return left * right
        case Sign.DIVIDE:
            return _divided(left, right)
        case Sign.MODULO:
            return nan if right == 0 or isinf(left) else fmod(left, right)
        case Sign.POWER:
            return _power(left, right)


def _divided(left: float, right: float) -> float:
    if right != 0:
        return left / right
    if left == 0 or left != left:  # noqa: PLR0124  only NaN is not itself
        return nan
    return inf if (left > 0) is (str(right)[0] != "-") else -inf


def _power(left: float, right: float) -> float:
    try:
        found = float(left) ** float(right)
    except OverflowError:
        return -inf if left < 0 and fmod(right, 2) != 0 else inf
    except ZeroDivisionError:
        return inf
    return nan if isinstance(found, complex) else float(found)
