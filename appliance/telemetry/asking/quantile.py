"""Percentiles as `statistics.quantiles(…, method="inclusive")` gives them: on a straight line between neighbours."""

from collections.abc import Sequence


def quantile(ordered: Sequence[float], numerator: int, denominator: int) -> float:
    """What a share, `numerator / denominator` of 0 to 1, of at least one number lies below. The numbers are sorted."""
    place, rest = divmod(numerator * (len(ordered) - 1), denominator)
    low = ordered[place]
    if rest == 0:
        return low
    high = ordered[place + 1]
    # Each part first: a sum of great numbers could have no double.
    between = low * ((denominator - rest) / denominator) + high * (rest / denominator)
    return min(max(between, low), high)
