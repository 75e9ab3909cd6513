import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from appliance.ingestion.mapping import queries
from appliance.ingestion.mapping.model import (
    RULES_LIMIT,
    Change,
    KeptRule,
    TooManyMappingRulesError,
    UnknownMappingRuleError,
)
from tests.appliance.ingestion.mapping.examples import BY_FIELD, rule
from tests.appliance.store.tables import up_to_date

RULE = rule(device=BY_FIELD, metrics={"x": "a.b", "y": {"path": "c.0", "unit": "V"}}, timestamp_unit="us")


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as opened:
        up_to_date(opened)
        opened.execute("INSERT INTO tenant (tenant_id, name, created_at) VALUES (2, 'other', 0)")
        yield opened


def kept(connection: sqlite3.Connection) -> list[KeptRule]:
    select = queries.select_all_rules()
    return [select.into(*row) for row in connection.execute(select.sql)]


def test_a_rule_is_kept_as_it_is(connection: sqlite3.Connection) -> None:
    assert queries.upsert_rule(connection, 1, RULE, 5) == Change(None, RULE)
    assert kept(connection) == [KeptRule(1, RULE, 5)]
    changed = rule(topic="lab/+", value={"metric": {"from": "topic", "level": 2}, "kind": "text"})
    assert queries.upsert_rule(connection, 1, changed, 6) == Change(RULE, changed)
    assert kept(connection) == [KeptRule(1, changed, 6)]


def test_tenants_have_rules_of_the_same_name(connection: sqlite3.Connection) -> None:
    for tenant_id in (1, 2):
        queries.upsert_rule(connection, tenant_id, RULE, 0)
    assert queries.delete_rule(connection, 2, RULE.name) == Change(RULE, None)
    assert [each.tenant_id for each in kept(connection)] == [1]
    with pytest.raises(UnknownMappingRuleError):
        queries.delete_rule(connection, 2, RULE.name)


def test_there_are_only_so_many_and_each_can_still_be_changed(connection: sqlite3.Connection) -> None:
    for number in range(RULES_LIMIT):
        queries.upsert_rule(connection, 1, rule(f"r{number}"), 0)
    with pytest.raises(TooManyMappingRulesError, match="50 mapping rules"):
        queries.upsert_rule(connection, 1, rule("more"), 0)
    queries.upsert_rule(connection, 1, rule("r7", topic="lab/x"), 1)
    queries.upsert_rule(connection, 2, rule("more"), 0)
    assert len(kept(connection)) == RULES_LIMIT + 1
