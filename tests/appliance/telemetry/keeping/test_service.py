"""Days are sealed, checked and erased, and no reading is lost, seen twice or seen again."""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from appliance.audit.service import Audit
from appliance.config import TelemetryConfig
from appliance.instant import DAY_MS, MINUTE_MS
from appliance.store.database import UnwritableError, connect_reader
from appliance.telemetry import log_record, queries
from appliance.telemetry.keeping import sealed_day
from appliance.telemetry.keeping.layout import PAGE_BYTES
from appliance.telemetry.keeping.model import CrowdedError
from tests.appliance.telemetry.keeping.story import AFTER, DEVICES, KeepingGateway, Story, steps
from tests.appliance.telemetry.reports import DAY, NOON, report


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[KeepingGateway]:
    async with KeepingGateway(tmp_path).running() as running:
        running.now = AFTER
        yield running


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps)
def test_no_night_and_no_death_loses_a_reading_doubles_it_or_brings_one_back(
    all_steps: list[tuple[str, Any]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(Story(Path(folder)).run(all_steps))


async def test_a_day_that_is_over_is_sealed_and_gives_the_same_answer(gateway: KeepingGateway) -> None:
    for minute in range(30):
        await gateway.take(report(at=NOON + minute * MINUTE_MS), report("other", NOON + minute * MINUTE_MS))
        await gateway.telemetry.seal_all()
    before = await gateway.stored()
    assert await gateway.seal() == [DAY]
    assert gateway.names() == {"2026-01-31.sealed"}
    assert await gateway.stored() == before
    with sealed_day.opened(gateway.folder / "days" / "2026-01-31.sealed") as day:
        assert [len(entry.extents) for entry in day.entries()] == [1, 1]
    assert await gateway.seal() == []


async def test_a_day_waits_for_late_readings_before_it_is_sealed(gateway: KeepingGateway) -> None:
    await gateway.take(report())
    gateway.now = (DAY + 1) * DAY_MS + gateway.config.late_grace_ms - 1
    assert await gateway.seal() == []
    gateway.now += 1
    assert await gateway.seal() == [DAY]


async def test_what_comes_after_the_sealing_is_seen_at_once_and_sealed_the_next_night(gateway: KeepingGateway) -> None:
    await gateway.take(report())
    await gateway.seal()
    await gateway.take(report(at=NOON + 1))
    await gateway.telemetry.seal_all()
    assert gateway.names() == {"2026-01-31.sealed", "2026-01-31.db"}
    assert await gateway.stored() == [(NOON, 45.2), (NOON + 1, 45.2)]
    assert await gateway.seal() == [DAY]
    assert gateway.names() == {"2026-01-31.sealed"}
    assert await gateway.stored() == [(NOON, 45.2), (NOON + 1, 45.2)]


async def test_what_comes_while_a_day_is_sealed_waits_in_memory(gateway: KeepingGateway) -> None:
    await gateway.take(report())
    await gateway.telemetry.seal_all()
    async with gateway.telemetry.held(DAY):
        await gateway.take(report(at=NOON + 1), report(at=NOON + DAY_MS))
        await gateway.telemetry.seal_all()
        assert gateway.telemetry._chunks.report_count == 1
        assert len(await gateway.log_ids()) == 1
    await gateway.telemetry.seal_all()
    assert gateway.telemetry._chunks.report_count == 0


async def test_readers_find_everything_while_days_are_sealed(gateway: KeepingGateway) -> None:
    reports = [report(at=NOON + minute * MINUTE_MS) for minute in range(60)]
    for each in reports:
        await gateway.take(each)
        await gateway.telemetry.seal_all()
    expected = [(each.at, 45.2) for each in reports]
    done = asyncio.Event()

    async def read() -> int:
        times = 0
        while not done.is_set():
            assert await gateway.stored() == expected
            times += 1
        return times

    async with asyncio.TaskGroup() as tasks:
        reading = [tasks.create_task(read()) for _ in range(3)]
        for _ in range(8):
            await gateway.keeping.write_anew(DAY, {})
        done.set()
    assert all(task.result() for task in reading)
    assert gateway.telemetry.status().ok


async def test_every_page_of_a_day_may_be_lost_and_other_devices_are_still_answered(gateway: KeepingGateway) -> None:
    for device in DEVICES:
        await gateway.take(*[report(device, NOON + tick, values={"pressure": tick / 7}) for tick in range(700)])
    await gateway.seal()
    path = gateway.folder / "days" / "2026-01-31.sealed"
    good = path.read_bytes()
    answers = {device: await gateway.stored(device) for device in DEVICES}
    for page in range(len(good) // PAGE_BYTES):
        bad = bytearray(good)
        bad[page * PAGE_BYTES + 5] ^= 0xFF
        path.write_bytes(bad)
        gateway.telemetry.day_files.damages.clear()
        gateway.keeping._writing.checked.clear()
        found = {device: await gateway.stored(device) for device in DEVICES}
        await gateway.keeping.check_opened()
        assert any(f"2026-01-31.sealed page {page}" in each for each in gateway.telemetry.day_files.damages)
        assert not gateway.telemetry.status().ok
        # Either all of a device is there, or nothing and it was said.
        lost = [device for device in DEVICES if found[device] != answers[device]]
        assert all(found[device] == [] for device in lost)
        named = {
            device for device in DEVICES for each in gateway.telemetry.day_files.damages if f" of {device} from" in each
        }
        assert set(lost) == named
        assert len(lost) < len(DEVICES) or page * PAGE_BYTES < len(good) // 2


async def test_a_day_is_checked_once_after_it_was_first_read(gateway: KeepingGateway) -> None:
    await gateway.take(report())
    await gateway.seal()
    await gateway.keeping.check_opened()
    assert gateway.keeping._writing.checked == set()
    await gateway.stored()
    await gateway.keeping.check_opened()
    assert gateway.keeping._writing.checked == {DAY}


async def test_a_damaged_chunk_stays_named_when_its_day_is_written_anew(gateway: KeepingGateway) -> None:
    await gateway.take(report())
    await gateway.telemetry.seal_all()
    await gateway.take(report(at=NOON + 1))
    await gateway.telemetry.seal_all()
    file = await gateway.telemetry._files.writer(queries.day_name(DAY))
    await file.write(
        lambda connection: connection.execute("UPDATE chunk SET record = x'00' WHERE first_at = ?", (NOON,))
    )
    for _ in range(2):
        await gateway.keeping.write_anew(DAY, {})
        assert await gateway.stored() == [(NOON + 1, 45.2)]
        assert any("2026-01-31.sealed page 1" in each for each in gateway.telemetry.day_files.damages)


async def test_a_day_is_not_sealed_while_there_is_no_room_beside_it(tmp_path: Path) -> None:
    too_much = shutil.disk_usage(tmp_path).total * 8 // 1_000_000
    gateway = KeepingGateway(tmp_path, TelemetryConfig(reserve_mb=too_much))
    async with gateway.running():
        gateway.now = AFTER
        await gateway.take(report())
        await gateway.telemetry.seal_all()
        with pytest.raises(UnwritableError, match=r"2026-01-31 is not sealed: that may take 1 MB, and \d+ MB are free"):
            await gateway.keeping.write_anew(DAY, {})
        assert gateway.names() == {"2026-01-31.db"}
        assert await gateway.stored() == [(NOON, 45.2)]
        await gateway.keeping.tend()
        await gateway.keeping._tried()
        assert "2026-01-31 is not sealed" in gateway.keeping.status().summary
        assert gateway.keeping._due


async def test_sealing_is_put_off_when_too_much_comes_for_the_day_meanwhile(tmp_path: Path) -> None:
    gateway = KeepingGateway(tmp_path, TelemetryConfig(memory_limit_reports=10))
    async with gateway.running():
        gateway.now = AFTER
        await gateway.take(report())
        await gateway.telemetry.seal_all()
        async with gateway.telemetry.held(DAY):
            await gateway.take(*[report(at=NOON + tick) for tick in range(1, 9)])
            await gateway.telemetry.seal_due()
            assert gateway.telemetry.is_crowded
        with pytest.raises(CrowdedError, match="another night"):
            await gateway.keeping.write_anew(DAY, {})
        await gateway.telemetry.seal_due()
        assert not gateway.telemetry.is_crowded
        assert await gateway.seal() == [DAY]
        assert len(await gateway.stored()) == 9


async def test_erasing_from_today_seals_nothing_and_leaves_what_others_have_in_memory(
    gateway: KeepingGateway,
) -> None:
    gateway.now = NOON
    await gateway.take(*[report(name, NOON, values={"pressure": 1.5}) for name in ("person", "other")])
    await gateway.telemetry.seal_all()
    await gateway.take(*[report(name, NOON + 1, values={"pressure": 2.5}) for name in ("person", "other")])
    await gateway.keeping.erase(1, ["person"])
    await gateway.take(report("person", NOON + 2, values={"pressure": 3.5}))
    await gateway.keeping.erase_pending()
    assert gateway.names() == {"2026-01-31.db"}
    assert gateway.telemetry._chunks.report_count == 2
    assert await gateway.stored("person") == [(NOON + 2, 3.5)]
    assert await gateway.stored("other") == [(NOON, 1.5), (NOON + 1, 2.5)]
    assert [name for name in gateway.names() if b"person" in (gateway.folder / "days" / name).read_bytes()] == []


async def test_what_was_broken_off_is_removed_at_the_start(tmp_path: Path) -> None:
    gateway = KeepingGateway(tmp_path)
    async with gateway.running():
        await gateway.take(report())
        await gateway.telemetry.seal_all()
    (tmp_path / "days" / "2026-01-31.sealed.tmp").write_bytes(b"half")
    async with gateway.running():
        assert gateway.names() == {"2026-01-31.db"} | {
            name for name in gateway.names() if name.endswith(("wal", "shm"))
        }


async def test_a_stop_breaks_the_sealing_off_and_leaves_the_day_as_it_was(gateway: KeepingGateway) -> None:
    await gateway.take(report())
    await gateway.telemetry.seal_all()
    gateway.keeping._writing.is_stopping = True
    gateway.keeping._is_night = True
    gateway.now = AFTER
    await gateway.keeping._tried()
    assert gateway.names() == {"2026-01-31.db"}
    assert await gateway.stored() == [(NOON, 45.2)]


async def test_a_reader_that_holds_a_day_keeps_it_from_being_sealed_for_now(gateway: KeepingGateway) -> None:
    await gateway.take(report())
    file = await gateway.telemetry._files.writer(queries.day_name(DAY))
    await file.maintain(lambda connection: connection.execute("PRAGMA busy_timeout = 1"))
    with contextlib.closing(connect_reader(file.path)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM chunk").fetchall()
        await gateway.telemetry.seal_all()
        with pytest.raises(UnwritableError, match=r"2026-01-31\.db is being read"):
            await gateway.keeping.write_anew(DAY, {})
    await gateway.keeping.write_anew(DAY, {})
    assert gateway.names() == {"2026-01-31.sealed"}


async def test_an_erased_device_is_gone_everywhere_and_the_others_stay(gateway: KeepingGateway) -> None:
    for day in (-1, 0, 1):
        await gateway.take(report("person", NOON + day * DAY_MS), report("other", NOON + day * DAY_MS))
    await gateway.telemetry.seal_all()
    await gateway.keeping.seal_due()
    await gateway.take(report("person", NOON + 5), report("other", NOON + 5))
    await gateway.keeping.erase(1, ["person"])
    assert await gateway.stored("person") == []
    assert gateway.telemetry.latest(1, "person") == {}
    await gateway.take(report("person", NOON + 6))
    await gateway.keeping.erase_pending()
    assert await gateway.stored("person") == [(NOON + 6, 45.2)]
    assert len(await gateway.stored("other")) == 4
    in_days = [path for path in (gateway.folder / "days").iterdir() if b"person" in path.read_bytes()]
    # Its name is there for good, as in the audit log, and nothing of what it sent.
    assert [path.name for path in in_days] == ["erased.list"]
    rows = await gateway.database.read(queries.select_log(1, 0, 100))
    in_log = [each for row in rows for each in log_record.decode(row.record, 1) if each.device_id == "person"]
    assert [each.at for each in in_log] == [NOON + 6]
    assert gateway.keeping.pending == ()
    assert gateway.telemetry.day_files.erased == {}
    entries = await Audit(gateway.database, lambda: 0).entries(1)
    assert [(entry.action, entry.subject) for entry in entries] == [
        ("telemetry.erased", "person"),
        ("telemetry.erase", "person"),
    ]


async def test_a_day_that_held_nothing_else_is_unlinked(gateway: KeepingGateway) -> None:
    await gateway.take(report("person"))
    await gateway.telemetry.seal_all()
    await gateway.keeping.erase(1, ["person"])
    await gateway.keeping.erase_pending()
    assert gateway.names() == set()


async def test_what_was_asked_to_be_erased_stays_hidden_and_is_erased_after_a_death(tmp_path: Path) -> None:
    gateway = KeepingGateway(tmp_path)
    async with gateway.running():
        await gateway.take(report("person"), report("other"))
        await gateway.telemetry.seal_all()
        await gateway.take(report("person", NOON + 1))
        await gateway.keeping.erase(1, ["person"])
    async with gateway.running():
        assert await gateway.stored("person") == []
        assert gateway.telemetry.latest(1, "person") == {}
        stop = asyncio.Event()
        async with gateway.keeping.running():
            assert gateway.keeping.status().details["erasing"] == 1
            while gateway.keeping.pending:  # noqa: ASYNC110  the disk tells nobody when it is done
                await asyncio.sleep(0)
            stop.set()
        assert gateway.names() == {"2026-01-31.db"}
        assert b"person" not in (tmp_path / "days" / "2026-01-31.db").read_bytes()
        assert await gateway.stored("other") == [(NOON, 45.2)]


async def test_the_night_is_worked_through_once(gateway: KeepingGateway) -> None:
    await gateway.take(report())
    await gateway.telemetry.seal_all()
    nights = asyncio.Event()

    async def sealed() -> None:
        nights.set()

    gateway.keeping.sealed = sealed
    async with asyncio.timeout(20), gateway.keeping.running():
        await gateway.keeping.tend()
        await nights.wait()
    assert gateway.names() == {"2026-01-31.sealed"}
    assert gateway.keeping.status().ok


async def test_a_night_that_was_missed_is_made_up_for_at_the_start(gateway: KeepingGateway) -> None:
    await gateway.take(report())
    await gateway.telemetry.seal_all()
    nights = asyncio.Event()

    async def sealed() -> None:
        nights.set()

    gateway.keeping.sealed = sealed
    gateway.now = (DAY + 2) * DAY_MS + gateway.config.late_grace_ms - 1
    async with gateway.keeping.running():
        assert not gateway.keeping._is_night
    gateway.keeping._writing.is_stopping = False
    gateway.now += 1
    async with asyncio.timeout(20), gateway.keeping.running():
        await nights.wait()
    assert gateway.names() == {"2026-01-31.sealed"}


async def test_files_named_for_no_day_end_no_start_and_are_told_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gateway = KeepingGateway(tmp_path)
    async with gateway.running():
        await gateway.take(report())
        await gateway.telemetry.seal_all()
    for name in ("copy.db.damaged-1", "2026-13-45.db", "2026-02-30.sealed"):
        (tmp_path / "days" / name).write_bytes(b"stray")
    async with gateway.running():
        async with gateway.keeping.running():
            pass
        assert [use.day for use in await gateway.keeping.uses()] == [DAY]
        await gateway.keeping.save_unwritable()
        assert await gateway.stored() == [(NOON, 45.2)]
        assert gateway.keeping.damages == ()
    told = [record.getMessage() for record in caplog.records if "copy.db" in record.getMessage()]
    assert told == [
        "files passed over, they are named for no day names=2026-02-30.sealed, 2026-13-45.db, copy.db.damaged-1"
    ]


async def test_dropping_a_day_frees_what_it_took(gateway: KeepingGateway) -> None:
    await gateway.take(report(), report(at=NOON + DAY_MS))
    await gateway.telemetry.seal_all()
    gateway.now += 3 * DAY_MS
    await gateway.telemetry.rollups.roll()
    uses = {use.day: use for use in await gateway.keeping.uses()}
    assert await gateway.keeping.drop(DAY) == uses[DAY].total_bytes > 0
    assert [use.day for use in await gateway.keeping.uses()] == [DAY + 1]
    assert await gateway.stored() == [(NOON + DAY_MS, 45.2)]
