"""A damaged day keeps no other from anything, is saved as far as it can be read, and is never silently gone."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from appliance.audit.service import Audit
from appliance.instant import DAY_MS
from appliance.telemetry import queries
from appliance.telemetry.packing import ChunkError
from tests.appliance.telemetry.keeping.story import AFTER, KeepingGateway
from tests.appliance.telemetry.reports import DAY, NOON, report


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[KeepingGateway]:
    async with KeepingGateway(tmp_path).running() as running:
        running.now = AFTER
        yield running


def damage(path: Path, page: int) -> None:
    """Overwrite most of a page of a day file."""
    content = bytearray(path.read_bytes())
    start = page * queries.DAY_PAGE_BYTES
    content[start + 8 : start + 8_000] = b"\xff" * 7_992
    path.write_bytes(content)


async def filled_and_damaged(gateway: KeepingGateway, page: int = -1) -> Path:
    """Three days of many devices, of which a page of the first is damaged."""
    gateway.now = AFTER + 5 * DAY_MS
    for day in range(3):
        values = [{"pressure": number / 7} for number in range(300)]
        await gateway.take(*[report(f"s-{n}", NOON + day * DAY_MS, values=each) for n, each in enumerate(values)])
    await gateway.telemetry.seal_all()
    for day in range(3):
        await gateway.telemetry._files.close(queries.day_name(DAY + day))
    path = gateway.folder / "days" / "2026-01-31.db"
    damage(path, path.stat().st_size // queries.DAY_PAGE_BYTES - 1 if page < 0 else page)
    return path


SOME = {7, *range(0, 300, 23)}


async def found(gateway: KeepingGateway) -> dict[int, set[int]]:
    """Some of the devices, by the days of which their reading is there."""
    days: dict[int, set[int]] = {day: set() for day in range(3)}
    for number in SOME:
        for at, _ in await gateway.stored(f"s-{number}"):
            days[(at - NOON) // DAY_MS].add(number)
    return days


async def test_what_can_be_read_of_a_damaged_open_day_is_sealed_and_the_file_kept(gateway: KeepingGateway) -> None:
    path = await filled_and_damaged(gateway)
    before = await found(gateway)
    with pytest.raises(ChunkError, match=r"2026-01-31\.db"):
        await gateway.keeping.write_anew(DAY, {})
    damaged = path.read_bytes()
    assert await gateway.keeping.seal_due() == [DAY, DAY + 1, DAY + 2]
    names = {"2026-01-31.sealed", "2026-01-31.db.damaged-1", "2026-02-01.sealed", "2026-02-02.sealed"}
    assert gateway.names() == names
    assert (gateway.folder / "days" / "2026-01-31.db.damaged-1").read_bytes() == damaged
    after = await found(gateway)
    assert after[0] >= before[0]
    assert after[1] == after[2] == SOME
    assert any("kept as 2026-01-31.db.damaged-1" in each for each in gateway.keeping.damages)


async def test_a_file_that_was_set_aside_is_named_after_a_start_counted_and_goes_with_its_day(
    gateway: KeepingGateway,
) -> None:
    await filled_and_damaged(gateway)
    await gateway.keeping.seal_due()
    gateway.telemetry.day_files.damages.clear()
    async with gateway.keeping.running():
        assert gateway.keeping.damages == ("2026-01-31.db.damaged-1 was damaged and set aside",)
    aside = gateway.folder / "days" / "2026-01-31.db.damaged-1"
    [use] = [use for use in await gateway.keeping.uses() if use.day == DAY]
    assert (use.open_bytes, use.sealed_bytes > aside.stat().st_size) == (0, True)
    assert await gateway.keeping.unlink(DAY) == use.total_bytes
    assert gateway.names() == {"2026-02-01.sealed", "2026-02-02.sealed"}


@pytest.mark.parametrize("page", [1, 2, 5, -1])
async def test_erasing_reaches_a_damaged_day_and_what_was_set_aside_before(gateway: KeepingGateway, page: int) -> None:
    path = await filled_and_damaged(gateway, page)
    (path.parent / "2026-01-30.db.damaged-1").write_bytes(b"nobody knows what is in here")
    await gateway.keeping.erase(1, ["s-7"])
    await gateway.keeping._tried()
    assert gateway.keeping.pending == ()
    assert gateway.keeping.status().ok
    after = await found(gateway)
    assert after[1] == after[2] == SOME - {7}
    assert 7 not in after[0]
    assert not (path.parent / "2026-01-30.db.damaged-1").exists()
    assert [each.name for each in path.parent.iterdir() if b"s-7s" in each.read_bytes()] == []
    entries = await Audit(gateway.database, lambda: 0).entries(1)
    removed = [entry.subject for entry in entries if entry.action == "telemetry.remove_damaged"]
    assert "2026-01-30.db.damaged-1" in removed
    assert entries[0].action == "telemetry.erased"


async def test_one_day_that_cannot_be_sealed_keeps_no_other_day_and_nothing_else_from_being_done(
    gateway: KeepingGateway,
) -> None:
    nights = []

    async def sealed() -> None:
        nights.append(gateway.names())

    gateway.keeping.sealed = sealed
    gateway.now = AFTER + DAY_MS
    for day in range(2):
        await gateway.take(report(at=NOON + day * DAY_MS), report("other", NOON + day * DAY_MS))
    await gateway.telemetry.seal_all()
    sealed_path = gateway.folder / "days" / "2026-01-31.sealed"
    sealed_path.write_bytes(b"nothing that can be read")
    await gateway.keeping.tend()
    await gateway.keeping._tried()
    assert nights == [{"2026-01-31.db", "2026-01-31.sealed", "2026-02-01.sealed"}]
    status = gateway.keeping.status()
    assert (status.ok, status.is_serving) == (False, True)
    assert "2026-01-31.sealed" in status.summary
    # It is not tried again before the next night, and still told.
    await gateway.keeping._tried()
    assert (len(nights), gateway.keeping.status().summary) == (1, status.summary)
    # Erasing has a way out even here.
    await gateway.keeping.erase(1, ["other"])
    await gateway.keeping._tried()
    assert gateway.keeping.pending == ()
    assert await gateway.stored("other") == []
    assert await gateway.stored() == [(NOON, 45.2), (NOON + DAY_MS, 45.2)]
    assert gateway.names() == {"2026-01-31.sealed", "2026-02-01.sealed"}
