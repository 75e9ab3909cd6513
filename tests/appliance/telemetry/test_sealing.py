"""Chunks go into their day files; where one of these was damaged, it is saved, and what came meanwhile is kept."""

import asyncio
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from appliance.config import TelemetryConfig
from appliance.instant import DAY_MS, SECOND_MS
from appliance.telemetry import chunk, log_record, queries
from appliance.telemetry.keeping.model import DamagedOpenDayError
from appliance.telemetry.open_chunk import TEXT_CELL
from appliance.telemetry.open_chunks import LOOK_INTERVAL_MS, PRESSING_CELLS
from appliance.telemetry.sealing import sealed_devices
from tests.appliance.telemetry.keeping.open_days import forget_tables, patch, writing
from tests.appliance.telemetry.keeping.story import KeepingGateway
from tests.appliance.telemetry.reports import DAY, NOON, report

DEVICES = 300
SOME = [f"s-{number}" for number in range(0, DEVICES, 37)]
NAME = "2026-01-31.db"
LATER = NOON + 60_000
NUMBERS_PAGE = 2
"""Where SQLite keeps the highest number of the table of devices."""


def damage(path: Path, page: int) -> None:
    """Overwrite most of a page of a day file."""
    content = bytearray(path.read_bytes())
    start = page * queries.DAY_PAGE_BYTES
    content[start + 8 : start + 8_000] = b"\xff" * 7_992
    path.write_bytes(content)


async def fill(gateway: KeepingGateway, count: int = DEVICES) -> Path:
    """A day of many devices, whole in its file, which is closed."""
    gateway.now = NOON
    await gateway.take(*[report(f"s-{number}", values={"pressure": number / 7}) for number in range(count)])
    await gateway.telemetry.seal_all()
    await gateway.telemetry._files.close(NAME)
    return gateway.folder / "days" / NAME


async def late(gateway: KeepingGateway, at: int = LATER, count: int = DEVICES) -> None:
    """More readings of every device, for that day and the next."""
    await gateway.take(*[report(f"s-{number}", at, values={"pressure": 1.5}) for number in range(count)])
    await gateway.take(report("s-0", at + DAY_MS, values={"pressure": 2.5}))


async def require_there(gateway: KeepingGateway, at: int = LATER) -> None:
    """What came late is there, each once."""
    for device in SOME:
        assert [each for each in await gateway.stored(device) if each[0] == at] == [(at, 1.5)]
    assert [each for each in await gateway.stored("s-0") if each[0] >= NOON + DAY_MS] == [(at + DAY_MS, 2.5)]


async def require_saved(gateway: KeepingGateway, before: dict[str, list[tuple[int, float]]]) -> None:
    """The damaged day was saved, and takes what comes for it again."""
    await gateway.keeping._tried()
    assert gateway.telemetry.unwritable == {}
    assert f"{NAME}.damaged-1" in gateway.names()
    assert any(f"{NAME}.damaged-1" in told for told in gateway.keeping.damages)
    await gateway.telemetry.seal_all()
    assert gateway.telemetry._chunks.report_count == 0
    assert await gateway.log_ids() == []
    await require_there(gateway)
    for device, readings in before.items():
        assert set(await gateway.stored(device)) >= set(readings)
    assert gateway.keeping.status().ok


async def test_an_open_chunk_goes_into_its_day_file_whole_with_the_newest_values_of_its_device(
    tmp_path: Path,
) -> None:
    async with KeepingGateway(tmp_path).running() as gateway:
        await gateway.take(report("a", NOON + 5), report("a", NOON + 2, values={"state": "ok"}))
        gateway.telemetry._chunks.begin_sealing_all()
        [waiting] = gateway.telemetry._chunks.sealing
        [device] = sealed_devices([waiting], [waiting.device.newest.as_of_now()], 7)
        assert (device.tenant_id, device.device_id, device.last_log_id, device.latest_log_id) == (1, "a", 1, 7)
        [sealed] = device.chunks
        assert sealed[:3] == (2, NOON + 2, NOON + 5)
        assert [each.at for each in chunk.decode(sealed.blob).reports()] == [NOON + 5, NOON + 2]
        assert device.latest is not None
        assert {metric for each in log_record.decode(device.latest, 1) for metric in each.values} == {
            "battery",
            "pressure",
            "state",
        }


@pytest.mark.parametrize("page", range(5))
async def test_a_day_that_is_damaged_while_readings_come_for_it_is_saved(tmp_path: Path, page: int) -> None:
    async with KeepingGateway(tmp_path).running() as gateway:
        path = await fill(gateway)
        damage(path, page)
        before = {device: await gateway.stored(device) for device in SOME}
        await late(gateway)
        gateway.telemetry._chunks.begin_sealing_all()
        await gateway.telemetry._seal_if_writable()
        await require_there(gateway)
        if gateway.telemetry.unwritable:
            status = gateway.telemetry.status()
            assert (status.ok, NAME in status.summary, "waits until it was saved" in status.summary) == (False,) + (
                True,
            ) * 2
            # Other days are written, and of this one nothing leaves the log.
            assert gateway.telemetry._chunks.report_count == DEVICES
            assert len(await gateway.log_ids()) == 2
            await require_saved(gateway, before)
        else:
            # Nothing had to be written where it is damaged, or the whole file gave way to a new one at once.
            await gateway.keeping._tried()
            assert page or any(f"{NAME}.damaged-1" in told for told in gateway.keeping.damages)
            await require_there(gateway)


@pytest.mark.parametrize("page", range(1, 5))
async def test_a_day_that_was_damaged_before_a_start_is_saved(tmp_path: Path, page: int) -> None:
    (tmp_path / "before").mkdir()
    async with KeepingGateway(tmp_path / "before").running() as gateway:
        await fill(gateway)
        await late(gateway)
        shutil.copytree(gateway.folder, tmp_path / "after", ignore=shutil.ignore_patterns("*-shm"))
    damage(tmp_path / "after" / "days" / NAME, page)
    async with KeepingGateway(tmp_path / "after").running() as gateway:
        await require_there(gateway)
        before = {device: await gateway.stored(device) for device in SOME}
        await gateway.telemetry.seal_all()
        # The highest number that a device had is asked for only when there is a new one.
        assert page == NUMBERS_PAGE or not gateway.telemetry.status().ok
        if gateway.telemetry.unwritable:
            await require_saved(gateway, before)
        else:
            # Nothing had to be written where it is damaged: it is saved at night.
            await require_there(gateway)


async def test_a_day_that_cannot_be_written_is_named_to_who_wants_to_hold_it_and_may_be_dropped(
    tmp_path: Path,
) -> None:
    async with KeepingGateway(tmp_path).running() as gateway:
        path = await fill(gateway)
        damage(path, 3)
        await late(gateway)
        await gateway.telemetry.seal_all()
        with pytest.raises(DamagedOpenDayError, match=r"2026-01-31\.db was damaged"):
            async with gateway.telemetry.held(DAY):
                pass
        # Sealing at night comes to the same end as the task that looks after it.
        gateway.now = NOON + DAY_MS
        assert await gateway.keeping.seal_due() == [DAY]
        assert gateway.telemetry.unwritable == {}
        await require_there(gateway)
        path = await fill(gateway)
        for page in range(1, path.stat().st_size // queries.DAY_PAGE_BYTES):
            damage(path, page)
        await late(gateway, LATER + 1)
        await gateway.telemetry.seal_all()
        assert DAY in gateway.telemetry.unwritable
        await gateway.keeping.unlink(DAY)
        await gateway.telemetry.seal_all()
        assert gateway.telemetry.unwritable == {}
        assert [at for at, _ in await gateway.stored("s-37")] == [LATER + 1]


async def test_what_may_not_be_on_the_disk_stays_in_the_log_until_its_damaged_day_was_saved(tmp_path: Path) -> None:
    async with KeepingGateway(tmp_path).running() as gateway:
        await gateway.take(report())
        gateway.telemetry._chunks.begin_sealing_all()
        await gateway.telemetry._insert_sealing()
        gateway.telemetry.unwritable[DAY] = "2026-01-31.db was damaged"
        async with gateway.telemetry.held_to_save(DAY):
            await gateway.telemetry.seal_all()
            assert len(await gateway.log_ids()) == 1
        await gateway.telemetry.seal_all()
        assert await gateway.log_ids() == []


async def test_a_damaged_day_is_saved_even_when_what_waits_for_it_crowds_memory(tmp_path: Path) -> None:
    gateway = KeepingGateway(tmp_path)
    gateway.config = gateway.config.__class__(memory_limit_reports=400)
    async with gateway.running():
        path = await fill(gateway)
        damage(path, 3)
        before = {device: await gateway.stored(device) for device in SOME}
        await late(gateway)
        await gateway.telemetry.seal_all()
        gateway.telemetry._chunks.held.add(DAY)
        gateway.telemetry._chunks.begin_sealing(gateway.now)
        assert gateway.telemetry.is_crowded
        await require_saved(gateway, before)


def name_of(place: str, before: bytes, after: bytes) -> Callable[[Path], None]:
    """A device that has another name, or another number, in the list of devices or in its index."""
    return lambda path: patch(path, place, before, after)


@pytest.mark.parametrize("comes_late", [True, False])
@pytest.mark.parametrize(
    "damaged",
    [
        forget_tables,
        name_of("device_by_rank", b"s-37", b"t-37"),
        name_of("device_by_rank", b"s-37", b"s-38"),
        name_of("device_by_rank", b"s-37\x08", b"s-37\x09"),
        name_of("device", b"s-37", b"t-37"),
        name_of("device", b"s-37", b"s-38"),
    ],
)
async def test_a_day_of_which_one_byte_was_damaged_is_saved_whole(
    tmp_path: Path, damaged: Callable[[Path], None], *, comes_late: bool
) -> None:
    async with KeepingGateway(tmp_path).running() as gateway:
        path = await fill(gateway, 60)
        before = {f"s-{number}": await gateway.stored(f"s-{number}") for number in range(60)}
        damaged(path)
        if comes_late:
            await late(gateway, count=60)
            await gateway.telemetry._seal_if_writable()
        await gateway.keeping._tried()
        gateway.now = NOON + 3 * DAY_MS
        await gateway.keeping.seal_due()
        assert any(f"{NAME}.damaged-1" in told for told in gateway.keeping.damages)
        for device, readings in before.items():
            assert await gateway.stored(device) == readings + [(LATER, 1.5)] * comes_late + (
                [(LATER + DAY_MS, 2.5)] if comes_late and device == "s-0" else []
            )


async def test_what_a_damaged_day_says_of_the_log_keeps_nothing_from_being_taken_up_again(tmp_path: Path) -> None:
    async with KeepingGateway(tmp_path).running() as gateway:
        path = await fill(gateway, 60)
        with writing(path) as connection:
            connection.execute("UPDATE device SET last_log_id = 1000")
        # Taken, and not sealed any more.
        await late(gateway, count=60)
    async with KeepingGateway(tmp_path).running() as gateway:
        await require_all_there(gateway, [LATER])


damages = st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=200), st.booleans())


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@example([(0.5, b"\0", False), (0.5, b"\0\0", False)])
@example([(0.5604266, b"\x08\x86\xeb\xfdPt\xb21\xb1?", False)])
@example([(0.5602515, b"\xff", False)])
@example([(0.0011074, b"\xff", True)])
@given(st.lists(damages, min_size=1, max_size=3))
def test_no_damage_of_an_open_day_loses_what_came_after_it(all_damages: list[tuple[float, bytes, bool]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_lived_through(Path(folder), all_damages))


async def _lived_through(folder: Path, all_damages: list[tuple[float, bytes, bool]]) -> None:
    for number, (place, content, is_tried) in enumerate(all_damages):
        moments = [LATER + 2 * number, LATER + 2 * number + 1]
        async with KeepingGateway(folder).running() as gateway:
            path = await fill(gateway, 60)
            old = path.read_bytes()
            start = int(place * (len(old) - len(content)))
            path.write_bytes(old[:start] + content + old[start + len(content) :])
            for count, moment in enumerate(moments, start=1):
                await late(gateway, moment, 60)
                await gateway.telemetry.seal_all()
                if is_tried:
                    await gateway.keeping._tried()
                await require_all_there(gateway, moments[:count])
        # What waited for a damaged day is in the log, and a start takes it up.
        async with KeepingGateway(folder).running() as gateway:
            await require_all_there(gateway, moments)


async def require_all_there(gateway: KeepingGateway, moments: list[int]) -> None:
    """Every one of some devices has one reading of each moment, or the day is named, and it has once that was saved."""
    for _ in range(2):
        if await found_of_each(gateway, moments) == [moments, moments]:
            return
        assert gateway.keeping.damages
        await gateway.keeping._tried()
    assert await found_of_each(gateway, moments) == [moments, moments]


async def found_of_each(gateway: KeepingGateway, moments: list[int]) -> list[list[int]]:
    return [[at for at, _ in await gateway.stored(device) if at in moments] for device in SOME[:2]]


async def test_what_fills_memory_faster_than_it_is_sealed_does_not_wait_for_the_next_time(tmp_path: Path) -> None:
    gateway = KeepingGateway(tmp_path, TelemetryConfig(memory_limit_reports=100))
    async with gateway.running():
        await gateway.take(report(values={"text": "x" * PRESSING_CELLS * TEXT_CELL}))
        async with asyncio.timeout(LOOK_INTERVAL_MS / SECOND_MS / 2):
            while gateway.telemetry.status().details["reports_in_memory"]:
                await gateway.log_ids()
        assert (tmp_path / "days" / NAME).exists()


async def test_the_numbers_that_stay_are_made_where_chunks_are_encoded_and_not_on_the_loop(tmp_path: Path) -> None:
    gateway = KeepingGateway(tmp_path)
    async with gateway.running():
        await gateway.take(report())
        gateway.telemetry._chunks.begin_sealing_all()
        [waiting] = gateway.telemetry._chunks.sealing
        sealed_devices([waiting], [waiting.device.newest.as_of_now()], 1)
        waiting.parts.clear()
        assert waiting.last_numbers().keys() == {"pressure", "battery"}
        gateway.telemetry._chunks.sealing.clear()
