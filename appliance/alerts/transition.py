"""When an alert opens, when people are told, and when it closes. docs/reference/alerts.md says the same in prose.

Rules:
- Time is event time. The moment of the reading is `at`, and no other clock exists here.
- An alert opens at the first breaching reading that comes `hold_ms` or more after the first one of
  an unbroken row of breaching readings.
- An open alert stays open while `value operator clear_threshold` holds (hysteresis).
- The cooldown holds back notices, never the state. One alert causes one notice: when it opens, or, if
  the cooldown of an earlier notice runs then, at the first breaching reading after it.
- A reading from before the breach it would prolong says nothing about now, and changes nothing.
"""

import math
import operator as comparison
from collections.abc import Callable

from appliance.alerts.model import AlertState, Limit, Operator, Phase, Step

_COMPARISONS: dict[Operator, Callable[[float, float], bool]] = {
    Operator.GREATER_THAN: comparison.gt,
    Operator.GREATER_OR_EQUAL: comparison.ge,
    Operator.LESS_THAN: comparison.lt,
    Operator.LESS_OR_EQUAL: comparison.le,
}


def judged_number(value: object) -> float | None:
    """The number that a limit is compared with, or None for what no limit judges.

    Text, booleans, nothing, NaN, infinities and integers too large for a double are not judged.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def is_breached(limit: Limit, value: float) -> bool:
    """Whether the value lies on the wrong side of the threshold."""
    return _COMPARISONS[limit.operator](value, limit.threshold)


def is_clear(limit: Limit, value: float) -> bool:
    """Whether the value ends an open alert."""
    return not _COMPARISONS[limit.operator](value, limit.clear_threshold)


def advance(state: AlertState, limit: Limit, value: float, at: int, cooldown_ms: int) -> Step:
    """What a finite value at the moment `at` does to a rule for one device."""
    if state.breached_at is not None and at < state.breached_at:
        return Step(state)
    if state.phase is Phase.FIRING:
        return _advance_open(state, limit, value, at, cooldown_ms)
    return _advance_closed(state, limit, value, at, cooldown_ms)


def withdraw(state: AlertState) -> Step:
    """What happens when a rule no longer applies to a device: an open alert is resolved."""
    return Step(AlertState(noticed_at=state.noticed_at), resolved=state.phase is Phase.FIRING)


def _advance_closed(state: AlertState, limit: Limit, value: float, at: int, cooldown_ms: int) -> Step:
    if not is_breached(limit, value):
        return Step(AlertState(noticed_at=state.noticed_at))
    breached_at = at if state.breached_at is None else state.breached_at
    if at - breached_at < limit.hold_ms:
        return Step(AlertState(Phase.PENDING, breached_at, None, state.noticed_at))
    notice = _may_tell(state, at, cooldown_ms)
    noticed_at = at if notice else state.noticed_at
    return Step(AlertState(Phase.FIRING, breached_at, at, noticed_at), opened=True, notice=notice)


def _advance_open(state: AlertState, limit: Limit, value: float, at: int, cooldown_ms: int) -> Step:
    if is_clear(limit, value):
        return Step(AlertState(noticed_at=state.noticed_at), resolved=True)
    if _is_told(state) or not is_breached(limit, value) or not _may_tell(state, at, cooldown_ms):
        return Step(state)
    return Step(AlertState(Phase.FIRING, state.breached_at, state.opened_at, at), notice=True)


def _is_told(state: AlertState) -> bool:
    """Whether people were told of the alert that is open."""
    return state.noticed_at is not None and state.opened_at is not None and state.noticed_at >= state.opened_at


def _may_tell(state: AlertState, at: int, cooldown_ms: int) -> bool:
    return state.noticed_at is None or at - state.noticed_at >= cooldown_ms
