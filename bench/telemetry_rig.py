"""The gateway's own store and ingestion, without sockets, at whatever moment a measurement says it is."""

import contextlib
import os
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import msgspec

from appliance import config
from appliance.alerts.service import Alerts
from appliance.bus import Bus
from appliance.folder_lock import folder_locked
from appliance.ingestion.service import Ingestion
from appliance.ingestion.settling.service import Rooms
from appliance.process import foundation_opened, settle_memory
from appliance.telemetry.keeping.service import Keeping
from appliance.telemetry.service import Telemetry


class Rig:
    """What is measured, and the moment it is there, UTC milliseconds."""

    telemetry: Telemetry
    keeping: Keeping
    ingestion: Ingestion

    def __init__(self, folder: Path, now: int) -> None:
        self.folder = folder
        self.now = now
        self._log_id = 0

    def next_log_id(self) -> int:
        """The number of the next commit, where there is no log to give it."""
        self._log_id += 1
        return self._log_id

    def clock(self) -> int:
        """The moment it is."""
        return self.now

    async def night(self) -> None:
        """Put what is in memory into day files, seal the days that are over, and roll up."""
        await self.telemetry.seal_all()
        await self.telemetry.rollups.roll()
        await self.keeping.seal_due()
        await self.telemetry.rollups.roll()


@contextlib.asynccontextmanager
async def opened(folder: Path, now: int) -> AsyncIterator[Rig]:
    """The store in a folder, made if it is missing, with the settings that lie there, if there are any.

    A batch is committed as soon as it is handed over.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "config.toml"
    if not path.exists():
        path.write_text(f'data = "{folder / "data"}"\n', encoding="utf-8")
    settings = config.load(path)
    rig = Rig(settings.data_folder, now)
    with folder_locked(settings.data_folder):
        async with foundation_opened(settings, rig.clock) as foundation:
            database = foundation.database
            rig.telemetry = Telemetry(database, settings.data_folder, settings.telemetry, rig.clock)
            rig.keeping = Keeping(database, rig.telemetry, settings.telemetry, rig.clock)
            alerts = Alerts(database, settings.alerts, rig.clock)
            rooms = Rooms(foundation.registry, alerts, rig.telemetry, foundation.catalogue.type_of)
            at_once = msgspec.structs.replace(settings.ingestion, commit_interval_ms=0)
            rig.ingestion = Ingestion(database, rooms, Bus(), at_once, rig.clock)
            async with rig.telemetry.opened(), alerts.opened():
                # As in the gateway: full collections would be in the figures of whatever they meet.
                settle_memory()
                yield rig


def size_bytes(paths: Iterable[Path]) -> int:
    """What files, and everything in folders, take."""
    total = 0
    for path in paths:
        if path.is_dir():
            total += size_bytes(path.iterdir())
        elif path.exists():
            total += path.stat().st_size
    return total


def written_bytes(pid: int | None = None) -> int:
    """What a process has had Linux write to disks so far: whole pages, those of the file system itself among them."""
    return _io(pid)["write_bytes"]


def handed_bytes() -> int:
    """What this process has handed over so far to be written to files, terminals and pipes; sockets do not count."""
    return _io(None)["wchar"]


def _io(pid: int | None) -> dict[str, int]:
    lines = Path(f"/proc/{os.getpid() if pid is None else pid}/io").read_text(encoding="utf-8").splitlines()
    return {name: int(value) for name, _, value in (line.partition(":") for line in lines)}
