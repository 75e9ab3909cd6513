"""How long a piece of an interval is worked on at once, so that memory holds no more than some thousand reports."""

from appliance.instant import HOUR_MS, SECOND_MS

FIRST_MS = 10 * SECOND_MS
LONGEST_MS = HOUR_MS
FEW = 5_000
MANY = 50_000
TOO_MANY = 200_000


def next_width(width_ms: int, count: int) -> int:
    """The next piece's length, from that of the last one and how many reports it held."""
    if count < FEW:
        return min(2 * width_ms, LONGEST_MS)
    return max(1, width_ms // 2) if count > MANY else width_ms
