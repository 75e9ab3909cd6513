"""How long a person waits before the next attempt to sign in.

Five mistakes are free; from then on each doubles the wait, for one account from one address. An
address may try twenty times a minute, whatever the accounts. Devices are never touched by this.
"""

import msgspec

from appliance.instant import HOUR_MS, MINUTE_MS, SECOND_MS

FREE_FAILURES = 5
LONGEST_WAIT_MS = 15 * MINUTE_MS
FORGET_MS = HOUR_MS
"""After this long without an attempt the failures are forgotten. Longer than any wait."""

ATTEMPTS_A_MINUTE = 20

_MOST_DOUBLINGS = 20


class Failures(msgspec.Struct, frozen=True):
    """The failed attempts in a row for one account from one address."""

    count: int = 0
    last_at: int = 0


class Minute(msgspec.Struct, frozen=True):
    """The attempts from one address in the minute that began at `began_at`."""

    began_at: int = 0
    count: int = 0


def wait_ms(failures: Failures, now: int) -> int:
    """How long until the next attempt is heard; 0: at once."""
    if failures.count < FREE_FAILURES or _is_forgotten(failures, now):
        return 0
    doublings = min(failures.count - FREE_FAILURES, _MOST_DOUBLINGS)
    delay = min(SECOND_MS << doublings, LONGEST_WAIT_MS)
    # A clock that was set back must not lock anyone out for longer than the longest wait.
    return min(max(failures.last_at + delay - now, 0), delay)


def after_failure(failures: Failures, now: int) -> Failures:
    """The failures with one more."""
    count = 0 if _is_forgotten(failures, now) else failures.count
    return Failures(count + 1, now)


def after_attempt(minute: Minute, now: int) -> Minute:
    """The minute with one more attempt, or a new one that begins with it."""
    if not 0 <= now - minute.began_at < MINUTE_MS:
        return Minute(now, 1)
    return Minute(minute.began_at, minute.count + 1)


def minute_wait_ms(minute: Minute, now: int) -> int:
    """How long until an address is heard again; 0: at once."""
    if not 0 <= now - minute.began_at < MINUTE_MS or minute.count < ATTEMPTS_A_MINUTE:
        return 0
    return minute.began_at + MINUTE_MS - now


def _is_forgotten(failures: Failures, now: int) -> bool:
    return now - failures.last_at >= FORGET_MS
