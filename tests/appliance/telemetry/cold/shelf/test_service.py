"""Whatever stops it, there is the old file or the new one, and what is known of it is true."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from appliance.telemetry.cold import queries
from appliance.telemetry.cold.model import ColdError
from appliance.telemetry.cold.shelf import files
from tests.appliance.telemetry.cold.rig import ColdGateway, needs_pyarrow
from tests.appliance.telemetry.reports import DAY, NOON, report

pytestmark = needs_pyarrow
FOREVER = (0, 1 << 60)


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[ColdGateway]:
    async with ColdGateway(tmp_path).running() as running:
        await running.take(report("a"), report("b"))
        await running.seal()
        await running.well()
        yield running


async def test_a_stop_between_the_file_and_what_is_known_of_it_is_made_up_for(gateway: ColdGateway) -> None:
    before = gateway.cold._shelf.known[DAY]
    await gateway.take(report("c"))
    await gateway.seal()
    await gateway.well()
    after = gateway.cold._shelf.known[DAY]
    assert after.reading_count == before.reading_count + 2
    # The file took its place, and then the process ended.
    await gateway.database.write(queries.put_day, before)
    await gateway.cold._shelf.load()
    found = gateway.cold._shelf.known[DAY]
    assert (found.sha256, found.source, found.reading_count) == (after.sha256, after.source, after.reading_count)


async def test_a_file_of_which_nothing_is_known_is_taken_as_it_is(gateway: ColdGateway) -> None:
    before = gateway.cold._shelf.known[DAY]
    await gateway.cold._shelf.forget(DAY)
    await gateway.cold._shelf.load()
    found = gateway.cold._shelf.known[DAY]
    assert (found.sha256, found.source, found.erasure_number) == (before.sha256, before.source, before.erasure_number)


async def test_a_file_that_somebody_removed_is_written_again(gateway: ColdGateway) -> None:
    files.remove(gateway.file())
    await gateway.cold._shelf.load()
    await gateway.well()
    assert gateway.file().exists()


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 5, 8])
async def test_a_writing_that_is_broken_off_leaves_the_old_file(gateway: ColdGateway, steps: int) -> None:
    content = gateway.file().read_bytes()
    await gateway.take(report("c"))
    await gateway.seal()
    shelf = gateway.cold._shelf
    source = shelf.source(DAY)
    assert source is not None
    writing = asyncio.create_task(shelf.export(DAY, source, ()))
    for _ in range(steps):
        await asyncio.sleep(0.02)
    writing.cancel()
    await asyncio.wait([writing])
    # It may have been quick enough: then there is the new one.
    assert gateway.file().read_bytes() == content or shelf.known[DAY].source == source
    assert [path.name for path in gateway.file().parent.iterdir()] == ["part.parquet"]
    await gateway.well()
    assert shelf.known[DAY].source == source


async def test_a_file_that_was_damaged_is_named_and_never_answered_from(gateway: ColdGateway) -> None:
    await gateway.drop()
    content = bytearray(gateway.file().read_bytes())
    content[-20] ^= 1
    gateway.file().write_bytes(content)
    with pytest.raises(ColdError, match="was damaged"):
        await gateway.cold._shelf.parts((1, "a"), DAY, FOREVER)
    assert await gateway.cold.parts((1, "a"), DAY, FOREVER) == ()
    assert "cannot be answered from Parquet" in gateway.cold.status().summary


async def test_chunks_that_have_everything_are_not_asked_twice(gateway: ColdGateway) -> None:
    shelf = gateway.cold._shelf
    assert shelf.days(NOON, NOON + 1) == [DAY]
    assert shelf.days(0, 1) == []
    assert await shelf.parts((1, "a"), DAY, FOREVER) == []
    await gateway.drop()
    [rows] = await shelf.parts((1, "a"), DAY, FOREVER)
    assert (rows.device_id, list(rows.at)) == ("a", [NOON])
    assert await shelf.parts((1, "nobody"), DAY, FOREVER) == []
