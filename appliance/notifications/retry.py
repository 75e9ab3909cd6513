"""What an attempt to send makes of a notice: sent, tried again later, or given up."""

import msgspec

from appliance.instant import HOUR_MS, MINUTE_MS, SECOND_MS
from appliance.notifications.model import Notice

LADDER_MS = (
    5 * SECOND_MS,
    30 * SECOND_MS,
    2 * MINUTE_MS,
    10 * MINUTE_MS,
    30 * MINUTE_MS,
    2 * HOUR_MS,
    5 * HOUR_MS,
    10 * HOUR_MS,
    24 * HOUR_MS,
)
"""How long to wait after each failed attempt. The first attempt is made at once, and one after the last wait."""

ATTEMPT_LIMIT = len(LADDER_MS) + 1


def after_success(notice: Notice, now: int) -> Notice:
    """The notice once somebody has taken it."""
    return msgspec.structs.replace(
        notice, attempt_count=notice.attempt_count + 1, due_at=None, sent_at=now, last_error=None
    )


def after_failure(notice: Notice, reason: str, now: int, *, permanent: bool) -> Notice:
    """The notice after an attempt that failed: due again, or given up.

    `permanent` says that the same attempt can never succeed.
    """
    attempt_count = notice.attempt_count + 1
    tried = msgspec.structs.replace(notice, attempt_count=attempt_count, last_error=reason)
    if permanent or attempt_count >= ATTEMPT_LIMIT:
        return msgspec.structs.replace(tried, due_at=None, given_up_at=now)
    return msgspec.structs.replace(tried, due_at=now + LADDER_MS[attempt_count - 1])
