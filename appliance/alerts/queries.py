"""SQL of alerting: rules, states and alerts."""

import sqlite3
from collections.abc import Sequence

import msgspec

from appliance.alerts.book import StateKey
from appliance.alerts.check import RuleExistsError
from appliance.alerts.model import (
    Alert,
    AlertEvent,
    AlertState,
    Change,
    Limit,
    NewRule,
    Phase,
)
from appliance.store.database import Select

_RULE = """
SELECT rule_id, tenant_id, name, metric, operator, threshold, clear_threshold, hold_ms, severity, zones, recipients,
       enabled
FROM alert_rule
"""

_ALERT = """
SELECT alert.alert_id, alert.tenant_id, alert.rule_id, alert.device_id, alert.breached_at, alert.opened_at,
       alert.opened_value, alert.resolved_at, alert.acknowledged_at, alert.acknowledged_by,
       rule.name, rule.metric, rule.operator, rule.threshold, rule.severity
FROM alert JOIN alert_rule AS rule ON rule.tenant_id = alert.tenant_id AND rule.rule_id = alert.rule_id
"""

_OF_STATE = {
    "all": "",
    "firing": "AND alert.resolved_at IS NULL",
    "acknowledged": "AND alert.resolved_at IS NULL AND alert.acknowledged_at IS NOT NULL",
    "resolved": "AND alert.resolved_at IS NOT NULL",
}
ALERT_STATES = tuple(_OF_STATE)
"""What alerts can be asked for by. An alert that is acknowledged and not resolved is still firing."""


def insert_rule(connection: sqlite3.Connection, tenant_id: int, rule: NewRule, now: int) -> int:
    """Keep a rule that was checked, and give its number.

    Raises `RuleExistsError` when the tenant has a rule of that name.
    """
    taken = connection.execute(
        "SELECT 1 FROM alert_rule WHERE tenant_id = ? AND name = ?", (tenant_id, rule.name)
    ).fetchone()
    if taken:
        raise RuleExistsError(f"there is already a rule named {rule.name!r}, choose another name")
    cursor = connection.execute(
        """
        INSERT INTO alert_rule (tenant_id, name, metric, operator, threshold, clear_threshold, hold_ms, severity,
                                zones, recipients, enabled, created_at)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?)
        """,
        (
            tenant_id,
            rule.name,
            rule.metric,
            str(rule.operator),
            rule.threshold,
            rule.clear_threshold,
            rule.hold_ms,
            str(rule.severity),
            msgspec.json.encode(rule.zones).decode(),
            msgspec.json.encode(rule.recipients).decode(),
            now,
        ),
    )
    return int(cursor.lastrowid or 0)


def select_rules() -> Select[Limit]:
    """Every rule of every tenant; each names its `tenant_id`."""
    return Select(f"{_RULE} ORDER BY tenant_id, rule_id", (), _limit)


def select_states() -> Select[tuple[StateKey, AlertState]]:
    """Where every rule of every tenant stands; each names its `tenant_id`."""
    return Select(
        "SELECT tenant_id, rule_id, device_id, phase, breached_at, opened_at, noticed_at FROM alert_state",
        (),
        _state,
    )


def select_alerts(tenant_id: int, state: str, limit: int) -> Select[Alert]:
    """The newest alerts of a tenant that are in one of `ALERT_STATES`."""
    return Select(
        f"{_ALERT} WHERE alert.tenant_id = ? {_OF_STATE[state]} ORDER BY alert.alert_id DESC LIMIT ?",
        (tenant_id, limit),
        _alert,
    )


def select_alert(tenant_id: int, alert_id: int) -> Select[Alert]:
    """One alert, or none."""
    return Select(f"{_ALERT} WHERE alert.tenant_id = ? AND alert.alert_id = ?", (tenant_id, alert_id), _alert)


def update_acknowledged(connection: sqlite3.Connection, tenant_id: int, alert_id: int, by: str, now: int) -> None:
    """Note who saw an alert first; a second time changes nothing."""
    connection.execute(
        """
        UPDATE alert SET acknowledged_at = ?, acknowledged_by = ?
        WHERE tenant_id = ? AND alert_id = ? AND acknowledged_at IS NULL
        """,
        (now, by, tenant_id, alert_id),
    )


def update_enabled(connection: sqlite3.Connection, tenant_id: int, rule_id: int, now: int, *, enabled: bool) -> None:
    """Switch a rule on or off. Off: its open alerts are resolved now, and what was pending is forgotten.

    The moment of the last notice stays, so that switching off and on does not get round the cooldown.
    """
    connection.execute(
        "UPDATE alert_rule SET enabled = ? WHERE tenant_id = ? AND rule_id = ?", (int(enabled), tenant_id, rule_id)
    )
    if enabled:
        return
    connection.execute(
        "UPDATE alert SET resolved_at = ? WHERE tenant_id = ? AND rule_id = ? AND resolved_at IS NULL",
        (now, tenant_id, rule_id),
    )
    connection.execute(
        """
        UPDATE alert_state SET phase = 'normal', breached_at = NULL, opened_at = NULL
        WHERE tenant_id = ? AND rule_id = ?
        """,
        (tenant_id, rule_id),
    )
    connection.execute(
        "DELETE FROM alert_state WHERE tenant_id = ? AND rule_id = ? AND noticed_at IS NULL", (tenant_id, rule_id)
    )


def save_changes(connection: sqlite3.Connection, changes: Sequence[Change]) -> list[AlertEvent]:
    """Write what a batch changed; gives those changes that concern an alert, with the alert as it is now.

    Runs inside the transaction of the batch. Compare-and-set: a change is left out, with all that
    followed from it, when its rule is no longer in force or the state on disk is not the one that it
    started from, because a person changed it after the batch was judged.
    """
    events = []
    for change in changes:
        if not _is_current(connection, change):
            continue
        _save_state(connection, change)
        if change.opened:
            _insert_alert(connection, change)
        if not (change.opened or change.resolved or change.notice):
            continue
        alert = _open_alert(connection, change)
        if change.resolved:
            _update_resolved(connection, alert, change.at)
            alert = msgspec.structs.replace(alert, resolved_at=change.at)
        events.append(AlertEvent(change, alert))
    return events


def _is_current(connection: sqlite3.Connection, change: Change) -> bool:
    limit = change.limit
    in_force = connection.execute(
        "SELECT 1 FROM alert_rule WHERE tenant_id = ? AND rule_id = ? AND enabled = 1",
        (limit.tenant_id, limit.rule_id),
    ).fetchone()
    row = connection.execute(
        """
        SELECT tenant_id, rule_id, device_id, phase, breached_at, opened_at, noticed_at FROM alert_state
        WHERE tenant_id = ? AND rule_id = ? AND device_id = ?
        """,
        (limit.tenant_id, limit.rule_id, change.device_id),
    ).fetchone()
    before = AlertState() if row is None else _state(*row)[1]
    return in_force is not None and before == change.before


def _save_state(connection: sqlite3.Connection, change: Change) -> None:
    limit, state = change.limit, change.after
    if state == AlertState():
        connection.execute(
            "DELETE FROM alert_state WHERE tenant_id = ? AND rule_id = ? AND device_id = ?",
            (limit.tenant_id, limit.rule_id, change.device_id),
        )
        return
    connection.execute(
        """
        INSERT OR REPLACE INTO alert_state (tenant_id, rule_id, device_id, phase, breached_at, opened_at, noticed_at)
        VALUES (?, ?, ?, ?, ?, ?, ?)
        """,
        (
            limit.tenant_id,
            limit.rule_id,
            change.device_id,
            str(state.phase),
            state.breached_at,
            state.opened_at,
            state.noticed_at,
        ),
    )


def _insert_alert(connection: sqlite3.Connection, change: Change) -> None:
    limit, state = change.limit, change.after
    connection.execute(
        """
        INSERT INTO alert (tenant_id, rule_id, device_id, breached_at, opened_at, opened_value)
        VALUES (?, ?, ?, ?, ?, ?)
        """,
        (limit.tenant_id, limit.rule_id, change.device_id, state.breached_at, state.opened_at, change.value),
    )


def _open_alert(connection: sqlite3.Connection, change: Change) -> Alert:
    row = connection.execute(
        f"""
        {_ALERT} WHERE alert.tenant_id = ? AND alert.rule_id = ? AND alert.device_id = ?
        AND alert.resolved_at IS NULL
        """,
        (change.limit.tenant_id, change.limit.rule_id, change.device_id),
    ).fetchone()
    return _alert(*row)


def _update_resolved(connection: sqlite3.Connection, alert: Alert, at: int) -> None:
    connection.execute(
        "UPDATE alert SET resolved_at = ? WHERE tenant_id = ? AND alert_id = ?", (at, alert.tenant_id, alert.alert_id)
    )


def _limit(*row: object) -> Limit:
    fields = dict(zip(Limit.__struct_fields__, row, strict=True))
    for key in ("zones", "recipients"):
        fields[key] = msgspec.json.decode(str(fields[key]))
    return msgspec.convert(fields, Limit, strict=False)


def _state(
    tenant_id: int,
    rule_id: int,
    device_id: str,
    phase: str,
    breached_at: int | None,
    opened_at: int | None,
    noticed_at: int | None,
) -> tuple[StateKey, AlertState]:
    return StateKey(tenant_id, rule_id, device_id), AlertState(Phase(phase), breached_at, opened_at, noticed_at)


def _alert(*row: object) -> Alert:
    return msgspec.convert(dict(zip(Alert.__struct_fields__, row, strict=True)), Alert)
