"""Whatever stops it, there is the old file or the new one, and what is known of it is true."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from appliance.instant import MINUTE_MS
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
    await gateway.cold._shelf.adopt(DAY)
    found = gateway.cold._shelf.known[DAY]
    assert (found.sha256, found.source, found.reading_count) == (after.sha256, after.source, after.reading_count)


async def test_a_file_of_which_nothing_is_known_is_taken_as_it_is(gateway: ColdGateway) -> None:
    before = gateway.cold._shelf.known[DAY]
    await gateway.cold._shelf.forget(DAY)
    await gateway.cold._shelf.load()
    # The start waits for no program; until it has looked, nothing is answered, and nothing goes.
    assert (gateway.cold._shelf.known, gateway.cold._shelf.unseen) == ({}, {DAY})
    assert not gateway.cold.may_go(DAY)
    assert (gateway.cold.days(NOON, NOON + 1), gateway.cold.is_needed(DAY)) == ([DAY], True)
    assert await gateway.cold.parts((1, "a"), DAY, FOREVER) == ()
    assert gateway.cold.missing.between(1, ["a"], NOON, NOON + 1) == [DAY]
    await gateway.well()
    assert gateway.cold.missing.between(1, ["a"], NOON, NOON + 1) == []
    assert gateway.cold._shelf.unseen == set()
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
    # It may have been quick enough: then there is the new one, and what is known of it is made up for.
    await shelf.adopt(DAY)
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


async def test_a_day_stays_until_a_file_that_is_another_than_was_written_down_was_looked_at(
    gateway: ColdGateway,
) -> None:
    shelf = gateway.cold._shelf
    await gateway.database.write(queries.put_day, msgspec.structs.replace(shelf.known[DAY], file_bytes=1))
    await shelf.load()
    assert not gateway.cold.may_go(DAY)
    await gateway.well()
    assert gateway.cold.may_go(DAY)


async def test_a_file_that_could_not_be_looked_at_is_named_and_looked_at_again_later(gateway: ColdGateway) -> None:
    before = gateway.cold._shelf.known[DAY]
    await gateway.cold._shelf.forget(DAY)
    await gateway.cold._shelf.load()
    workers = gateway.cold._workers
    patience_s, workers._describe_patience_s = workers._describe_patience_s, 0.001
    await gateway.cold.look()
    assert "the file of 2026-01-31 could not be looked at: the program" in gateway.cold.status().summary
    # It is not written over meanwhile: it may have what the day has not.
    assert (gateway.cold._shelf.known, gateway.cold._shelf.unseen) == ({}, {DAY})
    workers._describe_patience_s = patience_s
    gateway.now += MINUTE_MS
    await gateway.well()
    assert gateway.cold._shelf.known[DAY].sha256 == before.sha256


async def test_what_a_file_says_of_its_erasings_is_read_without_a_program(gateway: ColdGateway) -> None:
    assert files.erasure_number_in(gateway.file()) == 0
    for number, device_id in ((1, "b"), (2, "nobody"), (3, "c")):
        await gateway.take(report("c"))
        await gateway.seal()
        await gateway.keeping.erase(1, [device_id])
        await gateway.keeping.erase_pending()
        await gateway.well()
        assert files.erasure_number_in(gateway.file()) == number


async def test_a_file_that_cannot_be_described_is_not_described_again_and_again(gateway: ColdGateway) -> None:
    shelf = gateway.cold._shelf
    await asyncio.to_thread((gateway.folder / "cold" / "_arrivals.json").unlink)
    shelf._arrivals.load()
    gateway.file().write_bytes(b"no table")
    await shelf.learn_arrivals()
    assert shelf._unclear == {shelf.known[DAY].sha256}
    await shelf.learn_arrivals()
    assert shelf.days_arrived(0, 1) == [DAY]
