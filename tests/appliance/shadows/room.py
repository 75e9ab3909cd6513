"""The room of shadows with a real database, and a broker that remembers what is published."""

import contextlib
import json
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from appliance.plane_settings import ShadowsConfig
from appliance.shadows.model import Address, Answer, Verb
from appliance.shadows.service import Shadows
from appliance.store.database import Database
from broker.message import Message
from tests.appliance.examples import NOW, stored

TENANT = 1


class Room:
    """Shadows, and what a test turns."""

    def __init__(self, database: Database, config: ShadowsConfig) -> None:
        self.now = NOW
        self.database = database
        self.shadows = Shadows(database, config, lambda: self.now)
        self.published: list[Message] = []
        self.shadows.publish = self.published.append

    async def ask(self, verb: Verb, body: Any = None, device_id: str = "pump", name: str = "") -> Answer:
        """What whoever does not speak MQTT is answered."""
        payload = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        return await self.shadows.ask(TENANT, Address(device_id, name, verb), payload, "user maria")

    async def update(self, state: Any, device_id: str = "pump", name: str = "", **more: Any) -> Any:
        """The answer to an update that has to succeed."""
        answer = await self.ask(Verb.UPDATE, {"state": state, **more}, device_id, name)
        assert answer.code == 200, answer.payload
        return json.loads(answer.payload)

    async def publish(self, *messages: Message) -> list[tuple[str, Any]]:
        """What is published of what devices ask for in one batch: last words of the topics, and bodies."""
        self.published.clear()
        afterwards = await self.database.write(self._apply, messages)
        assert self.published == []
        afterwards()
        return [(one.topic.partition("/shadow/")[2], json.loads(one.payload)) for one in self.published]

    def on_disk(self, sql: str) -> list[tuple[Any, ...]]:
        with contextlib.closing(sqlite3.connect(self.database.path)) as connection:
            return connection.execute(sql).fetchall()

    def _apply(self, connection: sqlite3.Connection, messages: tuple[Message, ...]) -> Any:
        return self.shadows.apply(messages, connection, self.now)


@contextlib.asynccontextmanager
async def opened(folder: Path, config: ShadowsConfig | None = None) -> AsyncIterator[Room]:
    async with stored(folder) as database:
        yield Room(database, config or ShadowsConfig())


def request(topic: str, body: Any = None, device_id: str = "pump", tenant_id: int = TENANT) -> Message:
    """What a device publishes below its shadow."""
    payload = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    whole = f"$aws/things/{device_id}/shadow/{topic}"
    return Message(tenant_id, device_id, device_id, whole, payload, 1, retain=False, arrived_at=NOW)
