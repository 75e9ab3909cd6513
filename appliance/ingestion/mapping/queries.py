"""SQL of mapping rules."""

import sqlite3
from collections.abc import Callable

import msgspec

from appliance.ingestion.mapping.model import (
    RULES_LIMIT,
    Change,
    Document,
    KeptRule,
    MappingRule,
    TooManyMappingRulesError,
    UnknownMappingRuleError,
)
from appliance.store.database import Select

Changing = Callable[..., Change]
"""A transaction that changes a mapping rule."""


def select_all_rules() -> Select[KeptRule]:
    """Every mapping rule of every tenant."""
    sql = "SELECT tenant_id, name, document, changed_at FROM mapping_rule ORDER BY tenant_id, name"
    return Select(sql, (), _kept)


def upsert_rule(connection: sqlite3.Connection, tenant_id: int, rule: MappingRule, now: int) -> Change:
    """Keep a rule, in place of the one of the same name. Raises `TooManyMappingRulesError`."""
    before = _find(connection, tenant_id, rule.name)
    sql = "SELECT COUNT(*) FROM mapping_rule WHERE tenant_id = ?"
    [(count,)] = connection.execute(sql, (tenant_id,)).fetchall()
    if before is None and count >= RULES_LIMIT:
        raise TooManyMappingRulesError(f"there are {count} mapping rules, and no more are kept: remove one first")
    connection.execute(
        """
        INSERT INTO mapping_rule (tenant_id, name, document, changed_at) VALUES (?, ?, ?, ?)
        ON CONFLICT (tenant_id, name) DO UPDATE SET document = excluded.document, changed_at = excluded.changed_at
        """,
        (tenant_id, rule.name, msgspec.json.encode(rule.document).decode(), now),
    )
    return Change(before, rule)


def delete_rule(connection: sqlite3.Connection, tenant_id: int, name: str) -> Change:
    """Remove a rule. Raises `UnknownMappingRuleError`."""
    before = _find(connection, tenant_id, name)
    if before is None:
        raise UnknownMappingRuleError(f"there is no mapping rule {name[:140]!r}")
    connection.execute("DELETE FROM mapping_rule WHERE tenant_id = ? AND name = ?", (tenant_id, name))
    return Change(before, None)


def _find(connection: sqlite3.Connection, tenant_id: int, name: str) -> MappingRule | None:
    sql = "SELECT document FROM mapping_rule WHERE tenant_id = ? AND name = ?"
    rows = connection.execute(sql, (tenant_id, name)).fetchall()
    return MappingRule(name, _document(rows[0][0])) if rows else None


def _kept(tenant_id: int, name: str, document: str, changed_at: int) -> KeptRule:
    return KeptRule(tenant_id, MappingRule(name, _document(document)), changed_at)


def _document(text: str) -> Document:
    return msgspec.json.decode(text, type=Document)
