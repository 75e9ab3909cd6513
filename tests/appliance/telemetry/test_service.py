"""Readings survive restarts wherever they happen, and come back in order, each once."""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.config import TelemetryConfig
from appliance.instant import DAY_MS, MINUTE_MS
from appliance.store.database import Database, opened
from appliance.store.migrate import migrate
from appliance.telemetry import log_record, queries
from appliance.telemetry.model import Latest, Report, TimeSource
from appliance.telemetry.service import Telemetry
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
        async with opened(self.folder / "gateway.db", prepare=migrate) as self.database:
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
    st.tuples(
        st.sampled_from(["seal", "seal_all", "insert", "insert_checkpoint", "restart", "kill", "power"]), st.none()
    ),
    st.tuples(st.just("kill_before_absorb"), st.integers(0, 40)),
)


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
            case "insert" | "insert_checkpoint":
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
        for device, expected in self.expected.items():
            found = await gateway.stored(device)
            assert sorted(found) == sorted(expected)
            assert [at for at, _ in found] == sorted(at for at, _ in expected)
            first_of_newest = next((pair for pair in expected if pair[0] == max(at for at, _ in expected)), None)
            latest = gateway.telemetry.latest(1, device)
            assert latest == ({"pressure": Latest(*first_of_newest, TimeSource.DEVICE)} if first_of_newest else {})
            arrived = max((at + 20 for at, _ in expected), default=None)
            assert gateway.telemetry.last_seen(1, device) == arrived


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(operations, max_size=25))
def test_no_restart_at_any_point_loses_or_doubles_a_reading(steps: list[tuple[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(Story(Path(folder)).run(steps))
