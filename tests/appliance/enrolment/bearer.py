"""Bearers of claims without sockets: they ask, and read the answers that a broker was given for them."""

import asyncio
import json
from collections.abc import Iterable
from typing import Any

import msgspec

from appliance.enrolment.model import Claim, NewClaim
from appliance.enrolment.service import Enrolment
from appliance.instant import DAY_MS
from broker.message import Message
from broker.ports import Refused
from tests.appliance.registry.examples import FakeClock


class Present(msgspec.Struct):
    """A session that is there."""

    client_id: str


class Answered:
    """A broker as far as answers go: every client is there, unless it is said to be away."""

    def __init__(self) -> None:
        self.answers: asyncio.Queue[tuple[str, Message]] = asyncio.Queue()
        self.away: set[str] = set()
        self.client_ids = {"station-1", "station-2"}

    def answer(self, message: Message, client_id: str) -> None:
        self.answers.put_nowait((client_id, message))

    def sessions(self, tenant_id: int, name: str | None = None) -> Iterable[Present]:
        assert tenant_id
        assert name
        return [Present(client_id) for client_id in self.client_ids - self.away]


class Desk:
    """Enrolment at work, and what came of it."""

    def __init__(self, enrolment: Enrolment, broker: Answered, clock: FakeClock) -> None:
        self.enrolment = enrolment
        self.broker = broker
        self.clock = clock
        self.refusals: list[Refused] = []

    async def claim(self, tenant_id: int = 1, **told: Any) -> Claim:
        new: dict[str, Any] = {"template": "device", "expires_at": self.clock() + DAY_MS, "use_limit": 10}
        claim, _ = await self.enrolment.add_claim(tenant_id, NewClaim(**{"name": "line 4"} | new | told))
        return claim

    def say(self, claim: Claim, topic: str, payload: bytes, client_id: str = "station-1") -> None:
        message = Message(claim.tenant_id, claim.principal_name, client_id, topic, payload, 1, False, self.clock())
        self.enrolment.requested([message])

    async def answer(self) -> tuple[str, Message]:
        async with asyncio.timeout(30):
            return await self.broker.answers.get()

    async def ask(self, claim: Claim, topic: str, told: Any, client_id: str = "station-1") -> tuple[str, Any]:
        """How a request ends, and what is said to it."""
        self.say(claim, topic, told if isinstance(told, bytes) else json.dumps(told).encode(), client_id)
        to, message = await self.answer()
        assert to == client_id
        assert message.topic.startswith(f"{topic}/")
        return message.topic.rpartition("/")[2], json.loads(message.payload)

    async def create(self, claim: Claim, client_id: str = "station-1") -> Any:
        end, made = await self.ask(claim, "$aws/certificates/create/json", {}, client_id)
        assert end == "accepted", made
        return made

    async def provision(
        self, claim: Claim, token: str, client_id: str = "station-1", **parameters: str
    ) -> tuple[str, Any]:
        topic = f"$aws/provisioning-templates/{claim.template}/provision/json"
        told = {"certificateOwnershipToken": token, "parameters": parameters}
        return await self.ask(claim, topic, told, client_id)
