"""Rules and readings as the tests of alerting make them."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import strategies as st

from appliance.alerts.book import Book, Cooldowns
from appliance.alerts.model import Limit, NewRule, Operator, Severity
from appliance.alerts.queries import insert_rule, select_rules, select_states
from appliance.store.database import Select
from tests.appliance.store.tables import up_to_date

T = TypeVar("T")

Steps = list[tuple[int, float]]
"""(gap, value) pairs, as Hypothesis makes them."""

COOLDOWNS = Cooldowns(high_ms=300, other_ms=900)


def limit(
    *,
    rule_id: int = 1,
    threshold: float = 60,
    clear_threshold: float | None = None,
    hold_ms: int = 0,
    severity: Severity = Severity.HIGH,
    operator: Operator = Operator.GREATER_THAN,
    zones: tuple[str, ...] = (),
) -> Limit:
    return Limit(
        rule_id=rule_id,
        tenant_id=1,
        name=f"rule {rule_id}",
        metric="pressure",
        operator=operator,
        threshold=threshold,
        clear_threshold=threshold if clear_threshold is None else clear_threshold,
        hold_ms=hold_ms,
        severity=severity,
        zones=zones,
        recipients=("maria@example.com",),
    )


def rule(name: str = "pressure high", **fields: Any) -> NewRule:
    asked: dict[str, Any] = {
        "metric": "pressure",
        "operator": "GREATER_THAN",
        "threshold": 60.0,
        "severity": "high",
        "recipients": ("maria@example.com",),
    }
    return NewRule(name=name, **(asked | fields))


# Values and gaps from small ranges, so that thresholds, holds and cooldowns are met often.
values = st.integers(0, 10).map(float)
gaps = st.integers(0, 6)
readings = st.lists(st.tuples(gaps, values), max_size=40)


def timed(steps: Sequence[tuple[int, float]], start: int = 1_000) -> list[tuple[int, float]]:
    """(gap, value) pairs as (moment, value) pairs."""
    at = start
    result = []
    for gap, value in steps:
        at += gap
        result.append((at, value))
    return result


def new_database(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    up_to_date(connection)
    return connection


def keep_rules(connection: sqlite3.Connection, rules: Sequence[NewRule]) -> None:
    for number, each in enumerate(rules):
        assert insert_rule(connection, 1, each, 0) == number + 1


def answer(connection: sqlite3.Connection, select: Select[T]) -> list[T]:
    return [select.into(*row) for row in connection.execute(select.sql, select.parameters)]


def loaded_book(connection: sqlite3.Connection, cooldowns: Cooldowns = COOLDOWNS) -> Book:
    book = Book(cooldowns)
    book.load(answer(connection, select_rules()), dict(answer(connection, select_states())))
    return book
