"""Whether a device that should say something from time to time has fallen silent."""

INTERVALS = 3
"""So many may pass without a message: one lost message is nothing, and clocks drift."""


def is_silent(seen_at: int | None, interval_ms: int | None, now: int) -> bool:
    """Whether more than three intervals have passed since the last message, moments in UTC milliseconds.

    Not where no interval is expected (None or 0), nor before the first message: that device is new.
    """
    if seen_at is None or not interval_ms:
        return False
    return now - seen_at > INTERVALS * interval_ms
