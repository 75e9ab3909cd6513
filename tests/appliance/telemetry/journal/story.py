"""A journal over one folder, and a clock that is set, for tests of its service."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from appliance.config import JournalConfig
from appliance.telemetry.journal import files, frames
from appliance.telemetry.journal.model import Span
from appliance.telemetry.journal.service import Journal
from tests.appliance.telemetry.journal.examples import message
from tests.appliance.telemetry.reports import NOON

ON = JournalConfig(enabled=True)


class Story:
    """A journal over one folder, and a clock that is set."""

    def __init__(self, folder: Path, config: JournalConfig = ON) -> None:
        self.folder = folder / "journal"
        self.config = config
        self.now = NOON
        self.log_id = 0
        self.erased: dict[tuple[int, str], int] = {}
        self.journal: Journal

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Story"]:
        self.journal = Journal(self.folder, self.config, lambda: self.now, lambda: self.erased)
        async with self.journal.running():
            yield self

    def take(self, *payloads: bytes, principal: str = "a", after_ms: int = 1) -> None:
        """Messages of a device, one after the other, in one commit."""
        taken = []
        for payload in payloads:
            self.now += after_ms
            taken.append(message(payload, self.now, principal))
        self.log_id += 1
        self.journal.note(taken, self.log_id)

    async def payloads(self, start: int = NOON, end: int | None = None, tenant_id: int = 1) -> list[bytes]:
        end = self.now + 1 if end is None else end
        reading = self.journal.messages(tenant_id, Span(start, end), start)
        return [each.message.payload async for some in reading for each in some]

    async def turn_over(self) -> None:
        """Go on in the next segment."""
        await self.journal.flush()
        async with self.journal._work:
            await self.journal._turn_over()

    def die(self) -> None:
        """Leave the segment as a power cut would, and write nothing more."""
        writer, self.journal._writer = self.journal._writer, None
        assert writer is not None
        self.journal.is_keeping = False
        writer.close()


def payloads_of(folder: Path) -> list[bytes]:
    """Every payload that the segments in a folder have."""
    found = []
    for segment in files.survey(folder).segments:
        with files.path_of(folder, segment.number).open("rb") as source:
            found += [each.payload for block in frames.blocks(source) for each in block.messages()]
    return found
