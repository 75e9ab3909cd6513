"""What is erased is in no byte of any file, whatever else goes on meanwhile, and what fails is tried again."""

import asyncio
import contextlib
import random
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from appliance.audit.service import Audit
from appliance.config import IngestionConfig, TelemetryConfig
from appliance.instant import DAY_MS, MINUTE_MS
from appliance.store.database import UnwritableError, connect_reader
from appliance.telemetry import queries as day_queries
from appliance.telemetry.keeping.erased_list import NAME, append, read
from appliance.telemetry.keeping.erasing.service import DEVICES_PER_TRANSACTION
from appliance.telemetry.keeping.model import Listed
from appliance.telemetry.keeping.queries import checkpoint, opened_day
from appliance.telemetry.keeping.service import Keeping
from appliance.telemetry.model import Report
from tests.appliance.ingestion.examples import NOW, message, turn
from tests.appliance.ingestion.gateway import ingesting, until
from tests.appliance.telemetry.keeping.story import AFTER, KeepingGateway
from tests.appliance.telemetry.reports import DAY, NOON, report
from tests.appliance.telemetry.test_service import Gateway


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[KeepingGateway]:
    async with KeepingGateway(tmp_path).running() as running:
        yield running


def noisy(device_id: str, at: int) -> Report:
    """A report whose chunk looks like no other."""
    chance = random.Random(f"{device_id} {at}")  # noqa: S311  nothing is secret here
    return report(device_id, at, values={f"x{number}": chance.random() for number in range(30)})


def blobs(path: Path, device_id: str) -> list[bytes]:
    """What an open day holds of a device."""
    with opened_day(path) as part:
        assert part is not None
        [number] = [each.number for each in part.devices() if each.device_id == device_id]
        return [row.blob for row in part.chunks(number, number)]


async def test_nothing_of_it_is_left_in_the_open_day_nor_in_its_log(gateway: KeepingGateway) -> None:
    path = gateway.telemetry.day_files.path(DAY)
    for minute in range(0, 200, 10):
        await gateway.take(*[noisy(f"s-{number}", NOON + minute * MINUTE_MS) for number in range(40)])
        await gateway.telemetry.seal_all()
    by_device = {number: blobs(path, f"s-{number}") for number in range(40)}
    gone = by_device.pop(7)
    theirs = b"".join(blob for some in by_device.values() for blob in some)
    pieces = {blob[start : start + 12] for blob in gone for start in range(0, len(blob) - 12, 16)}
    its_own = [piece for piece in pieces if piece not in theirs]
    assert len(its_own) > 5 * len(gone)
    await gateway.keeping.erase(1, ["s-7"])
    await gateway.keeping.erase_pending()
    content = b"".join(each.read_bytes() for each in path.parent.iterdir())
    assert [piece for piece in its_own if piece in content] == []
    assert b"s-7s" not in content
    assert {number: blobs(path, f"s-{number}") for number in by_device} == by_device
    assert gateway.names() == {"2026-01-31.db"}


async def test_nothing_of_it_is_left_where_the_log_lay_before(gateway: KeepingGateway) -> None:
    for minute in range(60):
        await gateway.take(report("s-7", NOON + minute * MINUTE_MS, values={"words": f"private-{minute}"}))
        await gateway.take(report("s-8", NOON + minute * MINUTE_MS, values={"words": f"others-{minute}"}))
    records = [row.record for row in await gateway.database.read(day_queries.select_log(1, 0, 1_000))][::2]
    await gateway.telemetry.seal_all()
    await gateway.database.maintain(checkpoint)
    assert await gateway.log_ids() == []
    before = gateway.database.path.read_bytes()
    assert any(record in before for record in records)
    await gateway.keeping.erase(1, ["s-7"])
    await gateway.keeping.erase_pending()
    await gateway.take(report("s-8", NOON + 61 * MINUTE_MS))
    assert len(await gateway.log_ids()) == 1
    content = b"".join(each.read_bytes() for each in gateway.folder.glob("gateway.db*"))
    assert not any(record in content for record in records)


async def test_very_many_devices_are_erased_some_at_a_time(gateway: KeepingGateway) -> None:
    names = [f"s-{number}" for number in range(2 * DEVICES_PER_TRANSACTION + 3)]
    await gateway.take(*[report(name) for name in [*names, "other"]])
    await gateway.telemetry.seal_all()
    await gateway.keeping.erase(1, names)
    await gateway.keeping.erase_pending()
    with opened_day(gateway.telemetry.day_files.path(DAY)) as part:
        assert part is not None
        assert [each.device_id for each in part.devices()] == ["other"]


async def test_many_devices_take_one_walk_through_the_days_as_one_does(gateway: KeepingGateway) -> None:
    days, names = range(3), [f"s-{number}" for number in range(DEVICES_PER_TRANSACTION)]
    for day in days:
        await gateway.take(*[report(name, NOON + day * DAY_MS) for name in [*names, "other"]])
    gateway.now = AFTER + 3 * DAY_MS
    await gateway.seal()
    files = [gateway.folder / "days" / name for name in sorted(gateway.names())]
    walks = []
    for some in (names[:1], names[1:]):
        before = [path.stat().st_ino for path in files]
        await gateway.keeping.erase(1, some)
        walks.append(0)
        async for _ in gateway.keeping._erasing.steps():
            walks[-1] += 1
        assert all(path.stat().st_ino != was for path, was in zip(files, before, strict=True))
    assert walks[0] == walks[1]
    assert [len(await gateway.stored(name)) for name in ("s-0", names[-1], "other")] == [0, 0, 3]


async def test_what_others_send_gets_into_its_day_between_the_steps(gateway: KeepingGateway) -> None:
    await gateway.take(report("person"), report("other"))
    await gateway.telemetry.seal_all()
    await gateway.keeping.erase(1, ["person"])
    count = 0
    async for _ in gateway.keeping._erasing.steps():
        count += 1
        await gateway.take(report("other", NOON + count), report("person", NOON + count))
        await gateway.telemetry.seal_all()
        assert gateway.telemetry._chunks.report_count == 0
    expected = [(NOON + tick, 45.2) for tick in range(count + 1)]
    assert await gateway.stored("other") == expected
    assert await gateway.stored("person") == expected[1:]


async def test_a_day_that_somebody_else_reads_is_erased_from_later_and_others_at_once(gateway: KeepingGateway) -> None:
    for day in (0, 1):
        await gateway.take(report("person", NOON + day * DAY_MS), report("other", NOON + day * DAY_MS))
    await gateway.telemetry.seal_all()
    file = await gateway.telemetry._files.writer(day_queries.day_name(DAY))
    await file.maintain(lambda connection: connection.execute("PRAGMA busy_timeout = 1"))
    await gateway.keeping.erase(1, ["person"])
    with contextlib.closing(connect_reader(file.path)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM chunk").fetchall()
        with pytest.raises(UnwritableError, match=r"2026-01-31\.db is being read"):
            await gateway.keeping.erase_pending()
        assert [each.device_id for each in gateway.keeping.pending] == ["person"]
        assert await gateway.stored("person") == []
        assert b"person" not in (file.path.parent / "2026-02-01.db").read_bytes()
    await gateway.keeping.erase_pending()
    assert not gateway.keeping.pending
    assert b"person" not in file.path.read_bytes()


async def test_a_sealed_day_with_late_readings_loses_the_device_from_both_parts(gateway: KeepingGateway) -> None:
    gateway.now = AFTER
    await gateway.take(report("person"), report("other"))
    await gateway.seal()
    await gateway.take(report("person", NOON + 1), report("other", NOON + 1))
    await gateway.telemetry.seal_all()
    await gateway.keeping.erase(1, ["person"])
    await gateway.keeping.erase_pending()
    assert gateway.names() == {"2026-01-31.sealed", "2026-01-31.db"}
    assert [name for name in gateway.names() if b"person" in (gateway.folder / "days" / name).read_bytes()] == []
    assert await gateway.stored("other") == [(NOON, 45.2), (NOON + 1, 45.2)]


async def test_roll_ups_that_were_set_aside_go_and_it_is_said(gateway: KeepingGateway) -> None:
    await gateway.take(report("person"), report("other"))
    await gateway.telemetry.seal_all()
    aside = gateway.folder / "rollups" / "2026-01.db.damaged-1"
    aside.write_bytes(b"of person, perhaps")
    whole = gateway.folder / "days" / "2026-01-30.db.damaged-1"
    whole.write_bytes(gateway.telemetry.day_files.path(DAY).read_bytes())
    await gateway.keeping.erase(1, ["stranger"])
    await gateway.keeping.erase_pending()
    assert not aside.exists()
    # It was set aside, but its list of devices is whole and does not name the one that is erased.
    assert whole.exists()
    entries = await Audit(gateway.database, lambda: 0).entries(1)
    assert [(entry.action, entry.subject) for entry in entries] == [
        ("telemetry.erased", "stranger"),
        ("telemetry.remove_damaged", "2026-01.db.damaged-1"),
        ("telemetry.erase", "stranger"),
    ]


async def test_roll_ups_that_turn_out_to_be_damaged_go_with_what_was_erased(gateway: KeepingGateway) -> None:
    await gateway.take(report("person"), report("other"))
    await gateway.telemetry.seal_all()
    path = gateway.folder / "rollups" / "2026-01.db"
    path.write_bytes(b"of person, perhaps " * 1_000)
    await gateway.keeping.erase(1, ["person"])
    await gateway.keeping.erase_pending()
    left = [each.name for each in path.parent.iterdir() if b"person" in each.read_bytes()]
    assert left == []
    assert await gateway.stored("other") == [(NOON, 45.2)]


async def test_what_was_accepted_before_goes_even_if_it_is_committed_later_and_what_comes_after_stays(
    tmp_path: Path,
) -> None:
    async with ingesting(tmp_path, IngestionConfig(commit_interval_ms=0, batch_messages=2)) as gateway:
        keeping = Keeping(gateway.database, gateway.telemetry, TelemetryConfig(), lambda: gateway.now)
        keeping.follow(gateway.ingestion.settled)
        # One batch is being committed, and what waits behind it is taken in several.
        async with gateway.disk_busy():
            for number in range(9):
                gateway.ingestion.accept(turn([message({"flow": number, "timestamp": NOW + number})]))
                await asyncio.sleep(0)
            erasing = asyncio.create_task(keeping.erase(1, ["pump"]))
            for _ in range(20):
                await asyncio.sleep(0)
            assert not erasing.done()
        await erasing
        assert gateway.messages_on_disk() == 9
        assert gateway.telemetry.newest_of_all(1) == []
        gateway.ingestion.accept(turn([message({"flow": 10, "timestamp": NOW + 10})]))
        await gateway.ingestion.settled()
        await keeping.erase_pending()
        [series] = await gateway.telemetry.series(1, "pump", ["flow"], 0, 1 << 45, limit=100)
        assert list(series.values) == [10]


async def test_while_what_was_accepted_cannot_be_committed_nothing_is_erased_and_that_is_said(tmp_path: Path) -> None:
    async with ingesting(tmp_path) as gateway:
        keeping = Keeping(gateway.database, gateway.telemetry, TelemetryConfig(), lambda: gateway.now)
        keeping.follow(gateway.ingestion.settled)
        keeping._erasing.settle_timeout_s = 0
        async with gateway.disk_busy():
            gateway.ingestion.accept(turn([message({"flow": 1})]))
            with pytest.raises(UnwritableError, match="ask for it again later"):
                await keeping.erase(1, ["pump"])
        await gateway.ingestion.settled()
        assert not keeping.pending
        assert gateway.telemetry.latest(1, "pump")["flow"].value == 1
        # Nothing waits now, so nothing is waited for.
        keeping._erasing.settle_timeout_s = 10
        await keeping.erase(1, ["pump"])
        assert [each.device_id for each in keeping.pending] == ["pump"]


async def test_what_was_erased_since_the_backup_of_gateway_db_does_not_come_back_with_it(tmp_path: Path) -> None:
    gateway = KeepingGateway(tmp_path)
    async with gateway.running():
        await gateway.take(report("a"), report("b"))
    backup = (tmp_path / "gateway.db").read_bytes()
    async with gateway.running():
        await gateway.take(report("a", NOON + 1), report("b", NOON + 1))
        await gateway.telemetry.seal_all()
        await gateway.keeping.erase(1, ["a"])
        await gateway.keeping.erase_pending()
        through = max(each.through_log_id for each in read(tmp_path / "days").reach.values())
    (tmp_path / "gateway.db").write_bytes(backup)
    async with gateway.running():
        # Its log still has the first report.
        assert await gateway.stored("a") == []
        assert [each.device_id for each in gateway.keeping.pending] == ["a"]
        await gateway.take(report("a", NOON + 2))
        assert max(await gateway.log_ids()) > through
        await gateway.telemetry.seal_all()
        await gateway.keeping.erase_pending()
        assert gateway.keeping.pending == ()
        assert [at for at, _ in await gateway.stored("a")] == [NOON + 2]
        assert [at for at, _ in await gateway.stored("b")] == [NOON, NOON + 1]
        told = [each.action for each in await Audit(gateway.database, lambda: NOON).entries(1)]
        assert told[:2] == ["telemetry.erased", "telemetry.erase"]
    async with gateway.running():
        assert gateway.keeping.pending == ()
        assert [at for at, _ in await gateway.stored("a")] == [NOON + 2]


async def test_a_new_gateway_db_knows_from_the_day_files_what_was_erased(tmp_path: Path) -> None:
    gateway = KeepingGateway(tmp_path)
    async with gateway.running():
        await gateway.take(report("a"))
        await gateway.telemetry.seal_all()
        await gateway.keeping.erase(1, ["a"])
    for path in tmp_path.glob("gateway.db*"):
        path.unlink()
    async with gateway.running():
        assert await gateway.stored("a") == []
        await gateway.take(report("a", NOON + 1))
        await gateway.keeping.erase_pending()
        assert [at for at, _ in await gateway.stored("a")] == [NOON + 1]


@pytest.mark.parametrize("is_list_older", [False, True])
async def test_what_was_erased_does_not_come_back_with_a_copy_of_a_day_file(
    tmp_path: Path, *, is_list_older: bool
) -> None:
    gateway = KeepingGateway(tmp_path)
    async with gateway.running():
        await gateway.take(report("a"), report("b"))
        await gateway.telemetry.seal_all()
    path = tmp_path / "days" / "2026-01-31.db"
    backup = path.read_bytes()
    async with gateway.running():
        await gateway.keeping.erase(1, ["a"])
        await gateway.keeping.erase_pending()
    path.write_bytes(backup)
    if is_list_older:
        # It came back with the day file; gateway.db is what still knows.
        (tmp_path / "days" / NAME).unlink()
    async with gateway.running():
        assert await gateway.stored("a") == []
        assert len(await gateway.stored("b")) == 1
        assert [each.device_id for each in gateway.keeping.pending] == ["a"]
        await gateway.keeping.erase_pending()
        assert len(await gateway.stored("b")) == 1
    async with gateway.running():
        assert gateway.keeping.pending == ()
        assert await gateway.stored("a") == []


async def test_what_was_erased_before_there_was_a_list_is_listed_at_the_next_start(tmp_path: Path) -> None:
    gateway = KeepingGateway(tmp_path)
    async with gateway.running():
        await gateway.take(report("a"))
        await gateway.keeping.erase(1, ["a"])
        await gateway.keeping.erase_pending()
    (tmp_path / "days" / NAME).unlink()
    async with gateway.running():
        assert set(read(tmp_path / "days").reach) == {(1, "a")}
        assert gateway.keeping.pending == ()


async def test_while_the_disk_takes_nothing_a_gateway_starts_and_shows_nothing_of_what_came_back(
    tmp_path: Path,
) -> None:
    gateway = Gateway(tmp_path)
    async with gateway.running():
        await gateway.take(report("a"), report("b"))
        await gateway.telemetry.seal_all()
    append(tmp_path / "days", [Listed(1, "a", 1, NOON)])
    async with gateway.running():
        await gateway.database.maintain(lambda connection: connection.execute("PRAGMA busy_timeout = 1"))
        keeping = Keeping(gateway.database, gateway.telemetry, TelemetryConfig(), lambda: gateway.now)
        with contextlib.closing(sqlite3.connect(gateway.database.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            async with keeping.running():
                assert await gateway.stored("a") == []
                assert len(await gateway.stored("b")) == 1
                await until(lambda: "cannot be written" in keeping.status().summary)
                other.execute("ROLLBACK")
                await keeping.tend()
                path = gateway.telemetry.day_files.path(DAY)
                await until(lambda: keeping.status().ok and not keeping.pending and not has_device(path, "a"))
        assert await gateway.stored("a") == []
        assert len(await gateway.stored("b")) == 1
        told = [each.action for each in await Audit(gateway.database, lambda: NOON).entries(1)]
        assert told == ["telemetry.erased", "telemetry.erase"]


async def test_what_the_list_says_of_a_tenant_that_gateway_db_does_not_know_keeps_none_from_starting(
    tmp_path: Path,
) -> None:
    (tmp_path / "days").mkdir()
    append(tmp_path / "days", [Listed(2, "x", 7, NOON), Listed(1, "a", 7, NOON)])
    gateway = KeepingGateway(tmp_path)
    async with gateway.running():
        assert [(each.tenant_id, each.device_id) for each in gateway.keeping.pending] == [(1, "a")]
        audit = Audit(gateway.database, lambda: NOON)
        assert [(each.action, each.subject) for each in await audit.entries(1)] == [("telemetry.erase", "a")]
        assert await audit.entries(2) == []
        assert gateway.telemetry.day_files.erased_before == ()


@pytest.mark.parametrize("is_restarted", [False, True])
async def test_what_is_asked_for_again_late_does_not_shorten_a_later_erasing(
    tmp_path: Path, *, is_restarted: bool
) -> None:
    gateway = KeepingGateway(tmp_path)
    async with gateway.running():
        await gateway.take(report("a"))
        await gateway.take(report("a", NOON + 1))
        await gateway.keeping.erase(1, ["a"])
        gateway.telemetry.day_files.erased_before = (Listed(1, "a", 1, NOON),)
        await gateway.keeping._erasing.ask_again()
        assert [each.through_log_id for each in gateway.keeping.pending] == [2, 1]
        if not is_restarted:
            await gateway.keeping.erase_pending()
    async with gateway.running():
        assert await gateway.stored("a") == []
        await gateway.keeping.erase_pending()
        assert await gateway.stored("a") == []
        assert gateway.keeping.pending == ()


def has_device(path: Path, device_id: str) -> bool:
    with opened_day(path) as part:
        return part is not None and device_id in [each.device_id for each in part.devices()]
