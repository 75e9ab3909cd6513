"""What a query comes to, once the bins of its series are known.

A window reaches from `t - length` up to, and without, `t`: see docs/reference/grafana.md.
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from math import fmod, fsum, inf, isinf, nan

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

Found = Callable[[Leaf], list[Series]]
"""Gives the series of a leaf of the query."""


def leaves(expression: Expression) -> list[Leaf]:
    """The parts of a query that are about readings."""
    match expression:
        case Number():
            return []
        case Selector() | OverTime():
            return [expression]
        case Aggregated():
            return leaves(expression.inner)
        case Counted():
            return [*leaves(expression.left), *leaves(expression.right)]


def window_of(leaf: Leaf, steps: Steps) -> tuple[int, int, Aggregate]:
    """How long before a step a leaf looks, how far that is put back, and what is told of it.

    The present reading is the newest of five minutes at least, and of a step at least: what roll-ups know suffices.
    """
    if isinstance(leaf, OverTime):
        return leaf.window_ms, leaf.selector.offset_ms, leaf.aggregate
    step_ms = steps.step_ms or LOOK_BACK_MS
    return -(-LOOK_BACK_MS // step_ms) * step_ms, leaf.offset_ms, Aggregate.LAST


def edges_of(leaf: Leaf, steps: Steps) -> list[int]:
    """Between which moments bins are needed for the windows of a leaf; a window is one bin or several."""
    length_ms, offset_ms, _ = window_of(leaf, steps)
    ends = [at - offset_ms for at in steps.moments()]
    return sorted({*ends, *[end - length_ms for end in ends]})


def values_of(leaf: Leaf, steps: Steps, edges: Sequence[int], bins: Mapping[int, Bin]) -> list[float | None]:
    """The value of a leaf at each step, out of the bins between edges, which are known by their place."""
    length_ms, offset_ms, aggregate = window_of(leaf, steps)
    found: list[float | None] = []
    for at in steps.moments():
        first, stop = bisect_left(edges, at - offset_ms - length_ms), bisect_left(edges, at - offset_ms)
        whole = _whole(bins, first, stop, aggregate)
        found.append(None if whole is None else float(aggregate_of(whole, aggregate)))
    return found


def _whole(bins: Mapping[int, Bin], first: int, stop: int, aggregate: Aggregate) -> Bin | None:
    if aggregate is Aggregate.LAST:
        return next((bins[place] for place in range(stop - 1, first - 1, -1) if place in bins), None)
    return combined([bins[place] for place in range(first, stop) if place in bins])


def result_of(expression: Expression, found: Found) -> Result:
    """What a query comes to."""
    match expression:
        case Number():
            return Scalar(expression.value)
        case Selector():
            return found(expression)
        case OverTime():
            series = found(expression)
            if expression.aggregate in {Aggregate.LAST, Aggregate.FIRST}:
                return series
            return [Series(without(each.labels, (NAME,)), each.values) for each in series]
        case Aggregated():
            inner = result_of(expression.inner, found)
            if isinstance(inner, Scalar):
                raise TypeError("an aggregation of a number is refused when it is read")
            return _aggregated(expression, inner)
        case Counted():
            return _counted(expression.sign, result_of(expression.left, found), result_of(expression.right, found))


def _aggregated(expression: Aggregated, inner: Sequence[Series]) -> list[Series]:
    groups: dict[tuple[tuple[str, str], ...], list[Series]] = {}
    for series in inner:
        groups.setdefault(tuple(sorted(_kept(expression, series.labels).items())), []).append(series)
    over = _OVER[expression.over]
    return [
        Series(dict(labels), [_told(over, values) for values in zip(*(each.values for each in same), strict=True)])
        for labels, same in groups.items()
    ]


def _kept(expression: Aggregated, labels: Labels) -> Labels:
    if expression.is_without:
        return without(labels, (*expression.labels, NAME))
    return {label: labels[label] for label in expression.labels if label in labels}


def _told(over: Callable[[list[float]], float], values: Sequence[float | None]) -> float | None:
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


def _counted(sign: Sign, left: Result, right: Result) -> Result:
    if isinstance(left, Scalar):
        if isinstance(right, Scalar):
            return Scalar(calculated(sign, left.value, right.value))
        return [_mapped(series, lambda value: calculated(sign, left.value, value)) for series in right]
    if isinstance(right, Scalar):
        return [_mapped(series, lambda value: calculated(sign, value, right.value)) for series in left]
    raise TypeError("two series are refused when the query is read")


def _mapped(series: Series, function: Callable[[float], float]) -> Series:
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
