"""Days are written anew only where there is room, broken off at once on a stop, and wiped while others are read.

A damaged day keeps no other from anything, is saved as far as it can be read, and is never silently gone.
"""

import random
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.audit.service import Audit
from appliance.config import TelemetryConfig
from appliance.instant import DAY_MS
from appliance.store.database import UnwritableError
from appliance.telemetry import queries as day_queries
from appliance.telemetry.keeping import files, queries, sealed_day
from appliance.telemetry.keeping.layout import PAGE_BYTES
from appliance.telemetry.keeping.model import CrowdedError, StoppedError
from appliance.telemetry.keeping.resealing import Parts, kept_devices
from appliance.telemetry.keeping.writing import service
from appliance.telemetry.keeping.writing.service import Writing, noted, require_none
from appliance.telemetry.packing import ChunkError
from tests.appliance.telemetry.keeping.days import kept, sealed
from tests.appliance.telemetry.keeping.open_days import put, writing
from tests.appliance.telemetry.keeping.story import AFTER, KeepingGateway
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


async def test_a_pause_is_as_long_as_the_work_unless_it_stops(writer: Writing, monkeypatch: pytest.MonkeyPatch) -> None:
    now, naps = [0.0], list[float]()

    def sleep(seconds: float) -> None:
        now[0] += seconds
        naps.append(round(seconds, 3))
        writer.is_stopping = len(naps) == 5

    monkeypatch.setattr(service, "time", SimpleNamespace(perf_counter=lambda: now[0], sleep=sleep))
    breathe = writer._breather(None)
    now[0] += 0.25
    breathe()
    assert naps == [0.1, 0.1, 0.05]
    now[0] += 30
    with pytest.raises(StoppedError):
        breathe()
    assert naps[3:] == [0.1, 0.1]


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


@pytest.fixture
async def keeping(tmp_path: Path) -> AsyncIterator[KeepingGateway]:
    async with KeepingGateway(tmp_path).running() as running:
        running.now = AFTER
        yield running


def damage(path: Path, page: int) -> None:
    """Overwrite most of a page of a day file."""
    content = bytearray(path.read_bytes())
    start = page * day_queries.DAY_PAGE_BYTES
    content[start + 8 : start + 8_000] = b"\xff" * 7_992
    path.write_bytes(content)


async def filled_and_damaged(keeping: KeepingGateway, page: int = -1) -> Path:
    """Three days of many devices, of which a page of the first is damaged."""
    keeping.now = AFTER + 5 * DAY_MS
    for day in range(3):
        values = [{"pressure": number / 7} for number in range(300)]
        await keeping.take(*[report(f"s-{n}", NOON + day * DAY_MS, values=each) for n, each in enumerate(values)])
    await keeping.telemetry.seal_all()
    for day in range(3):
        await keeping.telemetry._files.close(day_queries.day_name(DAY + day))
    path = keeping.folder / "days" / "2026-01-31.db"
    damage(path, path.stat().st_size // day_queries.DAY_PAGE_BYTES - 1 if page < 0 else page)
    return path


SOME = {7, *range(0, 300, 23)}


async def found(keeping: KeepingGateway) -> dict[int, set[int]]:
    """Some of the devices, by the days of which their reading is there."""
    days: dict[int, set[int]] = {day: set() for day in range(3)}
    for number in SOME:
        for at, _ in await keeping.stored(f"s-{number}"):
            days[(at - NOON) // DAY_MS].add(number)
    return days


async def test_what_can_be_read_of_a_damaged_open_day_is_sealed_and_the_file_kept(keeping: KeepingGateway) -> None:
    path = await filled_and_damaged(keeping)
    before = await found(keeping)
    with pytest.raises(ChunkError, match=r"2026-01-31\.db"):
        await keeping.keeping.write_anew(DAY, {})
    damaged = path.read_bytes()
    assert await keeping.keeping.seal_due() == [DAY, DAY + 1, DAY + 2]
    names = {"2026-01-31.sealed", "2026-01-31.db.damaged-1", "2026-02-01.sealed", "2026-02-02.sealed"}
    assert keeping.names() == names
    assert (keeping.folder / "days" / "2026-01-31.db.damaged-1").read_bytes() == damaged
    after = await found(keeping)
    assert after[0] >= before[0]
    assert after[1] == after[2] == SOME
    assert any("kept as 2026-01-31.db.damaged-1" in each for each in keeping.keeping.damages)


async def test_a_file_that_was_set_aside_is_named_after_a_start_counted_and_goes_with_its_day(
    keeping: KeepingGateway,
) -> None:
    await filled_and_damaged(keeping)
    await keeping.keeping.seal_due()
    keeping.telemetry.day_files.damages.clear()
    async with keeping.keeping.running():
        assert keeping.keeping.damages == ("2026-01-31.db.damaged-1 was damaged and set aside",)
    aside = keeping.folder / "days" / "2026-01-31.db.damaged-1"
    [use] = [use for use in await keeping.keeping.uses() if use.day == DAY]
    assert (use.open_bytes, use.sealed_bytes > aside.stat().st_size) == (0, True)
    assert await keeping.keeping.unlink(DAY) == use.total_bytes
    assert keeping.names() == {"2026-02-01.sealed", "2026-02-02.sealed"}


@pytest.mark.parametrize("page", [1, 2, 5, -1])
async def test_erasing_reaches_a_damaged_day_and_what_was_set_aside_before(keeping: KeepingGateway, page: int) -> None:
    path = await filled_and_damaged(keeping, page)
    (path.parent / "2026-01-30.db.damaged-1").write_bytes(b"nobody knows what is in here")
    await keeping.keeping.erase(1, ["s-7"])
    await keeping.keeping._tried()
    assert keeping.keeping.pending == ()
    assert keeping.keeping.status().ok
    after = await found(keeping)
    assert after[1] == after[2] == SOME - {7}
    assert 7 not in after[0]
    assert not (path.parent / "2026-01-30.db.damaged-1").exists()
    assert [each.name for each in path.parent.iterdir() if b"s-7s" in each.read_bytes()] == []
    entries = await Audit(keeping.database, lambda: 0).entries(1)
    removed = [entry.subject for entry in entries if entry.action == "telemetry.remove_damaged"]
    assert "2026-01-30.db.damaged-1" in removed
    assert entries[0].action == "telemetry.erased"


async def test_one_day_that_cannot_be_sealed_keeps_no_other_day_and_nothing_else_from_being_done(
    keeping: KeepingGateway,
) -> None:
    nights = []

    async def sealed() -> None:
        nights.append(keeping.names())

    keeping.keeping.sealed = sealed
    keeping.now = AFTER + DAY_MS
    for day in range(2):
        await keeping.take(report(at=NOON + day * DAY_MS), report("other", NOON + day * DAY_MS))
    await keeping.telemetry.seal_all()
    sealed_path = keeping.folder / "days" / "2026-01-31.sealed"
    sealed_path.write_bytes(b"nothing that can be read")
    await keeping.keeping.tend()
    await keeping.keeping._tried()
    assert nights == [{"2026-01-31.db", "2026-01-31.sealed", "2026-02-01.sealed"}]
    status = keeping.keeping.status()
    assert (status.ok, status.is_serving) == (False, True)
    assert "2026-01-31.sealed" in status.summary
    # It is not tried again before the next night, and still told.
    await keeping.keeping._tried()
    assert (len(nights), keeping.keeping.status().summary) == (1, status.summary)
    # Erasing has a way out even here.
    await keeping.keeping.erase(1, ["other"])
    await keeping.keeping._tried()
    assert keeping.keeping.pending == ()
    assert await keeping.stored("other") == []
    assert await keeping.stored() == [(NOON, 45.2), (NOON + DAY_MS, 45.2)]
    assert keeping.names() == {"2026-01-31.sealed", "2026-02-01.sealed"}


async def test_half_a_page_of_an_open_day_that_is_lost_is_named_before_the_night(
    gateway: Gateway, writer: Writing
) -> None:
    await gateway.take(*[report(f"s-{n}", values={"pressure": n / 7}) for n in range(60)])
    await gateway.telemetry.seal_all()
    await gateway.telemetry._files.close("2026-01-31.db")
    path = gateway.folder / "days" / "2026-01-31.db"
    await writer.check(DAY)
    assert gateway.telemetry.status().ok
    content = bytearray(path.read_bytes())
    content[-day_queries.DAY_PAGE_BYTES // 2 :] = bytes(day_queries.DAY_PAGE_BYTES // 2)
    path.write_bytes(content)
    await writer.check(DAY)
    assert any("2026-01-31.db was damaged" in told for told in gateway.telemetry.day_files.damages)
    assert not gateway.telemetry.status().ok


MORE_THAN_THERE_IS = 10**18
ASIDE_PAGE = 8
"""What comes for one device more is not written there."""


async def test_a_damaged_open_day_that_finds_no_room_to_be_saved_takes_what_comes_until_there_is_room(
    keeping: KeepingGateway,
) -> None:
    path = await filled_and_damaged(keeping, ASIDE_PAGE)
    writing = keeping.keeping._writing
    low_bytes, writing._low_bytes = writing._low_bytes, MORE_THAN_THERE_IS
    keeping.telemetry.day_files.touched.add(DAY)
    await keeping.keeping._tried()
    assert any("2026-01-31.db was damaged" in told for told in keeping.keeping.damages)
    assert await comes_through(keeping, 1)
    # The day is looked at once, and closed as soon as there is room.
    writing._low_bytes = low_bytes
    await writing.close_damaged()
    assert not await comes_through(keeping, 2)
    # Others take the room before it was saved.
    writing._low_bytes = MORE_THAN_THERE_IS
    await keeping.keeping._tried()
    assert await comes_through(keeping, 3)
    writing._low_bytes = low_bytes
    await keeping.keeping._tried()
    assert path.with_name("2026-01-31.db.damaged-1").exists()
    assert await comes_through(keeping, 4)
    assert [at for at, _ in await keeping.stored("s-7")][:5] == [NOON + number for number in range(5)]
    # Another part stands in its place: room or none, it takes what comes.
    await keeping.keeping._tried()
    assert await comes_through(keeping, 5)
    writing._low_bytes = MORE_THAN_THERE_IS
    await keeping.keeping._tried()
    assert await comes_through(keeping, 6)
    assert not path.with_name("2026-01-31.db.damaged-2").exists()


async def test_nobody_is_erased_from_a_damaged_open_day_before_there_is_room_to_save_it(
    keeping: KeepingGateway,
) -> None:
    # Nothing is wrong where anybody's chunks are looked for.
    await filled_and_damaged(keeping, ASIDE_PAGE)
    writing = keeping.keeping._writing
    low_bytes, writing._low_bytes = writing._low_bytes, MORE_THAN_THERE_IS
    keeping.telemetry.day_files.touched.add(DAY)
    await keeping.keeping._tried()
    # It was found; what cannot be done about it is told when that is due.
    await keeping.keeping._tried()
    assert "2026-01-31 is not sealed: that may take 1 MB" in keeping.keeping.status().summary
    await keeping.keeping.erase(1, ["s-7"])
    with pytest.raises(UnwritableError, match="is not sealed"):
        await keeping.keeping.erase_pending()
    assert [each.device_id for each in keeping.keeping.pending] == ["s-7"]
    assert await keeping.stored("s-7") == []
    writing._low_bytes = low_bytes
    await keeping.keeping.erase_pending()
    assert (keeping.keeping.pending, await keeping.stored("s-7")) == ((), [])


async def comes_through(keeping: KeepingGateway, later: int) -> bool:
    """Whether a reading that comes for the first day leaves memory and the log for its file."""
    await keeping.take(report("s-7", NOON + later, values={"pressure": later}))
    await keeping.telemetry.seal_all()
    return not keeping.telemetry.status().details["reports_in_memory"] and not await keeping.log_ids()


async def test_a_damaged_open_day_into_which_nothing_can_be_written_stays_closed_without_room(
    keeping: KeepingGateway,
) -> None:
    await filled_and_damaged(keeping)
    keeping.keeping._writing._low_bytes = MORE_THAN_THERE_IS
    keeping.telemetry.day_files.touched.add(DAY)
    await keeping.keeping._tried()
    assert not await comes_through(keeping, 1)
    told = dict(keeping.telemetry.unwritable)
    await keeping.keeping._tried()
    assert (keeping.telemetry.unwritable, list(told)) == (told, [DAY])
    assert "2026-01-31 is not sealed: that may take 1 MB" in keeping.keeping.status().summary
    assert [at for at, _ in await keeping.stored("s-7")][:2] == [NOON + 1, NOON + DAY_MS]
