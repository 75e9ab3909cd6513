"""Shadows: served to devices in the transaction of their batch, and to everybody else in one of the next.

Rules:
- An answered update is on the disk: answers are published after the commit, in the order of the requests.
- Every change goes through `Batch`, one transaction after the other: so there is one update at a time of a shadow.
- Nothing is kept in memory: what is on the disk is what there is.
"""

import sqlite3
from collections.abc import Callable, Sequence

from appliance.audit import queries as audit_queries
from appliance.audit.acting import actor
from appliance.audit.model import Entry
from appliance.instant import Clock
from appliance.plane_settings import ShadowsConfig
from appliance.shadows import queries, topics
from appliance.shadows.batch.service import Batch
from appliance.shadows.history import Kept, as_of, continued, told
from appliance.shadows.model import (
    Address,
    Answer,
    Shadow,
    ShadowChange,
    ShadowChanged,
    ShadowSummary,
    Verb,
)
from appliance.shadows.ruling import Ruling, Standing, rule
from appliance.store.database import Afterwards, Database, Together, Work
from broker.message import Message

WALKED_AT_ONCE = 32
"""Changes of a history that are looked at in one piece."""

Telling = Callable[[int], Entry]
"""The entry of the audit log for a change, by the version that came of it."""


class Shadows:
    """The shadows of all devices."""

    def __init__(self, database: Database, config: ShadowsConfig, clock: Clock) -> None:
        self._database = database
        self._config = config
        self._clock = clock
        self.together: Together = self._alone
        """Has work done in the transaction of a batch."""
        self.publish: Callable[[Message], object] = lambda _message: None
        self.announce: Callable[[Sequence[object]], object] = lambda _events: None

    # For devices over MQTT.

    def takes(self, topic: str) -> bool:
        """Whether a message of this topic name is a request to a shadow."""
        return topic.startswith(topics.PREFIX) and topics.address(topic) is not None

    def apply(self, messages: Sequence[Message], connection: sqlite3.Connection, now: int) -> Afterwards:
        """Do what is asked for, in its order; the answers are published afterwards."""
        batch = Batch(connection, self._config, now)
        answers: list[Message] = []
        changed: set[ShadowChanged] = set()
        for message in messages:
            address = topics.address(message.topic)
            if address is not None:
                ruling = batch.settle(message.tenant_id, address, message.payload, _author(message))
                answers += _messages(message.tenant_id, message.topic, ruling, now)
                if ruling.change is not None:
                    changed.add(ShadowChanged(message.tenant_id, address.device_id, address.name))
        batch.write()
        return lambda: self._tell(answers, list(changed))

    # For everybody else.

    async def ask(
        self, tenant_id: int, address: Address, payload: bytes, author: str, telling: Telling | None = None
    ) -> Answer:
        """Do the same for whoever does not speak MQTT; those who do hear of what changed.

        What `telling` makes of a change is in the audit log, or the change is not made.
        Raises `UnwritableError` while the disk is full.
        """
        if address.verb is Verb.GET:
            return await self._got(tenant_id, address, payload)
        rulings: list[Ruling] = []
        # Asked here: the writer's thread does not know its caller.
        by = actor()

        def work(connection: sqlite3.Connection, now: int) -> Afterwards:
            batch = Batch(connection, self._config, now)
            ruling = batch.settle(tenant_id, address, payload, author)
            batch.write()
            if telling is not None and ruling.change is not None:
                audit_queries.insert_entries(connection, tenant_id, [telling(ruling.change.version)], now, by)
            # Whoever is refused is told so; it concerns nobody else.
            others = _messages(tenant_id, topics.asked(address), ruling, now) if ruling.answer.is_accepted else []

            def tell() -> None:
                rulings.append(ruling)
                changed = [] if ruling.change is None else [ShadowChanged(tenant_id, address.device_id, address.name)]
                self._tell(others, changed)

            return tell

        await self.together(work)
        return rulings[0].answer

    async def shadow(self, tenant_id: int, device_id: str, name: str) -> Shadow | None:
        """A shadow; None when there is none. The classic one has no name."""
        found = await self._database.read(queries.select_shadow(tenant_id, device_id, name))
        return found[0] if found else None

    async def names(self, tenant_id: int, device_id: str, after: str, limit: int) -> list[ShadowSummary]:
        """The named shadows of a device by name, those after one."""
        return await self._database.read(queries.select_names(tenant_id, device_id, after, limit))

    async def history(
        self, tenant_id: int, device_id: str, name: str, before_version: int | None, limit: int
    ) -> list[ShadowChange]:
        """What became of a shadow, the newest first: all that is kept, or what was before a version."""
        kept = await self._kept(tenant_id, device_id, name)
        if kept is None or (before_version is not None and before_version <= 1):
            return []
        before = kept.version + 1 if before_version is None else min(before_version, kept.version + 1)
        first = max(before - limit, 1)
        kept = await self._walked(tenant_id, kept, lambda one: one.next_version < first, before)
        return told(kept, before, limit)

    async def as_of(self, tenant_id: int, device_id: str, name: str, at: int) -> Shadow | None:
        """What a shadow was at a moment; None when there was none. Raises `BeforeHistoryError`."""
        kept = await self._kept(tenant_id, device_id, name)
        if kept is None:
            return None
        return as_of(await self._walked(tenant_id, kept, lambda one: one.reaches(at)), device_id, name, at)

    async def erase(self, tenant_id: int, device_id: str, through_at: int) -> None:
        """Forget every shadow of a device that was made up to a moment, its history and its version, step by step.

        What became of such a shadow later goes with it; one that is made later begins anew.
        """
        while await self._database.write(queries.erase_some, tenant_id, device_id, through_at):
            pass

    async def _got(self, tenant_id: int, address: Address, payload: bytes) -> Answer:
        found = await self._database.read(queries.select_standing_of(tenant_id, address.device_id, address.name))
        standing = found[0] if found else Standing()
        return rule(address, payload, standing, self._config.document_bytes, self._clock()).answer

    async def _kept(self, tenant_id: int, device_id: str, name: str) -> Kept | None:
        found = await self._database.read(queries.select_kept(tenant_id, device_id, name))
        return found[0] if found else None

    async def _walked(self, tenant_id: int, kept: Kept, is_enough: Callable[[Kept], bool], told_below: int = 0) -> Kept:
        """A shadow with its changes as far back as is wanted, or as they are kept. The loop goes on in between."""
        while not is_enough(kept):
            question = queries.select_changes(
                tenant_id, kept.shadow_number, kept.next_version, WALKED_AT_ONCE, told_below
            )
            further = continued(kept, await self._database.read(question))
            if len(further.changes) < len(kept.changes) + WALKED_AT_ONCE:
                return further
            kept = further
        return kept

    def _tell(self, messages: Sequence[Message], changed: Sequence[ShadowChanged]) -> None:
        for message in messages:
            self.publish(message)
        if changed:
            self.announce(changed)

    async def _alone(self, work: Work) -> None:
        """Stand in while nobody gathers batches: a transaction of its own."""
        afterwards = await self._database.write(work, self._clock())
        afterwards()


def _author(message: Message) -> str:
    """Who published a message, as a history names them."""
    if not message.is_operators:
        return f"device {message.principal}"
    kind, _, name = message.principal.partition(":")
    return f"script {name}" if kind == "token" else f"user {name}"


def _messages(tenant_id: int, topic: str, ruling: Ruling, now: int) -> list[Message]:
    return [
        Message(tenant_id, "", "", f"{topic}/{word}", payload, 1, retain=False, arrived_at=now)
        for word, payload in ruling.told
    ]
