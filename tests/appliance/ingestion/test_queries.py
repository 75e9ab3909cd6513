import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.ingestion.model import Mishap, Problem
from appliance.ingestion.queries import insert_mishaps, select_problems, select_recent_problems
from appliance.ingestion.tally import Tally
from tests.appliance.alerts.examples import answer
from tests.appliance.store.tables import up_to_date

mishaps = st.lists(
    st.builds(
        Mishap,
        tenant_id=st.integers(1, 2),
        device_id=st.sampled_from(["", "pump", "valve"]),
        kind=st.sampled_from(["not_json", "clock_ahead"]),
        reason=st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
        at=st.integers(0, 10),
    ),
    max_size=20,
)


@pytest.fixture(name="connection")
def _connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        up_to_date(connection)
        yield connection


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mishaps, st.integers(0, 20))
def test_every_mishap_is_counted_whichever_batch_it_came_in(
    connection: sqlite3.Connection, noted: list[Mishap], border: int
) -> None:
    connection.execute("DELETE FROM problem")
    insert_mishaps(connection, noted[:border])
    tally = Tally()
    for mishap in noted[border:]:
        tally.note(mishap)
    insert_mishaps(connection, tally.mishaps())
    groups: dict[tuple[int, str, str], list[Mishap]] = defaultdict(list)
    for mishap in noted:
        groups[mishap.tenant_id, mishap.device_id, mishap.kind].append(mishap)
    for tenant_id in (1, 2):
        for device_id in ("", "pump", "valve"):
            found = answer(connection, select_problems(tenant_id, device_id))
            expected = [
                Problem(device_id, kind, same[-1].reason, len(same), same[0].at, same[-1].at)
                for (tenant, device, kind), same in groups.items()
                if (tenant, device) == (tenant_id, device_id)
            ]
            assert sorted(found, key=lambda each: each.kind) == sorted(expected, key=lambda each: each.kind)
            assert [each.last_at for each in found] == sorted((each.last_at for each in found), reverse=True)


def test_the_newest_problems_of_a_tenant_come_first_and_no_other_tenants(connection: sqlite3.Connection) -> None:
    insert_mishaps(
        connection,
        [
            Mishap(1, "pump", "not_json", "not JSON", 3),
            Mishap(2, "pump", "not_json", "not JSON", 4),
            Mishap(1, "", "refused", "unknown certificate", 5),
            Mishap(1, "valve", "not_json", "not JSON", 1),
        ],
    )
    assert [each.device_id for each in answer(connection, select_recent_problems(1, 10))] == ["", "pump", "valve"]
    assert [each.device_id for each in answer(connection, select_recent_problems(1, 1))] == [""]
    assert [each.last_at for each in answer(connection, select_recent_problems(2, 10))] == [4]
