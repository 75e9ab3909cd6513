"""Evidence of many commands in one transaction."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from sqlite3 import Connection

import pytest

from appliance.commands import queries
from appliance.commands.delivery.flight import Evidence, Key
from appliance.commands.delivery.settling.service import settle
from appliance.commands.model import Command, State
from appliance.store.database import connect_writer
from tests.appliance.commands.examples import NOW, command
from tests.appliance.store.tables import up_to_date


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    made = connect_writer(tmp_path / "gateway.db", page_bytes=4096, cache_kb=1_000, synchronous="OFF")
    with closing(made):
        up_to_date(made)
        yield made


def heard(one: Command, attempt: int = 1, **fields: object) -> tuple[Key, Evidence]:
    evidence = Evidence()
    for name, value in fields.items():
        setattr(evidence, name, value)
    return Key(one.tenant_id, one.device_id, one.command_number, attempt), evidence


def test_what_is_on_disk_is_what_was_told(connection: Connection) -> None:
    made = [
        command(command_number=number, execution_id=f"e{number}", offered_at=NOW, may_repeat=True)
        for number in range(1, 5)
    ]
    queries.insert_commands(connection, None, None, "d", made)
    written, released, lost, unknown = made
    changes = settle(
        connection,
        [
            heard(written, sent_at=NOW + 1, acknowledged_at=NOW + 2),
            heard(released, is_released=True, not_before=NOW + 9),
            heard(lost, sent_at=NOW + 1, is_unconfirmed=True),
            heard(unknown, attempt=2, sent_at=NOW + 1),
            heard(command(command_number=99), sent_at=NOW),
        ],
        NOW,
    )
    after = queries.by_numbers(connection, 1, [1, 2, 3, 4])
    assert [after[one.command_number] for _, one in changes] == [one for _, one in changes]
    assert [after[number].state for number in (1, 2, 3, 4)] == [
        State.ACKNOWLEDGED,
        State.QUEUED,
        State.SENT,
        State.QUEUED,
    ]
    assert (after[2].offered_at, after[2].not_before, after[3].offered_at) == (None, NOW + 9, None)
    assert after[3].is_repeated
    assert after[4] == unknown
