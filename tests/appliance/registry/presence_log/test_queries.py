"""Connection events on disk."""

from pathlib import Path

import pytest

from appliance.registry import queries as registry_queries
from appliance.registry.model import DEFAULT_TENANT, NewDevice
from appliance.registry.presence_log import queries
from appliance.registry.presence_log.model import HISTORY_LENGTH, ConnectionEvent, EventKind, NewEvent
from appliance.store.database import Database

NOW = 1_000_000
CONNECTED, DISCONNECTED, REFUSED = EventKind


@pytest.fixture
async def pump(database: Database) -> int:
    """The number of a device; there is another one."""
    numbers = [
        (await database.write(registry_queries.insert_device, DEFAULT_TENANT, NewDevice(name), NOW)).device_number
        for name in ("pump", "valve")
    ]
    return numbers[0]


def event(number: int, kind: EventKind, at: int = NOW, reason: str = "", version: int = 0) -> NewEvent:
    return NewEvent(DEFAULT_TENANT, number, kind, at, "pump", "192.0.2.7:1", reason, version)


async def kept(database: Database, device_id: str = "pump") -> list[ConnectionEvent]:
    return await database.read(queries.select_events(DEFAULT_TENANT, device_id, 2**62, 5_000))


async def test_events_come_back_newest_first_and_page_by_page(database: Database, pump: int) -> None:
    await database.write(queries.insert_events, [event(pump, CONNECTED, 1), event(pump, DISCONNECTED, 2, "bye")])
    newest, oldest = await kept(database)
    assert (newest.kind, newest.at, newest.reason, newest.occurrence_count) == (DISCONNECTED, 2, "bye", 1)
    page = await database.read(queries.select_events(DEFAULT_TENANT, "pump", newest.event_number, 10))
    assert page == [oldest]
    assert await database.read(queries.select_events(2, "pump", 2**62, 10)) == []
    assert await kept(database, "valve") == []


async def test_a_refusal_that_comes_again_is_counted(database: Database, pump: int) -> None:
    knocks = [event(pump, REFUSED, at, "revoked") for at in (1, 2, 3)]
    await database.write(queries.insert_events, [*knocks, event(pump, REFUSED, 4, "expired")])
    other, same = await kept(database)
    assert (same.at, same.last_at, same.occurrence_count) == (1, 3, 3)
    assert (other.reason, other.occurrence_count) == ("expired", 1)


async def test_the_oldest_make_room_for_the_newest(database: Database, pump: int) -> None:
    for start in range(0, HISTORY_LENGTH + 20, 170):
        await database.write(queries.insert_events, [event(pump, CONNECTED, at) for at in range(start, start + 170)])
    events = await kept(database)
    assert len(events) == HISTORY_LENGTH
    assert events[0].at - events[-1].at == HISTORY_LENGTH - 1


async def test_the_last_beginning_or_end_outlives_its_age(database: Database, pump: int) -> None:
    await database.write(
        queries.insert_events,
        [event(pump, CONNECTED, 1), event(pump, DISCONNECTED, 2, "lost", version=3), event(pump, REFUSED, 3, "no")],
    )
    await database.write(queries.insert_events, [event(pump + 1, CONNECTED, NOW)])
    assert await database.write(queries.delete_older, 100) == 1
    assert [each.kind for each in await kept(database)] == [REFUSED, DISCONNECTED]
    last = {each.device_id: each for each in await database.read(queries.select_last_events())}
    assert (last["pump"].kind, last["pump"].reason, last["pump"].version) == (DISCONNECTED, "lost", 3)
    assert last["valve"].kind is CONNECTED


async def test_a_device_that_never_connected_has_no_last_event(database: Database, pump: int, tmp_path: Path) -> None:
    await database.write(queries.insert_events, [event(pump, REFUSED)])
    assert await database.read(queries.select_last_events()) == []
