"""Clients without sockets: they connect, subscribe and hear, by the registry's own judgement."""

import asyncio
import json
import ssl
from typing import Any

from appliance.enrolment.renewal.reminding.service import Reminder
from appliance.instant import DAY_MS
from appliance.registry.model import BoundCertificate, Granted
from appliance.registry.service import Registry
from appliance.store.database import Database
from broker.message import Message
from broker.ports import Connected, Credentials, Disconnected, Evidence, Principal, Subscribed
from broker.topics import matches
from tests.appliance.registry.examples import FakeClock

TWO_THIRDS_MS = 365 * DAY_MS * 2 // 3


def der(granted: Granted) -> bytes:
    return ssl.PEM_cert_to_DER_cert(granted.certificate_pem)


def bound(registry: Registry, certificate: bytes) -> BoundCertificate:
    found = registry.bearer(certificate)
    assert found is not None
    return found


def connected(
    certificate: bytes | None, device_id: str = "pump-7", connection: str = "1", at: int = 0, client_id: str = ""
) -> Connected:
    return Connected(1, device_id, client_id or device_id, "192.0.2.7:1", at, connection, certificate)


def may_connect(registry: Registry, certificate: bytes, device_id: str = "pump-7") -> bool:
    answer = registry.authenticate(Credentials(device_id, None, None, certificate, "192.0.2.7:1"))
    return isinstance(answer, Principal)


def connect(registry: Registry, certificate: bytes) -> bool:
    """Whether pump-7 is let in with a certificate, as the broker does it."""
    if not may_connect(registry, certificate):
        return False
    registry.note_connected(connected(certificate))
    return True


async def until_refused(registry: Registry, certificate: bytes) -> None:
    changed = asyncio.Event()
    registry.rights_changed = lambda _tenant_id, _device_id: changed.set()
    async with asyncio.timeout(30):
        while may_connect(registry, certificate):
            await changed.wait()
            changed.clear()


class Broker:
    """A broker as far as answers go: what its clients have subscribed to reaches them."""

    def __init__(self, clock: FakeClock, database: Database) -> None:
        self.clock = clock
        self._database = database
        self.filters: dict[str, list[str]] = {}
        self.heard: asyncio.Queue[tuple[str, Message]] = asyncio.Queue()

    def answer(self, message: Message, client_id: str, evidence: Evidence | None = None) -> object:
        if client_id not in self.filters:
            return None
        if any(matches(one, message.topic) for one in self.filters[client_id]):
            self.heard.put_nowait((client_id, message))
        elif evidence is not None:
            evidence.untaken()
        return self

    def come(
        self, reminder: Reminder, certificate: bytes | None, *filters: str, device_id: str = "pump-7", name: str = "1"
    ) -> None:
        """A device connects and has subscribed to these, now or before."""
        self.filters[device_id] = list(filters)
        reminder.heard(connected(certificate, device_id, name, self.clock()))

    def subscribe(self, reminder: Reminder, *filters: str, device_id: str = "pump-7") -> None:
        self.filters[device_id] += filters
        reminder.heard_subscribed(Subscribed(1, device_id, filters, "1", self.clock()))

    def leave(self, reminder: Reminder, device_id: str = "pump-7", name: str = "1") -> None:
        del self.filters[device_id]
        reminder.heard(Disconnected(1, device_id, device_id, "gone", self.clock(), name))

    async def next(self) -> tuple[str, str, Any]:
        """Who hears what next, and on which topic."""
        async with asyncio.timeout(30):
            client_id, message = await self.heard.get()
        return client_id, message.topic, json.loads(message.payload)

    async def said_nothing(self) -> bool:
        """Whether nothing is on its way, once everybody had a turn."""
        for _ in range(3):
            # There is one writer: what others wait for is done before this.
            await self._database.write(lambda _: None)
            for _ in range(20):
                await asyncio.sleep(0)
        return self.heard.empty()
