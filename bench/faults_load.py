"""Devices that publish a running number at QoS 1 as fast as they are answered, and remember what was acknowledged.

Whoever loses the connection comes back and sends again what was not acknowledged, as a correct client does
[MQTT-4.4.0-1], so the same report may arrive twice.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from appliance import bundle_folder
from appliance.instant import DAY_MS
from appliance.simulator.client import Client, NotConnectedError, Options
from appliance.simulator.model import SimulatedDevice
from appliance.simulator.wire import Endpoint
from bench.children import BenchError
from bench.faults_gateway import METRIC, MQTT_HOST
from bench.message import device_ids

WINDOW = 16
WAIT_S = 120.0
DAYS = 4
"""Over how many days the moments of the devices are spread: some send what they measured days ago."""


class Verdict(msgspec.Struct, frozen=True):
    """What was found of what was sent."""

    sent: int
    acknowledged: int
    stored: int
    lost: tuple[int, ...]
    """Acknowledged, but not found."""
    doubled: tuple[int, ...]
    """Found more than once."""
    unknown: tuple[int, ...]
    """Found, but never sent."""

    @property
    def is_good(self) -> bool:
        """Whether everything acknowledged is there, and nothing twice."""
        return not (self.lost or self.doubled or self.unknown)


class _Device:
    """One device."""

    def __init__(self, crowd: "Crowd", simulated: SimulatedDevice, days_ago: int) -> None:
        self.device_id = simulated.device_id
        self._crowd = crowd
        self._behind_ms = days_ago * DAY_MS
        self._last_at = 0
        self._identity = simulated.identity
        self._numbers: dict[int, int] = {}
        """What waits for its acknowledgement, by packet identifier."""
        self._news = asyncio.Event()
        self._client: Client | None = None

    async def publish_until(self, port: int, stop: asyncio.Event) -> None:
        """Keep the window full for as long as there is a connection."""
        client = self._client
        if client is None:
            client = self._client = self._made(port)
        await client.connect()
        while not stop.is_set() and client.is_connected:
            while client.has_room:
                number = self._crowd.next_number()
                payload = json.dumps({"timestamp": self._moment(), "sequence": number, "readings": {METRIC: number}})
                packet_id = client.publish(f"sensors/{self.device_id}/telemetry", payload.encode(), 1)
                self._numbers[packet_id] = number
            self._news.clear()
            await self._news.wait()

    async def finish(self) -> None:
        """Wait until nothing waits for its acknowledgement any more."""
        while self._client is not None and self._client.is_connected and self._client.in_flight_count:
            self._news.clear()
            await self._news.wait()

    def wake(self) -> None:
        """Look again whether to go on."""
        self._news.set()

    def drop(self) -> None:
        """End the connection without a word; what waits for its acknowledgement waits on."""
        if self._client is not None:
            self._client.drop()

    def _made(self, port: int) -> Client:
        endpoint = Endpoint(MQTT_HOST, port, "localhost")
        client = Client(Options(self.device_id, endpoint, self._identity, clean_session=False, window=WINDOW))
        client.on_acknowledged = self._note
        client.on_lost = lambda _: self.wake()
        return client

    def _note(self, packet_id: int) -> None:
        self._crowd.note(self._numbers.pop(packet_id))
        self.wake()

    def _moment(self) -> int:
        self._last_at = max(self._last_at + 1, time.time_ns() // 1_000_000 - self._behind_ms)
        return self._last_at


class Crowd:
    """All devices of a load, across the deaths of the gateway."""

    def __init__(self, bundles: Path, device_count: int) -> None:
        self.device_ids: Sequence[str] = device_ids(device_count)
        self.sent_count = 0
        self.acknowledged: set[int] = set()
        self._devices = [
            _Device(self, each, place % DAYS)
            for place, each in enumerate(bundle_folder.simulated(bundles, self.device_ids))
        ]
        self._heard = asyncio.Event()

    def next_number(self) -> int:
        """The number of the next message."""
        self.sent_count += 1
        return self.sent_count

    def note(self, number: int) -> None:
        """Hear that a message was acknowledged."""
        self.acknowledged.add(number)
        self._heard.set()

    @asynccontextmanager
    async def publishing(self, port: int, *, to_the_end: bool = False) -> AsyncIterator[None]:
        """Publish while the block lasts; then drop the connections or, `to_the_end`, let everything be acknowledged.

        The gateway may die meanwhile. Raises `BenchError` when what was sent is not acknowledged in time.
        """
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            for device in self._devices:
                tasks.create_task(_endured(device.publish_until(port, stop)), name=device.device_id)
            try:
                yield
                if to_the_end:
                    stop.set()
                    await self._finish()
            finally:
                stop.set()
                for device in self._devices:
                    device.drop()
                    device.wake()

    async def more_acknowledged(self, count: int) -> None:
        """Wait until so many more are acknowledged than now."""
        wanted = len(self.acknowledged) + count
        await self.heard(lambda: len(self.acknowledged) >= wanted, f"{count:,} more acknowledgements")

    async def heard(self, is_so: Callable[[], bool], what: str) -> None:
        """Wait until something is so, looking whenever an acknowledgement comes. Raises `BenchError`."""
        try:
            async with asyncio.timeout(WAIT_S):
                while not is_so():
                    self._heard.clear()
                    await self._heard.wait()
        except TimeoutError:
            raise BenchError(f"waited {WAIT_S:g} s for {what}; {len(self.acknowledged):,} are acknowledged") from None

    def verdict(self, stored: Iterable[int]) -> Verdict:
        """Judge what was found."""
        counts = Counter(stored)
        return Verdict(
            self.sent_count,
            len(self.acknowledged),
            len(counts),
            tuple(sorted(self.acknowledged - counts.keys())),
            tuple(sorted(number for number, count in counts.items() if count > 1)),
            tuple(sorted(number for number in counts if not 0 < number <= self.sent_count)),
        )

    async def _finish(self) -> None:
        try:
            async with asyncio.timeout(WAIT_S):
                for device in self._devices:
                    await device.finish()
        except TimeoutError:
            raise BenchError(f"not everything that was sent was acknowledged in {WAIT_S:g} s") from None


async def _endured(publishing: Awaitable[None]) -> None:
    """Publish until the connection is gone: that is what is to happen."""
    try:
        await publishing
    except NotConnectedError:
        return
