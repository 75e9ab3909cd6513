"""Which notices of one channel are sent now, and how long nothing else has to happen."""

from collections.abc import Collection, Sequence

import msgspec

from appliance.instant import MINUTE_MS
from appliance.notifications.model import Notice

SENDING_LIMIT = 4
"""How many notices of one channel are under way at once."""

UPCOMING_LIMIT = 2 * SENDING_LIMIT
"""How many upcoming notices must be known: those under way are among them, and as many again may start."""

WAIT_LIMIT_MS = MINUTE_MS
"""The longest wait for a due time: the gateway's clock may be set meanwhile."""


class Turn(msgspec.Struct, frozen=True):
    """What a channel does next."""

    start: tuple[Notice, ...]
    wait_ms: int | None
    """Look again after this long at the latest; None: not before something happens."""


def next_turn(upcoming: Sequence[Notice], sending: Collection[int], now: int) -> Turn:
    """Choose from the upcoming notices, the one due first at the head; `sending` are the numbers under way."""
    waiting = [notice for notice in upcoming if notice.due_at is not None and notice.notice_id not in sending]
    free = SENDING_LIMIT - len(sending)
    due = [notice for notice in waiting if _due_in(notice, now) <= 0]
    if len(due) >= free:
        return Turn(tuple(due[:free]), None)
    later = waiting[len(due) :]
    wait_ms = min(_due_in(later[0], now), WAIT_LIMIT_MS) if later else None
    return Turn(tuple(due), wait_ms)


def _due_in(notice: Notice, now: int) -> int:
    return now if notice.due_at is None else notice.due_at - now
