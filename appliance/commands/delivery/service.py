"""The courier: offers commands to devices that are connected and want them, and keeps what is heard of them.

Rules: a command is on disk as offered before a byte of it is written, and offered to one connection at a time; nothing
of it stays with the broker when that connection ends. What was written and not answered for is written again only where
its sender says that it may be. A command that cannot be offered keeps no other from its device: it is set aside.
"""

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from functools import partial

from appliance.commands import queries
from appliance.commands.as_jobs.service import AsJobs, Kept
from appliance.commands.delivery.claiming.service import Claim, Waiting, all_waiting, at_once, claim, one_waiting
from appliance.commands.delivery.expecting import Expecting
from appliance.commands.delivery.flight import Change, Claimant, Evidence, Flight, Key, Place, Post, Wants
from appliance.commands.delivery.flights import Flights
from appliance.commands.delivery.keeping.service import Keeping
from appliance.commands.delivery.recall import EXACTLY_ONCE, KeptBySession, recalled, request_of
from appliance.commands.dialects.dialect import Answered, Dialect
from appliance.commands.mishaps.service import Later, Mishap, fails, failures
from appliance.commands.model import Command, DialectName
from appliance.commands.setting_aside.queries import select_waiting_numbers
from appliance.commands.setting_aside.service import SettingAside
from appliance.instant import SECOND_MS, Clock
from appliance.store.database import Afterwards, Database, Together, UnwritableError, Work
from broker.changes import Delivery
from broker.message import Message
from broker.ports import Connected, Disconnected, Refused, Subscribed

log = logging.getLogger(__name__)

PIECE = 1_000
"""Devices of one transaction."""
RETRY_S = 1.0
AGAIN_MS = 5 * SECOND_MS
"""After so long a command is offered again that a connection has not taken."""
IMPATIENT_MS = 10 * SECOND_MS
"""So long a command may wait behind other messages of a connection."""


class Courier:
    """Brings commands to devices."""

    def __init__(self, database: Database, clock: Clock, in_flight: int, as_jobs: AsJobs, aside: SettingAside) -> None:
        """`in_flight` commands of a device may be written and not yet answered for."""
        self._database = database
        self._clock = clock
        self._in_flight = in_flight
        self.as_jobs = as_jobs
        self._aside = aside
        self.keeping = Keeping(database, clock, aside, self._settled)
        self.dialects: Sequence[Dialect] = ()
        self.answered: Sequence[Answered] = ()
        self.together: Together
        self.type_of: Callable[[int, str], str] = lambda _tenant_id, _device_id: ""
        """Gives the type of a device."""
        self.usual: Callable[[int, str, str], DialectName] = lambda *_: DialectName.ANY
        """Gives the dialect in which a type's command is usually told: of tenant, type and name."""
        self.changed: Callable[[Sequence[Change]], None] = lambda _: None
        """Hears what has come further, once it is on disk."""
        self.abandon: Callable[[int, str, Callable[[Message], bool]], int] = lambda *_: 0
        """Takes back what waits for a client, at QoS 1 also if it was written: of tenant and client identifier."""
        self.follow: Callable[[Delivery, Flight], None] = lambda *_: None
        """Has a flight hear what becomes of a delivery that a session has kept."""
        self._post: Post | None = None
        self._expecting = Expecting()
        self._flights = Flights()
        self._other_names: dict[Place, str] = {}
        """The devices behind client identifiers that are not their own."""
        self._has_to_offer = asyncio.Event()
        self.mishap = Mishap("offering commands")
        self._later = Later(AGAIN_MS / SECOND_MS, self._look_at)

    @contextlib.asynccontextmanager
    async def running(self, post: Post) -> AsyncIterator[None]:
        """Offer what waits; on leaving, what was heard is kept."""
        self._post = post
        await self._recall()
        async with asyncio.TaskGroup() as tasks:
            working = [
                tasks.create_task(self._offer_for_ever(), name="commands offered"),
                tasks.create_task(self.keeping.run(), name="commands' evidence"),
            ]
            try:
                yield
            finally:
                for task in working:
                    task.cancel()
        await self.keeping.finish()

    # What the ledger calls.

    def expect(self, places: Iterable[Place]) -> None:
        """Something waits for these devices."""
        for place in places:
            self._expecting.add(place)
            self._expecting.look_at(place)
        self._has_to_offer.set()

    def reserve(self, places: Iterable[Place]) -> dict[Place, Claimant]:
        """Devices to which something new can be offered at once; nothing else is, until `launch` or `release`."""
        idle = [place for place in places if place not in self._expecting and self._post is not None]
        found = {place: one for place in idle if (one := self._claimant(place)) is not None}
        self._expecting.reserve(found)
        return found

    def at_once(
        self, commands: Sequence[Command], reserved: Mapping[Place, Claimant], now: int
    ) -> tuple[list[Command], list[Claim]]:
        """New commands as they are to be written down, and what is to be launched then. In the writer's thread."""
        return at_once(commands, reserved, self.dialects, self.usual, now)

    def launch(self, reserved: Iterable[Place], claims: Sequence[Claim]) -> None:
        """Write what is on disk as offered."""
        for each in claims:
            self._write(each)
        self.release(reserved)

    def release(self, reserved: Iterable[Place]) -> None:
        """These devices may be offered something else again."""
        for place in reserved:
            self._expecting.release(place)
            if place in self._expecting:
                self._look_at(place)

    def land(self, command: Command) -> None:
        """A command has ended: its flight does not count any more."""
        flight = self._flights.of(command)
        if flight is not None:
            flight.withdraw()
            self._forget(flight)

    def withdraw(self, command: Command) -> bool:
        """Take a command back that was not written yet; False where it was, or may have been."""
        if command.offered_at is None:
            return True
        flight = self._flights.of(command)
        if flight is None or not flight.withdraw():
            return False
        self._forget(flight)
        return True

    def offer_again(self, command: Command) -> None:
        """What was taken back could not be cancelled."""
        evidence = self._about(Key(command.tenant_id, command.device_id, command.command_number, command.attempt))
        evidence.is_released, evidence.not_before = True, self._clock() + AGAIN_MS

    def look_after(self, now: int) -> None:
        """Take back what waits too long behind other messages of its connection."""
        for flight in self._flights.all():
            if not flight.is_written and now - flight.began_at > IMPATIENT_MS and flight.withdraw():
                self.was_untaken(flight)

    @property
    def waiting_count(self) -> int:
        """Devices that something waits for."""
        return len(self._expecting)

    @property
    def flight_count(self) -> int:
        """Commands that are written, or about to be, and not answered for."""
        return len(self._flights)

    # What the broker tells.

    def heard(self, event: Connected | Disconnected | Refused) -> None:
        """A client came or went: whatever its connection had is over."""
        if isinstance(event, Refused) or self._post is None:
            return
        place = (event.tenant_id, event.principal)
        if event.client_id != event.principal and isinstance(event, Connected):
            self._other_names[event.tenant_id, event.client_id] = event.principal
        elif self._other_names:
            self._other_names.pop((event.tenant_id, event.client_id), None)
        self.abandon(event.tenant_id, event.client_id, self._is_request)
        for flight in self._flights.to(place):
            if flight.client_id == event.client_id and not self._goes_on(flight):
                self._lost(flight)
        if place in self._expecting and isinstance(event, Connected):
            self._look_at(place)

    def heard_subscribed(self, event: Subscribed) -> None:
        """A client wants more than before."""
        if event.is_over or self._post is None:
            return
        device_id = self._other_names.get((event.tenant_id, event.client_id), event.client_id)
        place = (event.tenant_id, device_id)
        if place in self._expecting:
            self._look_at(place)

    def was_written(self, flight: Flight) -> None:
        """It was written to the connection."""
        self._about(flight.key).sent_at = self._clock()

    def was_unanswerable(self, flight: Flight) -> None:
        """Nobody will answer for it: there is room for the next one."""
        self._forget(flight)

    def was_acknowledged(self, flight: Flight) -> None:
        """The device has answered for it: there is room for the next one."""
        self._about(flight.key).acknowledged_at = self._clock()
        self._forget(flight)

    def was_untaken(self, flight: Flight) -> None:
        """The connection has not taken it: it is offered again a little later."""
        evidence = self._about(flight.key)
        evidence.is_released, evidence.not_before = True, self._clock() + AGAIN_MS
        self._forget(flight)

    # Offering.

    async def _offer_for_ever(self) -> None:
        while True:
            await self._has_to_offer.wait()
            self._has_to_offer.clear()
            while self._expecting.is_ready:
                places = self._expecting.take(PIECE)
                try:
                    with self.mishap.tried():
                        await self._offer([place for place in places if place in self._expecting])
                except UnwritableError as error:
                    log.warning("commands not offered, retried until they are error=%s", error)
                    for place in places:
                        self._expecting.look_at(place)
                    await asyncio.sleep(RETRY_S)

    async def _offer(self, places: Sequence[Place]) -> None:
        """Offer to each what waits for it."""
        claimants: list[Claimant] = []
        for place in places:
            with self.mishap.noted():
                claimants += [] if (one := self._claimant(place)) is None else [one]
                continue
            self._later.add(place)
        if not claimants:
            return
        if await fails(self.together, partial(self._claim, claimants, all_waiting)):
            alone = await failures(self.together, claimants, lambda one: partial(self._claim, [one], all_waiting))
            for claimant, error in alone:
                place = (claimant.tenant_id, claimant.device_id)
                self._later.add(place)
                with self.mishap.noted():
                    await self._sort_out(place, error)

    async def _sort_out(self, place: Place, error: Exception) -> None:
        """Offer to a device one command after the other, and set the first aside with which that fails."""
        await self.as_jobs.mend(*place)
        for number in await self._database.read(select_waiting_numbers(*place)):
            claimant = self._claimant(place)
            if claimant is None:
                break
            failed = await failures(self.together, [number], partial(self._claim_one, claimant))
            if failed and await self._aside.put((place[0], number), failed[0][1]):
                self.expect([place])
                return
        # More may wait than what was just looked at; it is offered a little later.
        self._expecting.add(place)
        self.mishap.note(error)

    def _claimant(self, place: Place) -> Claimant | None:
        """Over which connection a device can be offered something now."""
        assert self._post is not None  # noqa: S101  it runs
        tenant_id, device_id = place
        room = self._in_flight - self._flights.count_to(place)
        if room <= 0 or self._expecting.is_reserved(place):
            return None
        for session in self._post.sessions(tenant_id, device_id):
            client = session.client
            if client is None or not client.stream.is_open:
                continue
            wants = Wants({one: subscription.qos for one, subscription in session.subscriptions.items()})
            if wants:
                type_name = self.type_of(tenant_id, device_id)
                return Claimant(tenant_id, device_id, session, client, wants, room, type_name)
        return None

    def _claim(
        self, claimants: Sequence[Claimant], waiting: Waiting, connection: sqlite3.Connection, now: int
    ) -> Afterwards:
        """Choose what each is offered next, and have it on disk as offered."""
        claims, others, done = claim(claimants, waiting, self.dialects, self.usual, connection, now)
        kept = self.as_jobs.keep(connection, others, now)
        return partial(self._claimed, claims, kept, done)

    def _claim_one(self, claimant: Claimant, command_number: int) -> Work:
        return partial(self._claim, [claimant], one_waiting(command_number))

    def _claimed(self, claims: Sequence[Claim], kept: Kept, done: Sequence[Place]) -> None:
        """Write what is on disk as offered."""
        kept.tell()
        self._expecting.remove(done)
        for each in claims:
            self._write(each)
        if kept.changes:
            self.changed(kept.changes)

    def _write(self, claim: Claim) -> None:
        assert self._post is not None  # noqa: S101  it runs
        command, claimant = claim.command, claim.claimant
        key = Key(command.tenant_id, command.device_id, command.command_number, command.attempt)
        topic, payload, properties = claim.wire
        message = Message(
            *(command.tenant_id, "", "", topic, payload, command.qos),
            retain=False,
            arrived_at=self._clock(),
            properties=properties,
            expires_at=command.expires_at,
        )
        flight = Flight(key, claimant.session.client_id, message, self)
        has_room = self._flights.count_to(key.place) < self._in_flight
        self._flights.add(flight)
        if not (has_room and claimant.is_still_there):
            self._lost(flight)
            return
        flight.publication = self._post.answer(message, claimant.session.client_id, flight)
        if flight.publication is None:
            self._lost(flight)

    # What becomes of flights.

    def _goes_on(self, flight: Flight) -> bool:
        """Whether the session itself brings it to its end: QoS 2, exactly once."""
        assert self._post is not None  # noqa: S101  it runs
        if flight.message.qos < EXACTLY_ONCE or not flight.is_written:
            return False
        sessions = self._post.sessions(*flight.key.place)
        return any(
            delivery.message is flight.message
            for session in sessions
            if session.client_id == flight.client_id and session.is_stored
            for delivery in session.deliveries
        )

    def _lost(self, flight: Flight) -> None:
        """Its connection has ended."""
        evidence = self._about(flight.key)
        if flight.is_written:
            evidence.is_unconfirmed = True
        else:
            flight.withdraw()
            evidence.is_released = True
        self._forget(flight)

    def _forget(self, flight: Flight) -> None:
        self._flights.remove(flight)
        if flight.key.place in self._expecting:
            self._look_at(flight.key.place)

    def _look_at(self, place: Place) -> None:
        self._expecting.look_at(place)
        self._has_to_offer.set()

    def _about(self, key: Key) -> Evidence:
        return self.keeping.about(key)

    def _is_request(self, message: Message) -> bool:
        """Whether it is a command, which no session may keep."""
        return request_of(self.answered, message) is not None

    def _settled(self, changes: Sequence[Change]) -> None:
        again = [after for _, after in changes if after.offered_at is None and not after.is_over]
        if again:
            self.expect([(after.tenant_id, after.device_id) for after in again])
        self.changed(changes)

    async def _recall(self) -> None:
        """What was under way when the gateway ended, and for whom something waits."""
        assert self._post is not None  # noqa: S101  it runs
        attempts = await self._database.read(queries.select_unconfirmed())
        for key, by_session in recalled(attempts, self.answered, self._post.sessions):
            self._recall_one(key, by_session)
        self.expect(await self._database.read(queries.select_waiting()))

    def _recall_one(self, key: Key, by_session: KeptBySession | None) -> None:
        """Take up a command where it was; `by_session` is what a session has kept of it."""
        if by_session is None:
            self._about(key).is_unconfirmed = True
        elif not by_session.is_begun:
            self._about(key).is_released = True
        else:
            message = by_session.delivery.message
            flight = Flight(key, by_session.client_id, message, self, is_recalled=True)
            self._flights.add(flight)
            self.follow(by_session.delivery, flight)
            if by_session.delivery.is_released:
                # Its device has answered for the first step, so it was written.
                self._about(key).sent_at = message.arrived_at
