"""What is known in memory: the rules in force and where each stands for each device.

Rules:
- A batch is judged on an overlay, which is merged after its commit: memory never runs ahead of the disk. Others are
  judged on overlays over that meanwhile.
- A merge is compare-and-set, as the commit is (`queries.save_changes`): what a person changed while
  the batch was on its way to the disk wins over the batch.
- A late reading (older than the newest one of its device and metric) moves no alert.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from appliance.alerts.model import AlertState, Change, Limit, Phase, Severity, Step
from appliance.alerts.transition import advance, judged_number, withdraw

_NORMAL = AlertState()
_NOTHING: frozenset[str] = frozenset()


class Cooldowns(msgspec.Struct, frozen=True):
    """Least time between two notices of one rule and device."""

    high_ms: int
    """For the severities high and critical."""
    other_ms: int

    def of(self, severity: Severity) -> int:
        """The cooldown of a severity, milliseconds."""
        return self.high_ms if severity in (Severity.HIGH, Severity.CRITICAL) else self.other_ms


class StateKey(NamedTuple):
    """Whose state it is. A tuple, because every judged reading makes one."""

    tenant_id: int
    rule_id: int
    device_id: str


class Book:
    """The rules in force and the states that are not the default."""

    def __init__(self, cooldowns: Cooldowns) -> None:
        self._cooldowns = cooldowns
        self._limits: dict[tuple[int, int], Limit] = {}
        self._in_force: dict[tuple[int, str], tuple[Limit, ...]] = {}
        self._watched: dict[int, frozenset[str]] = {}
        self._states: dict[StateKey, AlertState] = {}

    def load(self, limits: Iterable[Limit], states: Mapping[StateKey, AlertState]) -> None:
        """Forget everything and take what the database holds."""
        self._limits = {(limit.tenant_id, limit.rule_id): limit for limit in limits}
        self._states = {key: state for key, state in states.items() if state != _NORMAL}
        self._arrange()

    def put(self, limit: Limit) -> None:
        """Add a rule, or replace the one with its number. One that is disabled withdraws from its devices."""
        self._limits[limit.tenant_id, limit.rule_id] = limit
        self._arrange()
        if limit.enabled:
            return
        for key in [key for key in self._states if key[:2] == (limit.tenant_id, limit.rule_id)]:
            self._set(key, withdraw(self._states[key]).state)

    def rules(self, tenant_id: int) -> list[Limit]:
        """Every rule of a tenant, enabled or not, in the order they were made."""
        return sorted(
            (limit for limit in self._limits.values() if limit.tenant_id == tenant_id), key=lambda limit: limit.rule_id
        )

    def in_force(self, tenant_id: int, metric: str) -> tuple[Limit, ...]:
        """The enabled rules about a metric."""
        return self._in_force.get((tenant_id, metric), ())

    def watched(self, tenant_id: int) -> frozenset[str]:
        """The metrics that enabled rules are about."""
        return self._watched.get(tenant_id, _NOTHING)

    def state(self, key: StateKey) -> AlertState:
        """Where a rule stands for a device."""
        return self._states.get(key, _NORMAL)

    def states(self) -> dict[StateKey, AlertState]:
        """Every state that is not the default, as a copy."""
        return dict(self._states)

    def firing_count(self, tenant_id: int) -> int:
        """How many alerts of a tenant are open."""
        return sum(
            1 for key, state in self._states.items() if key.tenant_id == tenant_id and state.phase is Phase.FIRING
        )

    def cooldown_ms(self, limit: Limit) -> int:
        """Least time between two notices of this rule for one device."""
        return self._cooldowns.of(limit.severity)

    def overlay(self, earlier: Iterable["Overlay"] = ()) -> "Overlay":
        """A place where a batch is judged without changing this book.

        `earlier` are the overlays of the batches before it that are not merged yet, in their order.
        """
        return Overlay(self, earlier)

    def merge(self, overlay: "Overlay") -> None:
        """Take over what the batch changed, after its commit."""
        for change in overlay.changes():
            limit = change.limit
            key = StateKey(limit.tenant_id, limit.rule_id, change.device_id)
            if limit in self.in_force(limit.tenant_id, limit.metric) and self.state(key) == change.before:
                self._set(key, change.after)
        # Whoever is judged on it from now on sees this book, with what a person changes in it.
        overlay.states.clear()

    def _set(self, key: StateKey, state: AlertState) -> None:
        if state == _NORMAL:
            self._states.pop(key, None)
        else:
            self._states[key] = state

    def _arrange(self) -> None:
        in_force: dict[tuple[int, str], tuple[Limit, ...]] = {}
        for limit in self._limits.values():
            if limit.enabled:
                key = (limit.tenant_id, limit.metric)
                in_force[key] = (*in_force.get(key, ()), limit)
        self._in_force = in_force
        watched: dict[int, set[str]] = {}
        for tenant_id, metric in in_force:
            watched.setdefault(tenant_id, set()).add(metric)
        self._watched = {tenant_id: frozenset(metrics) for tenant_id, metrics in watched.items()}


class Overlay:
    """A batch's own view: the book beneath, what earlier batches changed, and what this one has changed so far."""

    def __init__(self, book: Book, earlier: Iterable["Overlay"] = ()) -> None:
        """Judge on a book, and on what the batches before changed that is not in it yet, in their order."""
        self._book = book
        self.states: dict[StateKey, AlertState] = {}
        """Those that it changed; none once it is merged."""
        self._beneath = [one.states for one in earlier][::-1]
        self._changes: list[Change] = []

    def judge(
        self, tenant_id: int, device_id: str, zone: str, metric: str, value: object, at: int, *, late: bool
    ) -> None:
        """Let every rule about a metric see a reading; what comes of it is in `changes`.

        `at` is the moment the reading was filed under, milliseconds. `late` says that it is older
        than the newest one of its device and metric.
        """
        limits = self._book.in_force(tenant_id, metric)
        if not limits or late:
            return
        number = judged_number(value)
        if number is None:
            return
        for limit in limits:
            key = StateKey(tenant_id, limit.rule_id, device_id)
            before = self._state(key)
            if limit.zones and zone not in limit.zones:
                step = withdraw(before)
            else:
                step = advance(before, limit, number, at, self._book.cooldown_ms(limit))
            if step.state != before or step.opened:
                self._record(key, limit, before, step, (number, at))

    def changes(self) -> list[Change]:
        """Everything the batch has changed, in the order it happened."""
        return list(self._changes)

    def _state(self, key: StateKey) -> AlertState:
        for states in (self.states, *self._beneath):
            if (state := states.get(key)) is not None:
                return state
        return self._book.state(key)

    def _record(self, key: StateKey, limit: Limit, before: AlertState, step: Step, reading: tuple[float, int]) -> None:
        self.states[key] = step.state
        value, at = reading
        self._changes.append(
            Change(
                limit=limit,
                device_id=key.device_id,
                before=before,
                after=step.state,
                opened=step.opened,
                resolved=step.resolved,
                notice=step.notice,
                value=value,
                at=at,
            )
        )
