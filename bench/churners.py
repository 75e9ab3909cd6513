"""Clients that come and go in every way there is, some hundred a second.

Run as `python -m bench.churners`; asked a `Churn`, it answers with a `Churned` when the time is over.

Those who leave something behind (a session, a retained message) take their names and topics from pools of a fixed
size: what still grows after a while should not.
"""

import asyncio
import contextlib
import random
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec

from bench import certificates, generator, packets

PLACES = 200
"""Client identifiers of those that leave sessions behind."""
SHELVES = 20
BOOKS = 10
"""Topics with a retained message: so many shelves of so many books."""
AT_ONCE = 200
PATIENCE_S = 20.0
TLS_SHARE = 0.2
PAYLOAD = b"." * 200
SEED = 1

_PUBLISH, _SUBACK, _UNSUBACK, _CONNACK, _PUBACK = 3, 9, 11, 2, 4
_QOS_BITS = 0x06


class Churn(msgspec.Struct, frozen=True):
    """What is to be done."""

    host: str
    tls_port: int
    plain_port: int
    certificates: str
    rate: float
    """Lives begun a second."""
    seconds: float


class Churned(msgspec.Struct, frozen=True):
    """What was done."""

    lives: int
    failures: dict[str, int]
    """Lives that did not go as they should, by what was in their way."""


class Guest:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def connect(self, client_id: str, *, clean: bool = True, will_topic: str = "") -> None:
        """CONNECT, and wait for the answer."""
        self._writer.write(packets.connect(client_id, keep_alive_s=60, clean=clean, will_topic=will_topic))
        packets.check_connack(await self._next(_CONNACK))

    async def subscribe(self, *topic_filters: str) -> None:
        """SUBSCRIBE at QoS 1, and wait for the answer."""
        self._writer.write(packets.subscribe(1, topic_filters, 1))
        packets.check_suback(await self._next(_SUBACK))

    async def unsubscribe(self, *topic_filters: str) -> None:
        """UNSUBSCRIBE, and wait for the answer."""
        self._writer.write(packets.unsubscribe(2, topic_filters))
        await self._next(_UNSUBACK)

    async def publish(self, topic: str, payload: bytes = PAYLOAD, *, retain: bool = False) -> None:
        """PUBLISH at QoS 1, and wait for the answer."""
        self._writer.write(packets.publish(topic, payload, 3, retain=retain))
        await self._next(_PUBACK)

    async def ended(self) -> None:
        """Wait until the broker ends the connection."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                await self._packet()

    def write(self, some: bytes) -> None:
        """Write whatever."""
        self._writer.write(some)

    async def _next(self, kind: int) -> bytes:
        """The next packet of a kind; messages on the way are acknowledged."""
        while True:
            packet = await self._packet()
            if packet[0] >> 4 == kind:
                return packet

    async def _packet(self) -> bytes:
        head = await self._reader.readexactly(2)
        length, shift = head[1] & 0x7F, 7
        while head[-1] & 0x80:
            head += await self._reader.readexactly(1)
            length |= (head[-1] & 0x7F) << shift
            shift += 7
        body = await self._reader.readexactly(length)
        if head[0] >> 4 == _PUBLISH and head[0] & _QOS_BITS:
            at = 2 + int.from_bytes(body[:2])
            self._writer.write(packets.puback(int.from_bytes(body[at : at + 2])))
        return head + body


class Churners:
    """The lives that clients lead."""

    def __init__(self, task: Churn) -> None:
        self._task = task
        self._chance = random.Random(SEED)  # noqa: S311  the same lives each time, not a secret
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE
        folder = Path(task.certificates)
        self._context.load_cert_chain(folder / certificates.CLIENT, folder / certificates.CLIENT_KEY)
        self._count = 0
        self._free_places = list(range(PLACES))
        self._failures: Counter[str] = Counter()

    async def churn(self) -> Churned:
        """Begin lives by the clock until the time is over."""
        doors = asyncio.Semaphore(AT_ONCE)
        began = time.monotonic()
        lives = (
            self._visit,
            self._visit,
            self._reside,
            self._reside,
            self._reside,
            self._rival,
            self._fail,
            self._knock,
        )
        async with asyncio.TaskGroup() as tasks:
            while (elapsed := time.monotonic() - began) < self._task.seconds:
                if self._count >= elapsed * self._task.rate:
                    await asyncio.sleep(0.005)
                    continue
                await doors.acquire()
                self._count += 1
                tasks.create_task(self._lived(self._chance.choice(lives), self._count, doors), name="life")
        return Churned(self._count, dict(self._failures))

    async def _lived(self, life: Callable[[int], Awaitable[None]], number: int, doors: asyncio.Semaphore) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                await life(number)
        except (OSError, asyncio.IncompleteReadError, packets.RefusedError) as error:
            self._failures[f"{life.__name__.strip('_')}: {type(error).__name__} {error}"[:90]] += 1
        finally:
            doors.release()

    async def _visit(self, number: int) -> None:
        """Come for the first and last time, and leave in order."""
        name = f"visitor-{number:09d}"
        shelf, book = self._chance.randrange(SHELVES), self._chance.randrange(BOOKS)
        async with self._arrived(in_order=True) as guest:
            await guest.connect(name)
            await guest.subscribe(f"churn/retained/{shelf}/+", f"churn/visitors/{name}", f"churn/+/{name}/#")
            payload = b"" if self._chance.random() < 0.1 else PAYLOAD  # noqa: PLR2004  one in ten clears
            await guest.publish(f"churn/retained/{shelf}/{book}", payload, retain=True)
            # A topic that nobody will ever use again.
            await guest.publish(f"churn/visitors/{name}")
            await guest.unsubscribe(f"churn/retained/{shelf}/+", f"churn/visitors/{name}")

    async def _reside(self, _: int) -> None:
        """Come back to a session, and leave it behind; one in ten ends it."""
        if not self._free_places:
            return
        place = self._free_places.pop(self._chance.randrange(len(self._free_places)))
        try:
            await self._live_at(place)
        finally:
            self._free_places.append(place)

    async def _live_at(self, place: int) -> None:
        async with self._arrived(in_order=place % 2 == 0) as guest:
            await guest.connect(f"resident-{place:05d}", clean=self._chance.random() < 0.1)  # noqa: PLR2004  one in ten
            await guest.subscribe(f"churn/residents/{place}/#", f"churn/retained/{place % SHELVES}/1")
            await guest.publish(f"churn/residents/{self._chance.randrange(PLACES)}/mail")

    async def _rival(self, number: int) -> None:
        """Come twice under one name: the first connection must end."""
        name = f"rival-{number:09d}"
        async with self._arrived(in_order=False) as first, self._arrived(in_order=True) as second:
            await first.connect(name)
            await first.subscribe(f"churn/rivals/{name}")
            await second.connect(name)
            await first.ended()

    async def _fail(self, number: int) -> None:
        """Leave without a word, so that the will is published."""
        name = f"failing-{number:09d}"
        async with self._arrived(in_order=False) as guest:
            await guest.connect(name, will_topic=f"churn/residents/{self._chance.randrange(PLACES)}/obituary")
            await guest.subscribe(f"churn/failing/{name}/+")

    async def _knock(self, _: int) -> None:
        """Say half of CONNECT, and leave."""
        async with self._arrived(in_order=False) as guest:
            guest.write(packets.connect("nobody")[: self._chance.randrange(1, 15)])

    @contextlib.asynccontextmanager
    async def _arrived(self, *, in_order: bool) -> AsyncIterator[Guest]:
        task = self._task
        if self._chance.random() < TLS_SHARE:
            reader, writer = await asyncio.open_connection(task.host, task.tls_port, ssl=self._context)
        else:
            reader, writer = await asyncio.open_connection(task.host, task.plain_port)
        try:
            yield Guest(reader, writer)
            if in_order:
                writer.write(packets.DISCONNECT)
                await writer.drain()
        finally:
            if in_order:
                writer.close()
            else:
                writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


if __name__ == "__main__":
    while (wanted := generator.asked(msgspec.json.Decoder(Churn))) is not None:
        generator.end_after(wanted.seconds)
        generator.answer(asyncio.run(Churners(wanted).churn()))
