"""Jobs over a real database: a broker that remembers what it was given, and work done at once."""

import contextlib
import json
import sqlite3
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from appliance.commands.jobs.model import Execution, ExecutionsChanged, ExecutionState, HandedOut, Terms
from appliance.commands.jobs.service import Jobs
from appliance.plane_settings import CommandsConfig
from appliance.registry import queries as registry_queries
from appliance.registry.model import DEFAULT_TENANT, NewDevice
from appliance.store.database import Afterwards, Database, Work
from broker.message import Message
from tests.appliance.registry.examples import FakeClock

T = DEFAULT_TENANT
DOCUMENT = '{"operation": "open"}'


class JobsDesk:
    """Jobs, who asks for them, and what was told."""

    def __init__(self, jobs: Jobs, database: Database, clock: FakeClock) -> None:
        self.jobs = jobs
        self.database = database
        self.clock = clock
        self.replies: list[tuple[str, Message]] = []
        self.published: list[Message] = []
        self.announced: list[ExecutionsChanged] = []
        jobs.reply = lambda message, client_id: self.replies.append((client_id, message))
        jobs.publish = self.published.append
        jobs.announce = self.announced.extend
        jobs.together = self.together

    async def together(self, work: Work) -> None:
        rest = await self.database.write(lambda connection: work(connection, self.clock()))
        rest()

    async def add_job(self, job_id: str, *, terms: Terms | None = None, document: str = DOCUMENT) -> int:
        text = msgspec.json.encode(terms or Terms()).decode()

        def insert(connection: sqlite3.Connection) -> int:
            cursor = connection.execute(
                "INSERT INTO job (tenant_id, job_id, state, document, terms, created_at, updated_at)"
                " VALUES (?, ?, 'in_progress', ?, ?, ?, ?)",
                (T, job_id, document, text, self.clock(), self.clock()),
            )
            return int(cursor.lastrowid or 0)

        return await self.database.write(insert)

    async def hand_out(self, job_number: int, *device_ids: str) -> HandedOut:
        given: list[HandedOut] = []

        def work(connection: sqlite3.Connection, now: int) -> Afterwards:
            ledger = self.jobs.ledger(connection, now)
            given.append(ledger.hand_out(T, job_number, device_ids))
            return ledger.close()

        await self.together(work)
        return given[0]

    async def offer(self, job_id: str, *device_ids: str, terms: Terms | None = None) -> int:
        """A job, handed out."""
        job_number = await self.add_job(job_id, terms=terms)
        await self.hand_out(job_number, *device_ids)
        return job_number

    async def within(self, step: Any) -> Any:
        """Do something with a ledger."""
        given: list[Any] = []

        def work(connection: sqlite3.Connection, now: int) -> Afterwards:
            ledger = self.jobs.ledger(connection, now)
            given.append(step(ledger))
            return ledger.close()

        await self.together(work)
        return given[0]

    async def ask(self, topic: str, device_id: str = "pump", **said: object) -> tuple[str, dict[str, Any]]:
        """Ask as a device does; the last word of the topic it was answered on, and the answer."""
        name = f"$aws/things/{device_id}/jobs/{topic}"
        message = Message(T, device_id, device_id, name, json.dumps(said).encode(), 1, False, self.clock())
        before = len(self.replies)
        await self.together(lambda connection, now: self.jobs.apply([message], connection, now))
        [(client_id, answer)] = self.replies[before:]
        assert client_id == device_id
        start, _, word = answer.topic.rpartition("/")
        assert start == name
        return word, json.loads(answer.payload)

    def heard(self) -> list[tuple[str, Any]]:
        """What was published since this was asked last, by the end of its topic."""
        told = [(one.topic, json.loads(one.payload)) for one in self.published]
        self.published.clear()
        return told

    def topics(self) -> list[str]:
        """Where something was published since this was asked last."""
        return [topic.removeprefix("$aws/things/") for topic, _ in self.heard()]

    async def states(self, device_id: str = "pump") -> dict[str, list[ExecutionState]]:
        """By job, the states of its tries, first try first."""
        found: dict[str, list[ExecutionState]] = {}
        for one in reversed(await self.jobs.executions_of_device(T, device_id)):
            found.setdefault(one.job_id, []).append(one.state)
        return found

    async def execution(self, job_id: str, device_id: str = "pump") -> Execution:
        return await self.jobs.execution(T, job_id, device_id)


@contextlib.asynccontextmanager
async def opened(database: Database, clock: FakeClock, config: CommandsConfig | None = None) -> AsyncIterator[JobsDesk]:
    for device_id in ("pump", "valve"):
        await database.write(registry_queries.insert_device, T, NewDevice(device_id), clock())
    yield JobsDesk(Jobs(database, config or CommandsConfig(), clock), database, clock)
