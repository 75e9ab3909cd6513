"""What policies ask of gateway.db, and what they write there."""

import sqlite3
from collections.abc import Callable

import msgspec

from appliance.policies.document import TARGETS_LIMIT
from appliance.policies.model import (
    Change,
    Document,
    InvalidPolicyError,
    Policy,
    Statement,
    UnknownPolicyError,
)
from appliance.store.database import Select


class StoredPolicy(msgspec.Struct, frozen=True):
    """A row of a policy, without its targets."""

    tenant_id: int
    name: str
    document: Document
    changed_at: int


class StoredTarget(msgspec.Struct, frozen=True):
    """Whom a policy concerns: one device type, or one device."""

    tenant_id: int
    policy: str
    kind: str
    name: str


def select_all_policies() -> Select[StoredPolicy]:
    """Every policy of every tenant."""
    sql = "SELECT tenant_id, name, replaces_default, statements, changed_at FROM policy ORDER BY tenant_id, name"
    return Select(sql, (), _policy)


def select_all_targets() -> Select[StoredTarget]:
    """Whom the policies of every tenant concern, in the order it was written."""
    sql = """
        SELECT policy.tenant_id, policy.name, policy_target.kind, policy_target.name
        FROM policy_target JOIN policy USING (tenant_id, policy_id)
        ORDER BY policy_target_id
    """
    return Select(sql, (), StoredTarget)


Changing = Callable[..., Change]
"""A transaction that changes a policy."""


def upsert_policy(connection: sqlite3.Connection, tenant_id: int, policy: Policy, now: int) -> Change:
    """Keep a policy, in place of the one of the same name if there is one."""
    before = _find(connection, tenant_id, policy.name)
    sql = """
        INSERT INTO policy (tenant_id, name, replaces_default, statements, changed_at)
        VALUES (?, ?, ?, ?, ?)
        ON CONFLICT (tenant_id, name) DO UPDATE SET
            replaces_default = excluded.replaces_default,
            statements = excluded.statements,
            changed_at = excluded.changed_at
        RETURNING policy_id
    """
    statements = msgspec.json.encode(policy.document.statements).decode()
    values = (tenant_id, policy.name, int(policy.document.replaces_default), statements, now)
    [(policy_id,)] = connection.execute(sql, values).fetchall()
    _delete_targets(connection, tenant_id, policy_id)
    targets = [("type", name) for name in policy.types] + [("device", name) for name in policy.devices]
    connection.executemany(
        "INSERT INTO policy_target (tenant_id, policy_id, kind, name) VALUES (?, ?, ?, ?)",
        [(tenant_id, policy_id, kind, name) for kind, name in targets],
    )
    return Change(before, policy)


def insert_target_device(connection: sqlite3.Connection, tenant_id: int, name: str, device_id: str) -> None:
    """Have a policy concern one more device. Raises `UnknownPolicyError`, `InvalidPolicyError` when it has too many."""
    sql = """
        SELECT policy_id, (SELECT COUNT(*) FROM policy_target WHERE policy_target.policy_id = policy.policy_id
            AND policy_target.tenant_id = policy.tenant_id AND NOT (kind = 'device' AND policy_target.name = ?))
        FROM policy WHERE tenant_id = ? AND name = ?
    """
    rows = connection.execute(sql, (device_id, tenant_id, name)).fetchall()
    if not rows:
        raise UnknownPolicyError(f"there is no policy {name[:140]!r}")
    policy_id, target_count = rows[0]
    if target_count >= TARGETS_LIMIT:
        raise InvalidPolicyError(f"the policy {name!r} concerns {TARGETS_LIMIT:,} devices by name: give it a type")
    sql = """
        INSERT INTO policy_target (tenant_id, policy_id, kind, name) VALUES (?, ?, 'device', ?) ON CONFLICT DO NOTHING
    """
    connection.execute(sql, (tenant_id, policy_id, device_id))


def delete_policy(connection: sqlite3.Connection, tenant_id: int, name: str) -> Change:
    """Remove a policy and its targets. Raises `UnknownPolicyError`."""
    before = _find(connection, tenant_id, name)
    sql = "SELECT policy_id FROM policy WHERE tenant_id = ? AND name = ?"
    rows = connection.execute(sql, (tenant_id, name)).fetchall()
    if not rows:
        raise UnknownPolicyError(f"there is no policy {name[:140]!r}")
    _delete_targets(connection, tenant_id, rows[0][0])
    connection.execute("DELETE FROM policy WHERE tenant_id = ? AND policy_id = ?", (tenant_id, rows[0][0]))
    return Change(before, None)


def _find(connection: sqlite3.Connection, tenant_id: int, name: str) -> Policy | None:
    sql = "SELECT policy_id, replaces_default, statements FROM policy WHERE tenant_id = ? AND name = ?"
    rows = connection.execute(sql, (tenant_id, name)).fetchall()
    if not rows:
        return None
    policy_id, replaces_default, statements = rows[0]
    sql = "SELECT kind, name FROM policy_target WHERE tenant_id = ? AND policy_id = ? ORDER BY policy_target_id"
    targets = connection.execute(sql, (tenant_id, policy_id)).fetchall()
    types, devices = (tuple(found for kind, found in targets if kind == wanted) for wanted in ("type", "device"))
    return Policy(name, _document(replaces_default, statements), types, devices)


def _delete_targets(connection: sqlite3.Connection, tenant_id: int, policy_id: int) -> None:
    connection.execute("DELETE FROM policy_target WHERE tenant_id = ? AND policy_id = ?", (tenant_id, policy_id))


def _policy(tenant_id: int, name: str, replaces_default: int, statements: str, changed_at: int) -> StoredPolicy:
    return StoredPolicy(tenant_id, name, _document(replaces_default, statements), changed_at)


def _document(replaces_default: int, statements: str) -> Document:
    return Document(msgspec.json.decode(statements, type=tuple[Statement, ...]), bool(replaces_default))
