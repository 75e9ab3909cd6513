"""Days are written anew only where there is room, broken off at once on a stop, and wiped while others are read."""

import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.config import TelemetryConfig
from appliance.store.database import UnwritableError
from appliance.telemetry import queries as day_queries
from appliance.telemetry.keeping import files, queries, sealed_day
from appliance.telemetry.keeping.layout import PAGE_BYTES
from appliance.telemetry.keeping.model import CrowdedError, StoppedError
from appliance.telemetry.keeping.resealing import Parts, kept_devices
from appliance.telemetry.keeping.writing.service import Writing, noted, require_none
from appliance.telemetry.packing import ChunkError
from tests.appliance.telemetry.keeping.days import kept, sealed
from tests.appliance.telemetry.keeping.open_days import put, writing
from tests.appliance.telemetry.reports import DAY, NOON, report
from tests.appliance.telemetry.test_service import Gateway


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with Gateway(tmp_path).running() as running:
        yield running


@pytest.fixture
def writer(gateway: Gateway) -> Writing:
    return Writing(gateway.telemetry, TelemetryConfig(reserve_mb=0))


@settings(max_examples=25, deadline=None)
@given(
    st.dictionaries(st.text("abcdef", min_size=1, max_size=40), st.integers(1, 12), max_size=30),
    st.integers(0, 30),
    st.integers(0, 2**32),
)
def test_a_day_never_takes_more_than_its_parts_did(
    tmp_path_factory: pytest.TempPathFactory, written: dict[str, int], sealed_count: int, seed: int
) -> None:
    folder = tmp_path_factory.mktemp("days")
    path = folder / "2026-01-31.db"
    chance = random.Random(seed)  # noqa: S311  nothing is secret here
    with writing(path) as connection:
        for name, count in written.items():
            put(connection, name, sorted(chance.sample(range(1_000), count)))
    earlier = [kept([report(f"s{n}", values={"x": chance.random()})]) for n in range(sealed_count)]
    target = sealed(folder, earlier)
    with queries.opened_day(path) as part, sealed_day.opened(target) as before:
        before_bytes = files.length(path)
        devices = kept_devices(Parts(part, before), {}, sealed_day.at_once)
        unfinished = sealed_day.write(target, DAY, 1, devices).unfinished
    assert unfinished.stat().st_size <= before_bytes


async def test_a_failure_and_a_stop_leave_nothing_unfinished(gateway: Gateway, writer: Writing) -> None:
    await gateway.take(report())
    await gateway.telemetry.seal_all()
    writer.is_stopping = True
    with pytest.raises(StoppedError):
        await writer.write_anew(DAY, {})
    folder = gateway.folder / "days"
    assert list(folder.glob("*.tmp")) == []
    assert list(folder.glob("*.sealed")) == []
    writer.is_stopping = False
    await writer.write_anew(DAY, {})
    assert [path.name for path in folder.iterdir()] == ["2026-01-31.sealed"]
    writer.is_stopping = True
    with pytest.raises(StoppedError):
        await writer.check(DAY)
    assert writer.checked == set()


async def test_a_sealed_part_is_written_anew_while_the_open_one_takes_what_comes(
    gateway: Gateway, writer: Writing
) -> None:
    await gateway.take(report("a"), report("b"))
    await gateway.telemetry.seal_all()
    await writer.write_anew(DAY, {})
    await gateway.take(report("a", NOON + 1))
    await gateway.telemetry.seal_all()
    await writer.write_sealed(DAY, {(1, "a"): 1})
    assert await gateway.stored("a") == [(NOON + 1, 45.2)]
    assert await gateway.stored("b") == [(NOON, 45.2)]
    assert sorted(path.name for path in (gateway.folder / "days").glob("*.db")) == ["2026-01-31.db"]


async def test_an_open_part_without_devices_is_removed_and_any_other_stays(gateway: Gateway, writer: Writing) -> None:
    await gateway.take(report())
    await gateway.telemetry.seal_all()
    await writer.wipe(DAY)
    assert await gateway.stored() == [(NOON, 45.2)]
    await gateway.telemetry.changed(DAY, lambda connection: connection.execute("DELETE FROM device") and None)
    await writer.wipe(DAY)
    assert list((gateway.folder / "days").iterdir()) == []
    await gateway.take(report(at=NOON + 1))
    await gateway.telemetry.seal_all()
    assert day_queries.has_day(gateway.telemetry.day_files.path(DAY))


async def test_a_sealed_day_with_a_lost_entry_is_saved_without_it(gateway: Gateway, writer: Writing) -> None:
    await gateway.take(*[report(f"s-{number:03}") for number in range(200)])
    await gateway.telemetry.seal_all()
    await writer.write_anew(DAY, {})
    path = gateway.folder / "days" / "2026-01-31.sealed"
    with sealed_day.opened(path) as day:
        places = [place + day.index.places[3] for place in day.head.foot_places]
        lost = list(day.entries())[3].device_id
    content = bytearray(path.read_bytes())
    for place in places:
        content[place] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ChunkError, match="entry 3 of the directory"):
        await writer.write_anew(DAY, {})
    await writer.save(DAY, {})
    with sealed_day.opened(path) as day:
        assert {entry.device_id for entry in day.entries()} == {f"s-{number:03}" for number in range(200)} - {lost}
    assert (path.parent / "2026-01-31.sealed.damaged-1").stat().st_size % PAGE_BYTES == 0
    assert any("kept as 2026-01-31.sealed.damaged-1" in each for each in gateway.telemetry.day_files.damages)


async def test_a_disk_that_gets_full_meanwhile_breaks_it_off(gateway: Gateway) -> None:
    await gateway.take(report())
    await gateway.telemetry.seal_all()
    path = gateway.telemetry.day_files.path(DAY)
    writer = Writing(gateway.telemetry, TelemetryConfig(reserve_mb=files.free_bytes(path.parent) * 8 // 1_000_000))
    with pytest.raises(UnwritableError, match="2026-01-31 is not sealed: the disk got full meanwhile"):
        writer._breather(path)()
    writer._breather(None)()


def test_what_one_day_fails_at_is_told_with_that_of_every_other() -> None:
    troubles: list[Exception] = []
    for error in (ChunkError("a was damaged"), CrowdedError("b was put off"), ChunkError("a was damaged")):
        with noted(troubles):
            raise error
    with pytest.raises(ChunkError, match=r"^a was damaged; b was put off$"):
        require_none(troubles)
    with noted(troubles):
        raise OSError("no room")
    with pytest.raises(UnwritableError, match="a was damaged; b was put off; no room"):
        require_none(troubles)
    with pytest.raises(StoppedError), noted(troubles):
        raise StoppedError
    require_none([])
