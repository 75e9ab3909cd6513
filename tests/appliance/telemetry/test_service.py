"""Readings survive restarts wherever they happen, and come back in order, each once."""

import asyncio
import contextlib
import shutil
import sqlite3
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.config import TelemetryConfig
from appliance.instant import DAY_MS, MINUTE_MS
from appliance.store.database import Database, connect_reader, opened
from appliance.telemetry import log_record, queries
from appliance.telemetry.model import Latest, Report, TimeSource
from appliance.telemetry.service import Telemetry
from tests.appliance.store.tables import up_to_date
from tests.appliance.telemetry.reports import NOON, report

FOREVER = (0, 1 << 45)


class Gateway:
    """What commits and what keeps, over one folder; and a clock that is set."""

    def __init__(self, folder: Path, config: TelemetryConfig | None = None) -> None:
        self.folder = folder
        self.config = config or TelemetryConfig()
        self.now = NOON
        self.database: Database
        self.telemetry: Telemetry

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Gateway"]:
        async with opened(self.folder / "gateway.db", prepare=up_to_date) as self.database:
            self.telemetry = Telemetry(self.database, self.folder, self.config, lambda: self.now)
            async with self.telemetry.opened():
                yield self

    async def commit(self, *reports: Report) -> int:
        record = log_record.encode(reports)
        return await self.database.write(queries.insert_log, 1, self.now, len(reports), record)

    async def take(self, *reports: Report) -> None:
        self.telemetry.absorb(reports, await self.commit(*reports))

    async def log_ids(self) -> list[int]:
        return [row.log_id for row in await self.database.read(queries.select_log(1, 0, 1_000_000))]

    async def stored(self, device_id: str = "sensor-001", metric: str = "pressure") -> list[tuple[int, Any]]:
        (series,) = await self.telemetry.series(1, device_id, [metric], *FOREVER, limit=1_000_000)
        return list(zip(series.at, series.values, strict=True))


operations = st.one_of(
    st.tuples(
        st.just("take"),
        st.lists(st.tuples(st.sampled_from("abc"), st.integers(-2, 1), st.integers(0, 40)), min_size=1, max_size=5),
    ),
    st.tuples(st.just("wait"), st.integers(0, 12)),
    st.tuples(st.just("seal_one"), st.integers(0, 8)),
    st.tuples(
        st.sampled_from(["seal", "seal_all", "insert", "insert_checkpoint", "restart", "kill", "power"]), st.none()
    ),
    st.tuples(st.just("kill_before_absorb"), st.integers(0, 40)),
)


def report_counts(path: Path) -> list[int]:
    with contextlib.closing(connect_reader(path)) as connection:
        if connection.execute("PRAGMA user_version").fetchone() == (0,):
            # A power cut came before the first checkpoint.
            return []
        return [count for (count,) in connection.execute("SELECT report_count FROM chunk")]


class Story:
    """A gateway that is run, killed and cut off in any order, and what it must know."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.life = 0
        self.now = NOON
        self.count = 0
        self.expected: dict[str, list[tuple[int, int]]] = {"a": [], "b": [], "c": []}

    def place(self) -> Path:
        path = self.folder / str(self.life)
        path.mkdir(exist_ok=True)
        return path

    async def run(self, steps: list[tuple[str, Any]]) -> None:
        remaining = iter([*steps, ("restart", None), ("end", None)])
        while await self.live(remaining):
            pass

    async def live(self, remaining: Any) -> bool:
        """Run until the life of the process ends; False when the story does."""
        gateway = Gateway(self.place(), TelemetryConfig(seal_after_reports=4, memory_limit_reports=30))
        gateway.now = self.now
        async with gateway.running():
            await self.check(gateway)
            for kind, argument in remaining:
                if kind == "end":
                    return False
                if kind == "restart":
                    break
                if kind in ("kill", "power", "kill_before_absorb"):
                    if kind == "kill_before_absorb":
                        await gateway.commit(self.next_report("a", 0, argument))
                    self.cut(without_wal=kind == "power")
                    break
                await self.step(gateway, kind, argument)
            self.now = gateway.now
        return True

    async def step(self, gateway: Gateway, kind: str, argument: Any) -> None:
        telemetry = gateway.telemetry
        match kind:
            case "take":
                await gateway.take(*[self.next_report(*each) for each in argument])
            case "wait":
                gateway.now += argument * MINUTE_MS
            case "seal":
                await telemetry.seal_due()
            case "seal_all":
                await telemetry.seal_all()
            case "seal_one":
                chunks = [each for device in telemetry._chunks._devices.values() for each in device.open.values()]
                telemetry._chunks._seal(chunks[argument : argument + 1])
                await telemetry._write_sealing()
            case _:
                telemetry._chunks.begin_sealing_all()
                await telemetry._insert_sealing()
                if kind == "insert_checkpoint":
                    await telemetry._checkpoint()
        await self.check(gateway)

    def next_report(self, device: str, day: int, minute: int) -> Report:
        self.count += 1
        at = NOON + day * DAY_MS + minute * MINUTE_MS
        self.expected[device].append((at, self.count))
        return report(device, at, sequence=self.count, values={"pressure": self.count})

    def cut(self, *, without_wal: bool) -> None:
        """Copy the files as they lie: what a killed process leaves, or a power cut that loses what was not synced."""
        source = self.place()
        self.life += 1
        target = self.place()
        shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*-shm"))
        if without_wal:
            for path in (target / "days").glob("*-wal"):
                path.unlink()

    async def check(self, gateway: Gateway) -> None:
        in_files = [
            count for path in gateway.telemetry._files.paths(queries.DAY_NAMES) for count in report_counts(path)
        ]
        assert sum(in_files) + gateway.telemetry._chunks.report_count == self.count
        for device, expected in self.expected.items():
            found = await gateway.stored(device)
            assert sorted(found) == sorted(expected)
            assert [at for at, _ in found] == sorted(at for at, _ in expected)
            first_of_newest = next((pair for pair in expected if pair[0] == max(at for at, _ in expected)), None)
            latest = gateway.telemetry.latest(1, device)
            assert latest == ({"pressure": Latest(*first_of_newest, TimeSource.DEVICE)} if first_of_newest else {})
            arrived = max((at + 20 for at, _ in expected), default=None)
            assert gateway.telemetry.last_seen(1, device) == arrived


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(operations, max_size=25))
def test_no_restart_at_any_point_loses_or_doubles_a_reading(steps: list[tuple[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(Story(Path(folder)).run(steps))


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with Gateway(tmp_path).running() as running:
        yield running


async def test_what_was_taken_is_there_at_once(gateway: Gateway) -> None:
    await gateway.take(report(), report(at=NOON + 1000, values={"pressure": 46.0, "state": "ok"}))
    assert await gateway.stored() == [(NOON, 45.2), (NOON + 1000, 46.0)]
    assert gateway.telemetry.latest(1, "sensor-001")["pressure"] == Latest(NOON + 1000, 46.0, TimeSource.DEVICE)
    assert gateway.telemetry.latest_of_all(1) == {"sensor-001": gateway.telemetry.latest(1, "sensor-001")}
    assert gateway.telemetry.metrics(1, "sensor-001") == ["battery", "pressure", "state"]
    assert gateway.telemetry.recent(1, "sensor-001", "pressure") == [(NOON, 45.2), (NOON + 1000, 46.0)]
    assert gateway.telemetry.last_seen(1, "sensor-001") == NOON + 1020


async def test_an_unknown_device_has_nothing(gateway: Gateway) -> None:
    telemetry = gateway.telemetry
    assert telemetry.latest(1, "unknown") == {}
    assert telemetry.metrics(1, "unknown") == []
    assert telemetry.recent(1, "unknown", "pressure") == []
    assert telemetry.last_seen(1, "unknown") is None
    (series,) = await telemetry.series(1, "unknown", ["pressure"], *FOREVER, limit=10)
    assert (list(series.at), series.truncated) == ([], False)


async def test_readings_go_to_the_day_of_their_moment_and_the_log_is_trimmed(gateway: Gateway) -> None:
    for day in (-40, -1, 0, 1, 2):
        await gateway.take(report(at=NOON + day * DAY_MS))
    await gateway.telemetry.seal_all()
    names = sorted(path.name for path in (gateway.folder / "days").glob("*.db"))
    assert names == [f"{day}.db" for day in ("2025-12-22", "2026-01-30", "2026-01-31", "2026-02-01", "2026-02-02")]
    assert await gateway.log_ids() == []
    assert len(await gateway.stored()) == 5


async def test_only_chunks_whose_time_has_come_are_sealed(gateway: Gateway) -> None:
    await gateway.take(report())
    await gateway.telemetry.seal_due()
    assert len(await gateway.log_ids()) == 1
    gateway.now += 10 * MINUTE_MS
    await gateway.telemetry.seal_due()
    assert await gateway.log_ids() == []


async def test_a_silent_device_does_not_hold_what_others_need_trimmed_for_long(gateway: Gateway) -> None:
    await gateway.take(report("quiet"))
    for minute in range(25):
        gateway.now += MINUTE_MS
        await gateway.take(report("busy", NOON + minute * MINUTE_MS))
        await gateway.telemetry.seal_due()
    assert len(await gateway.log_ids()) <= 11


async def test_the_limit_keeps_the_newest_across_days(gateway: Gateway) -> None:
    moments = [NOON + day * DAY_MS + tick for day in range(3) for tick in range(5)]
    await gateway.take(*[report(at=at, values={"pressure": at}) for at in moments])
    await gateway.telemetry.seal_all()
    (series,) = await gateway.telemetry.series(1, "sensor-001", ["pressure"], *FOREVER, limit=7)
    assert (list(series.at), series.truncated) == (moments[-7:], True)
    (series,) = await gateway.telemetry.series(1, "sensor-001", ["pressure"], moments[1], moments[6], limit=7)
    assert (list(series.at), series.truncated) == (moments[1:6], False)


async def test_a_redelivered_report_counts_once_wherever_it_lies(gateway: Gateway) -> None:
    await gateway.take(report(sequence=1))
    await gateway.telemetry.seal_all()
    await gateway.take(report(sequence=1, arrived_at=NOON + 9000), report(sequence=2))
    assert await gateway.stored() == [(NOON, 45.2), (NOON, 45.2)]


async def test_a_damaged_chunk_is_named_and_the_rest_is_given(gateway: Gateway) -> None:
    await gateway.take(report())
    await gateway.telemetry.seal_all()
    await gateway.take(report(at=NOON + 1))
    await gateway.telemetry.seal_all()
    file = await gateway.telemetry._files.writer(queries.day_name(NOON // DAY_MS))
    await file.write(
        lambda connection: connection.execute("UPDATE chunk SET record = x'00' WHERE first_at = ?", (NOON,))
    )
    assert await gateway.stored() == [(NOON + 1, 45.2)]
    assert await gateway.stored() == [(NOON + 1, 45.2)]
    status = gateway.telemetry.status()
    assert (status.ok, status.details["damaged"]) == (False, 1)


async def test_a_damaged_day_file_is_named_and_the_rest_is_given(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    async with gateway.running():
        await gateway.take(report(), report(at=NOON + DAY_MS))
        await gateway.telemetry.seal_all()
    (tmp_path / "days" / "2026-01-31.db").write_bytes(b"no database" * 5000)
    async with gateway.running():
        assert not gateway.telemetry.status().ok
        assert await gateway.stored() == [(NOON + DAY_MS, 45.2)]


async def test_a_damaged_log_record_does_not_keep_the_gateway_from_starting(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    async with gateway.running():
        await gateway.take(report())
        await gateway.database.write(queries.insert_log, 1, NOON, 1, b"damaged")
    async with gateway.running():
        assert await gateway.stored() == [(NOON, 45.2)]
        assert not gateway.telemetry.status().ok


async def test_a_restored_gateway_database_loses_nothing_that_comes_after_it(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    async with gateway.running():
        pass
    backup = (tmp_path / "gateway.db").read_bytes()
    async with gateway.running():
        for tick in range(5):
            await gateway.take(report(at=NOON + tick))
        await gateway.telemetry.seal_all()
    (tmp_path / "gateway.db").write_bytes(backup)
    async with gateway.running():
        await gateway.take(report(at=NOON + 5))
    async with gateway.running():
        assert [at for at, _ in await gateway.stored()] == [NOON + tick for tick in range(6)]


async def test_a_seal_that_failed_is_done_again(gateway: Gateway) -> None:
    await gateway.take(report())
    file = await gateway.telemetry._files.writer(queries.day_name(NOON // DAY_MS))
    await file.write(lambda connection: connection.execute("ALTER TABLE chunk RENAME TO elsewhere"))
    await gateway.telemetry.seal_all()
    status = gateway.telemetry.status()
    assert (status.ok, "2026-01-31.db was damaged: no such table: chunk" in status.summary) == (False, True)
    await gateway.take(report(at=NOON + 1))
    assert await gateway.stored() == [(NOON, 45.2), (NOON + 1, 45.2)]
    assert len(await gateway.log_ids()) == 2
    await file.write(lambda connection: connection.execute("ALTER TABLE elsewhere RENAME TO chunk"))
    gateway.telemetry.unwritable.clear()
    await gateway.telemetry.seal_all()
    assert await gateway.log_ids() == []
    assert await gateway.stored() == [(NOON, 45.2), (NOON + 1, 45.2)]


async def test_sparklines_outlive_sealing(gateway: Gateway) -> None:
    await gateway.take(*[report(at=NOON + tick, values={"pressure": tick}) for tick in range(3)])
    await gateway.telemetry.seal_all()
    assert gateway.telemetry.recent(1, "sensor-001", "pressure", 2) == [(NOON + 1, 1.0), (NOON + 2, 2.0)]
    assert gateway.telemetry.status().ok


async def test_what_is_due_is_sealed_without_being_asked_until_told_to_stop(gateway: Gateway) -> None:
    await gateway.take(report())
    gateway.now += 10 * MINUTE_MS
    stop = asyncio.Event()
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        tasks.create_task(gateway.telemetry._seal_until(stop, 1))
        while await gateway.log_ids():  # noqa: ASYNC110  the log is on disk and tells nobody when it changes
            await asyncio.sleep(0)
        stop.set()


async def test_a_failure_to_seal_ends_the_task(gateway: Gateway) -> None:
    await gateway.take(report())
    gateway.now += 10 * MINUTE_MS
    (gateway.folder / "days" / "2026-01-31.db").mkdir()
    with pytest.raises(sqlite3.OperationalError):
        await gateway.telemetry._seal_until(asyncio.Event(), 1)


async def test_the_log_stays_while_a_reader_keeps_a_day_file_from_the_disk(gateway: Gateway) -> None:
    await gateway.take(report())
    file = await gateway.telemetry._files.writer(queries.day_name(NOON // DAY_MS))
    await file.maintain(lambda connection: connection.execute("PRAGMA busy_timeout = 1"))
    with contextlib.closing(connect_reader(file.path)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM chunk").fetchall()
        await gateway.telemetry.seal_all()
        assert len(await gateway.log_ids()) == 1
        assert await gateway.stored() == [(NOON, 45.2)]
    await gateway.telemetry.seal_due()
    assert await gateway.log_ids() == []


async def test_a_metric_that_only_late_reports_named_is_latest_after_a_restart(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    async with gateway.running():
        await gateway.take(report(values={"pressure": 1.5}))
        await gateway.telemetry.seal_all()
        await gateway.take(report(at=NOON - DAY_MS, values={"state": "late"}))
        await gateway.telemetry.seal_all()
        before = gateway.telemetry.latest(1, "sensor-001")
    async with gateway.running():
        assert gateway.telemetry.latest(1, "sensor-001") == before
        assert set(before) == {"pressure", "state"}


async def test_late_reports_in_memory_survive_that_newer_ones_are_sealed(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, TelemetryConfig(seal_after_reports=2))
    async with gateway.running():
        await gateway.take(report(at=NOON - DAY_MS))
        await gateway.take(report(at=NOON), report(at=NOON + 1))
        await gateway.telemetry.seal_due()
        assert gateway.telemetry._chunks.report_count == 1
    async with gateway.running():
        assert gateway.telemetry._chunks.report_count == 1
        assert [at for at, _ in await gateway.stored()] == [NOON - DAY_MS, NOON, NOON + 1]
