import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from appliance.policies import queries
from appliance.policies.document import TARGETS_LIMIT, read
from appliance.policies.model import InvalidPolicyError, Policy, UnknownPolicyError
from tests.appliance.store.tables import up_to_date

DOCUMENT = read({"statements": [{"effect": "allow", "actions": ["publish"], "resources": ["a"]}]})


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as opened:
        up_to_date(opened)
        opened.execute("INSERT INTO tenant (tenant_id, name, created_at) VALUES (2, 'other', 0)")
        yield opened


def names(connection: sqlite3.Connection) -> list[tuple[int, str]]:
    select = queries.select_all_policies()
    rows = [select.into(*row) for row in connection.execute(select.sql)]
    return [(row.tenant_id, row.name) for row in rows]


def test_tenants_have_policies_of_the_same_name(connection: sqlite3.Connection) -> None:
    for tenant_id in (1, 2):
        queries.upsert_policy(connection, tenant_id, Policy("p", DOCUMENT, ("pump",)), 0)
    assert names(connection) == [(1, "p"), (2, "p")]
    queries.delete_policy(connection, 2, "p")
    assert names(connection) == [(1, "p")]
    assert connection.execute("SELECT tenant_id, kind, name FROM policy_target").fetchall() == [(1, "type", "pump")]


def test_only_ones_own_policy_is_deleted(connection: sqlite3.Connection) -> None:
    queries.upsert_policy(connection, 1, Policy("p", DOCUMENT), 0)
    with pytest.raises(UnknownPolicyError):
        queries.delete_policy(connection, 2, "p")
    assert names(connection) == [(1, "p")]


def test_a_policy_concerns_one_more_device_once_and_not_too_many(connection: sqlite3.Connection) -> None:
    queries.upsert_policy(connection, 2, Policy("p", DOCUMENT), 0)
    with pytest.raises(UnknownPolicyError):
        queries.insert_target_device(connection, 1, "p", "pump-7")
    full = Policy("p", DOCUMENT, ("pump",), tuple(f"d{number}" for number in range(TARGETS_LIMIT - 2)))
    queries.upsert_policy(connection, 1, full, 0)
    for _ in range(2):
        queries.insert_target_device(connection, 1, "p", "pump-7")
    with pytest.raises(InvalidPolicyError, match="give it a type"):
        queries.insert_target_device(connection, 1, "p", "pump-8")
    sql = "SELECT COUNT(*) FROM policy_target WHERE tenant_id = ? AND name = 'pump-7'"
    assert [connection.execute(sql, (tenant_id,)).fetchone() for tenant_id in (1, 2)] == [(1,), (0,)]
