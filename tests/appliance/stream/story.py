"""A gateway's log and who reads it, over one folder: run, trimmed, stopped, and killed."""

import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

from appliance.audit.service import Audit
from appliance.bus import Bus
from appliance.config import JournalConfig, StreamConfig, TelemetryConfig
from appliance.store.database import Database, opened
from appliance.stream.replay.messages.service import Messages
from appliance.stream.replay.service import Replay
from appliance.stream.service import Stream
from appliance.telemetry import log_record, queries
from appliance.telemetry.journal.service import Journal
from appliance.telemetry.model import Report, ReportsCommitted
from appliance.telemetry.service import Telemetry
from tests.appliance.store.tables import up_to_date
from tests.appliance.telemetry.reports import NOON


async def backed_up(log: "Log") -> None:
    """Copy gateway.db as it is now."""
    await log.database.maintain(queries.checkpoint)
    shutil.copy(log.folder / "gateway.db", log.folder / "gateway.backup")


def restore(log: "Log") -> None:
    """Put the copy in the place of gateway.db, which nobody has open; without a copy it is lost."""
    for path in log.folder.glob("gateway.db*"):
        path.unlink()
    with contextlib.suppress(FileNotFoundError):
        shutil.copy(log.folder / "gateway.backup", log.folder / "gateway.db")


class Log:
    """What commits, keeps and reads, and a clock that is set."""

    def __init__(self, folder: Path, hold_mb: int = 256) -> None:
        self.folder = folder
        self.hold_mb = hold_mb
        self.is_journaled = False
        self.now = NOON
        self.database: Database
        self.telemetry: Telemetry
        self.stream: Stream
        self.replay: Replay
        self.journal: Journal
        self.messages: Messages
        self.bus = Bus()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Log"]:
        async with opened(self.folder / "gateway.db", prepare=up_to_date) as self.database:
            config = TelemetryConfig(seal_after_reports=4, memory_limit_reports=30)
            self.telemetry = Telemetry(self.database, self.folder, config, self.clock)
            audit = Audit(self.database, self.clock)
            streaming = StreamConfig(hold_mb=self.hold_mb)
            self.stream = Stream(self.database, audit, self.telemetry, self.bus, streaming, self.clock)
            self.replay = Replay(self.stream, 300_000)
            journal, erased = JournalConfig(enabled=self.is_journaled), self.telemetry.day_files.erased
            self.journal = Journal(self.folder / "journal", journal, self.clock, lambda: erased)
            self.messages = Messages(self.replay, self.journal)
            async with self.stream.opened(), self.journal.running():
                yield self

    def clock(self) -> int:
        return self.now

    def hold(self, count_bytes: int) -> None:
        """A bound below what the settings can say."""
        self.stream.hold_bytes = count_bytes

    async def take(self, *reports: Report) -> int:
        """One commit, by all who hear of it."""
        record = log_record.encode(reports)
        log_id = await self.database.write(queries.insert_log, 1, self.now, len(reports), record)
        self.telemetry.absorb(reports, log_id)
        self.bus.announce([ReportsCommitted({1: len(reports)})])
        return log_id
