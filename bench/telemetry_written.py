"""What reaches the disk for each reading, once chunks are sealed as steadily as readings come.

Run as `python -m bench.telemetry_written '<JSON of Writing>'`; prints `Written` as JSON. Messages are decoded, judged,
committed, put into day files and rolled up by the gateway's own code, one commit for every 100 ms, but those
follow each other as fast as it can: the clock is the measurement's. Half an hour of it takes minutes.
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from appliance.instant import HOUR_MS, MINUTE_MS, SECOND_MS
from appliance.registry.model import DEFAULT_TENANT
from appliance.telemetry.open_chunks import LOOK_INTERVAL_MS
from bench.message import FIRST_SEQUENCE, PAYLOAD_BYTES, Press, device_ids
from bench.telemetry_rig import Rig, opened, written_bytes
from broker.message import Message
from broker.ports import Turn

COMMIT_MS = 100
SEAL_MS = LOOK_INTERVAL_MS
"""As often as the gateway looks for what is due."""
START = 20_240 * 24 * HOUR_MS + 30 * MINUTE_MS
PATIENCE_S = 60.0
READINGS_OF_EVENT = 5
"""Battery and signal are readings too, but are not counted: that would flatter the figures."""


class Writing(msgspec.Struct, frozen=True):
    """So many events a second, of so many devices in turn."""

    folder: str
    rate: int
    device_count: int
    before_s: int
    """How long, by the measurement's clock, until as much is sealed as comes in."""
    seconds: int
    """How long what is written is counted."""


class Written(msgspec.Struct, frozen=True):
    """What it came to."""

    event_count: int
    reading_count: int
    bytes_written: int
    """What this process had Linux write, in whole pages: log, day files, roll-ups, and the logs of all of these."""
    sealing_bytes: int
    """Of these, what sealing, trimming the log and rolling up wrote; the rest is the log."""
    took_s: float
    """The machine's own time for the events that were counted."""
    cpu_s: float


class _Source:
    """Devices that take turns."""

    def __init__(self, count: int) -> None:
        self._names = device_ids(count)
        self._presses = [Press(name, place) for place, name in enumerate(self._names)]
        self._sent = 0

    def messages(self, count: int, now: int) -> list[Message]:
        """The next messages, all of one moment."""
        made = []
        for _ in range(count):
            place = self._sent % len(self._names)
            sequence = FIRST_SEQUENCE + self._sent // len(self._names)
            packet = self._presses[place].packet(sequence, now)
            name = self._names[place]
            topic = f"sensors/{name}/telemetry"
            made.append(Message(DEFAULT_TENANT, name, name, topic, packet[-PAYLOAD_BYTES:], 1, False, now))
            self._sent += 1
        return made


async def write(task: Writing) -> Written:
    """Take events, and count what is written for the later ones."""
    async with opened(Path(task.folder), START) as rig:
        done = asyncio.Event()

        def acknowledge(_: Sequence[object]) -> None:
            done.set()

        source = _Source(task.device_count)
        async with rig.ingestion.running(acknowledge, _ignore, _ignore):
            await _live(rig, source, done, task.rate, task.before_s)
            before, began, cpu = written_bytes(), time.perf_counter(), time.process_time()
            events, sealing = await _live(rig, source, done, task.rate, task.seconds)
            took, used, written = time.perf_counter() - began, time.process_time() - cpu, written_bytes() - before
    return Written(events, events * READINGS_OF_EVENT, written, sealing, took, used)


async def _live(rig: Rig, source: _Source, done: asyncio.Event, rate: int, seconds: int) -> tuple[int, int]:
    """Let so much time go by; gives how many events that were, and what all but their commits wrote."""
    count = sealing = 0
    for _ in range(seconds * SECOND_MS // COMMIT_MS):
        rig.now += COMMIT_MS
        messages = source.messages(rate * COMMIT_MS // SECOND_MS, rig.now)
        done.clear()
        rig.ingestion.accept(Turn(messages, {}, [None]))
        async with asyncio.timeout(PATIENCE_S):
            await done.wait()
        count += len(messages)
        before = written_bytes()
        if rig.now % SEAL_MS == 0:
            await rig.telemetry.seal_due()
        if rig.now % MINUTE_MS == 0:
            await rig.telemetry.rollups.roll()
        sealing += written_bytes() - before
    return count, sealing


def _ignore() -> None:
    """One batch at a time never fills the backlog."""


if __name__ == "__main__":
    print(msgspec.json.encode(asyncio.run(write(msgspec.json.decode(sys.argv[1].encode(), type=Writing)))).decode())
