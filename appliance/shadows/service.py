"""Shadows: served to devices in the transaction of their batch, and to everybody else in one of the next.

Rules:
- An answered update is on the disk: answers are published after the commit, in the order of the requests.
- Every change goes through `Batch`, one transaction after the other: so there is one update at a time of a shadow.
- Nothing is kept in memory: what is on the disk is what there is.
"""

import asyncio
import contextlib
import logging
import sqlite3
import traceback
from collections.abc import AsyncIterator, Callable, Sequence
from typing import NamedTuple, Self

from appliance.audit import queries as audit_queries
from appliance.audit.acting import actor
from appliance.audit.model import Entry
from appliance.instant import Clock
from appliance.plane_settings import ShadowsConfig
from appliance.shadows import pack, queries, topics
from appliance.shadows.batch.service import Batch, Key
from appliance.shadows.history import Kept, as_of, check_began, continued, told
from appliance.shadows.model import (
    Address,
    Answer,
    Shadow,
    ShadowChange,
    ShadowChanged,
    ShadowSummary,
    Verb,
)
from appliance.shadows.pack import StoredChange, UnreadableError
from appliance.shadows.ruling import DOCUMENTS, Ruling, Standing, rule, unforeseen
from appliance.store.database import Afterwards, Database, Together, UnwritableError, Work
from broker.message import Message

log = logging.getLogger(__name__)

GATEWAY = "gateway"
"""How a history names the gateway itself."""
DELETED_AT_ONCE = 100
AGAIN_S = 60.0
WALKED_AT_ONCE = 32
"""Changes of a history that are looked at in one piece."""

Telling = Callable[[int], Entry]
"""The entry of the audit log for a change, by the version that came of it."""


class Unwritten(NamedTuple):
    """A message that is written only where somebody hears of its topic."""

    tenant_id: int
    topic: str
    payload: Callable[[], bytes]
    now: int

    def written(self) -> Message:
        """The message, now that somebody hears of it."""
        return _message(self.tenant_id, self.topic, self.payload(), self.now)


class Shadows:
    """The shadows of all devices."""

    def __init__(self, database: Database, config: ShadowsConfig, clock: Clock) -> None:
        self._database = database
        self._config = config
        self._clock = clock
        self.together: Together = self._alone
        """Has work done in the transaction of a batch."""
        self.publish: Callable[[Message], object] = lambda _message: None
        self.is_heard: Callable[[int, str], bool] = lambda _tenant_id, _topic: True
        """Whether anybody hears of a topic of a tenant."""
        self.announce: Callable[[Sequence[object]], object] = lambda _events: None
        self._has_gone = asyncio.Event()
        # Who retired while the gateway was away, or just before it went, is found as well.
        self._has_gone.set()
        self._told_failures: set[tuple[str, ...]] = set()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Delete the shadows of devices that retire."""
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(self._delete_for_ever(), name="shadows of retired devices")
            try:
                yield self
            finally:
                task.cancel()

    def gone(self, _tenant_id: int, _device_id: str) -> None:
        """Hear that a device takes no part any more; if it has retired, its shadows go soon."""
        self._has_gone.set()

    # For devices over MQTT.

    def takes(self, topic: str) -> bool:
        """Whether a message of this topic name is a request to a shadow."""
        return topic.startswith(topics.PREFIX) and topics.address(topic) is not None

    def apply(self, messages: Sequence[Message], connection: sqlite3.Connection, now: int) -> Afterwards:
        """Do what is asked for, in its order; the answers are published afterwards."""
        batch = Batch(connection, self._config, now)
        asked = [(message, address) for message in messages if (address := topics.address(message.topic)) is not None]
        batch.look_up((message.tenant_id, address.device_id, address.name) for message, address in asked)
        answers: list[Message | Unwritten] = []
        changed: dict[Key, None] = {}
        for message, address in asked:
            ruling = batch.settle(message.tenant_id, address, message.payload, _author(message))
            answers += _messages(message.tenant_id, message.topic, ruling, now)
            if ruling.change is not None:
                changed[message.tenant_id, address.device_id, address.name] = None
        batch.write()
        return lambda: self._tell(answers, [ShadowChanged(*key) for key in changed])

    def unserved(self, message: Message) -> None:
        """Tell a client that the gateway could not do what it asked for."""
        now = self._clock()
        self._tell(_messages(message.tenant_id, message.topic, unforeseen(now), now), [])

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
        if before <= kept.version:
            number = kept.shadow_number
            found = await self._database.read(queries.select_changes(tenant_id, number, before - 1, 1))
            if found and found[0].is_packed:
                with contextlib.suppress(UnreadableError):
                    piece = await asyncio.to_thread(pack.kept, number, found[0])
                    kept = piece if piece.version >= before - 1 else kept
        kept = await self._walked(tenant_id, kept, lambda one: one.next_version < first, before)
        return await asyncio.to_thread(told, kept, before, limit)

    async def as_of(self, tenant_id: int, device_id: str, name: str, at: int) -> Shadow | None:
        """What a shadow was at a moment; None when there was none. Raises `BeforeHistoryError`."""
        kept = await self._kept(tenant_id, device_id, name)
        if kept is None:
            return None
        if at < kept.updated_at:
            number = kept.shadow_number
            found = await self._database.read(queries.select_change_at(tenant_id, number, at))
            if not found:
                oldest = await self._database.read(queries.select_oldest_change(tenant_id, number))
                check_began(kept, oldest[0] if oldest else None)
                return None
            with contextlib.suppress(UnreadableError):
                kept = await self._from_piece(tenant_id, kept, found[0], at)
            kept = await self._walked(tenant_id, kept, lambda one: one.reaches(at))
        return await asyncio.to_thread(as_of, kept, device_id, name, at)

    async def delete_retired(self) -> None:
        """Delete the shadows of devices that are retired, as anybody may delete one: history and versions stay.

        One that cannot be deleted keeps no other. Raises `UnwritableError` while the disk is full, and else the last
        that one raised.
        """
        failure: Exception | None = None
        last = queries.BEFORE_ALL
        while found := await self._database.read(queries.select_of_retired(last, DELETED_AT_ONCE)):
            last = found[-1]
            for tenant_id, device_id, name in found:
                try:
                    await self.ask(tenant_id, Address(device_id, name, Verb.DELETE), b"", GATEWAY)
                except UnwritableError:
                    raise
                except Exception as error:  # noqa: BLE001  raised below, once the others are gone
                    failure = error
        if failure is not None:
            raise failure

    async def erase(self, tenant_id: int, device_id: str, through_at: int) -> None:
        """Forget every shadow of a device that was made up to a moment, its history and its version, step by step.

        What became of such a shadow later goes with it; one that is made later begins anew.
        """
        while await self._database.write(queries.erase_some, tenant_id, device_id, through_at):
            pass

    async def _delete_for_ever(self) -> None:
        while True:
            await self._has_gone.wait()
            self._has_gone.clear()
            try:
                await self.delete_retired()
            except UnwritableError as error:
                log.warning("shadows of retired devices not deleted yet error=%s", error)
            except Exception as error:  # noqa: BLE001  a shadow that is damaged ends nothing
                # Never its own words: they may be those of a device.
                self._tell_failure(type(error).__name__, "".join(traceback.format_tb(error.__traceback__)).rstrip())
            else:
                continue
            self._has_gone.set()
            await asyncio.sleep(AGAIN_S)

    def _tell_failure(self, *told: str) -> None:
        """Of each kind of error and its place the log is told once, however often it fails so."""
        if told not in self._told_failures:
            self._told_failures.add(told)
            log.error("shadows of retired devices not deleted yet error=%s where=\n%s", *told)

    async def _got(self, tenant_id: int, address: Address, payload: bytes) -> Answer:
        found = await self._database.read(queries.select_standing_of(tenant_id, address.device_id, address.name))
        standing = found[0] if found else Standing()
        return rule(address, payload, standing, self._config.document_bytes, self._clock()).answer

    async def _kept(self, tenant_id: int, device_id: str, name: str) -> Kept | None:
        found = await self._database.read(queries.select_kept(tenant_id, device_id, name))
        return found[0] if found else None

    async def _from_piece(self, tenant_id: int, kept: Kept, stored: StoredChange, at: int) -> Kept:
        """The shadow as a piece tells it, if the piece says what it was at a moment; else as it is now.

        Raises `UnreadableError`.
        """
        if not stored.is_packed:
            return kept
        label = pack.label(stored)
        if label.newest_at <= at:
            # Unless the next change is known, nobody knows what the shadow was after the piece.
            following = queries.select_changes(tenant_id, kept.shadow_number, label.newest_version + 1, 1)
            found = await self._database.read(following)
            if not found or found[0].version != label.newest_version + 1:
                return kept
        return await asyncio.to_thread(pack.kept, kept.shadow_number, stored)

    async def _walked(self, tenant_id: int, kept: Kept, is_enough: Callable[[Kept], bool], told_below: int = 0) -> Kept:
        """A shadow with its changes as far back as is wanted, or as they are kept. The loop goes on meanwhile."""
        while not is_enough(kept):
            question = queries.select_changes(
                tenant_id, kept.shadow_number, kept.next_version, WALKED_AT_ONCE, told_below
            )
            rows = await self._database.read(question)
            further = await asyncio.to_thread(_further, kept, rows, is_enough)
            if len(rows) < WALKED_AT_ONCE or len(further.changes) == len(kept.changes):
                return further
            kept = further
        return kept

    def _tell(self, messages: Sequence[Message | Unwritten], changed: Sequence[ShadowChanged]) -> None:
        for message in messages:
            if not isinstance(message, Unwritten):
                self.publish(message)
            elif self.is_heard(message.tenant_id, message.topic):
                self.publish(message.written())
        if changed:
            self.announce(changed)

    async def _alone(self, work: Work) -> None:
        """Stand in while nobody gathers batches: a transaction of its own."""
        afterwards = await self._database.write(work, self._clock())
        afterwards()


def _further(kept: Kept, rows: Sequence[StoredChange], is_enough: Callable[[Kept], bool]) -> Kept:
    """A shadow with the changes of these rows, until they are enough, or one cannot be read."""
    for row in rows:
        count = len(kept.changes)
        try:
            kept = continued(kept, pack.changes(row))
        except UnreadableError as error:
            log.warning("history of a shadow ends early error=%s", error)
            break
        if len(kept.changes) == count or is_enough(kept):
            break
    return kept


def _author(message: Message) -> str:
    """Who published a message, as a history names them."""
    if not message.is_operators:
        return f"device {message.principal}"
    kind, _, name = message.principal.partition(":")
    return f"script {name}" if kind == "token" else f"user {name}"


def _messages(tenant_id: int, topic: str, ruling: Ruling, now: int) -> list[Message | Unwritten]:
    told: list[Message | Unwritten] = [
        _message(tenant_id, f"{topic}/{word}", payload, now) for word, payload in ruling.told
    ]
    if ruling.documents is not None:
        told.append(Unwritten(tenant_id, f"{topic}/{DOCUMENTS}", ruling.documents, now))
    return told


def _message(tenant_id: int, topic: str, payload: bytes, now: int) -> Message:
    return Message(tenant_id, "", "", topic, payload, 1, retain=False, arrived_at=now)
