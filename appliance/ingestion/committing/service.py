"""Everything of one batch in one transaction, and whoever is asked inside it.

A room that clients ask for something (shadows, commands, jobs) does what they ask in the transaction of their
batch: a request that is acknowledged is on disk together with what came of it. What the gateway itself or a person
asks for goes the same way, so that nothing of such a room is ever changed in two places at once.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple, Protocol

import msgspec

from appliance.alerts import queries as alert_queries
from appliance.alerts.message import write_notice
from appliance.alerts.model import AlertEvent
from appliance.ingestion import queries
from appliance.ingestion.model import Outcome
from appliance.ingestion.records import Record, records_of
from appliance.notifications import queries as outbox_queries
from appliance.sessions import queries as session_queries
from appliance.store.database import Afterwards, Work, is_sqlites
from appliance.telemetry import log_record
from appliance.telemetry import queries as telemetry_queries
from appliance.telemetry.model import Report
from broker.changes import Change, ChangeKey
from broker.message import Message

log = logging.getLogger(__name__)


class Room(Protocol):
    """Where clients ask for something by publishing."""

    def takes(self, topic: str) -> bool:
        """Whether a message of this topic name is a request to this room."""

    def apply(self, messages: Sequence[Message], connection: sqlite3.Connection, now: int) -> Afterwards:
        """Do what these messages ask for, in their order, as a `Work` does. A bad message is answered, not raised."""


class Errand(NamedTuple):
    """Work of one batch, and who waits for it."""

    work: Work
    waiting: asyncio.Future[None] | None = None

    def is_given_up(self, error: Exception) -> bool:
        """Tell whoever waits that it cannot be done now; whether somebody does."""
        if self.waiting is None:
            return False
        if not self.waiting.done():
            self.waiting.set_exception(error)
        return True


class Committed(msgspec.Struct, frozen=True):
    """What one commit wrote, with the numbers that the database gave."""

    records: Mapping[int, Record]
    """By log id, in the order of the log."""
    events: tuple[AlertEvent, ...]
    notice_tenants: tuple[int, ...]
    afterwards: tuple[Afterwards | Exception, ...] = ()
    """What came of each errand."""


class Load(NamedTuple):
    """What goes with one batch besides what its messages tell."""

    brought: list[tuple[Sequence[Report], asyncio.Future[None]]]
    errands: list[Errand]

    @property
    def reports(self) -> list[Report]:
        """Those that no message carried."""
        return [report for reports, _ in self.brought for report in reports]

    def finish(self, afterwards: Sequence[Afterwards | Exception]) -> None:
        """Tell those who brought reports, do what is left to do of the errands, and tell those who wait for them."""
        for _, waiting in self.brought:
            if not waiting.done():
                waiting.set_result(None)
        for errand, rest in zip(self.errands, afterwards, strict=True):
            failure = rest if isinstance(rest, Exception) else _told(rest)
            if errand.waiting is None or errand.waiting.done():
                if failure is not None:
                    log.error("request failed", exc_info=failure)
            elif failure is not None:
                errand.waiting.set_exception(failure)
            else:
                errand.waiting.set_result(None)

    def give_up(self, error: Exception) -> None:
        """Leave out, while the disk is full, what somebody waits for who can be told."""
        self.errands[:] = [errand for errand in self.errands if not errand.is_given_up(error)]


class Company:
    """What waits to go with the next batch."""

    def __init__(self) -> None:
        self.rooms: tuple[Room, ...] = ()
        """Those that clients ask for something. No two take the same topic."""
        self._load = Load([], [])
        self._first: list[Errand] = []

    def __bool__(self) -> bool:
        """Whether there is something that no message carries."""
        return bool(self._load.brought or self._load.errands or self._first)

    @property
    def has_first(self) -> bool:
        """Whether there is an errand that need not wait for messages."""
        return bool(self._first)

    def bring(self, reports: Sequence[Report]) -> asyncio.Future[None]:
        """Take reports along; done when they are on disk."""
        waiting = asyncio.get_running_loop().create_future()
        self._load.brought.append((reports, waiting))
        return waiting

    def ask(self, work: Work, *, is_first: bool = False) -> asyncio.Future[None]:
        """Take an errand along; done when it is."""
        waiting = asyncio.get_running_loop().create_future()
        (self._first if is_first else self._load.errands).append(Errand(work, waiting))
        return waiting

    def take_first(self) -> Load:
        """Only what need not wait for messages."""
        errands, self._first = self._first, []
        return Load([], errands)

    def take(self, requests: Sequence[Message]) -> Load:
        """What goes with a batch of these requests; what its messages ask for comes first."""
        load, self._load = self._load, Load([], [])
        load.errands.extend(self.take_first().errands)
        asked: list[tuple[Room, list[Message]]] = [(room, []) for room in self.rooms]
        for one in requests:
            for room, messages in asked:
                if room.takes(one.topic):
                    messages.append(one)
                    break
        load.errands[:0] = [Errand(partial(room.apply, messages)) for room, messages in asked if messages]
        return load


def write(
    connection: sqlite3.Connection,
    outcome: Outcome,
    changes: Mapping[ChangeKey, Change],
    errands: Sequence[Errand],
    name_of: Callable[[int, str], str],
    now: int,
) -> Committed:
    """Everything of one batch in one transaction."""
    records = {}
    for record in records_of(outcome.reports):
        encoded = log_record.encode(record.reports)
        log_id = telemetry_queries.insert_log(connection, record.tenant_id, now, len(record.reports), encoded)
        records[log_id] = record
    events = alert_queries.save_changes(connection, outcome.changes)
    noticed = [event for event in events if event.change.notice]
    for event in noticed:
        _queue_notices(connection, event, name_of, now)
    queries.insert_mishaps(connection, outcome.mishaps)
    session_queries.save(connection, changes)
    return Committed(
        records,
        tuple(events),
        tuple({event.alert.tenant_id for event in noticed}),
        tuple([_done(connection, errand.work, now) for errand in errands]),
    )


def _done(connection: sqlite3.Connection, work: Work, now: int) -> Afterwards | Exception:
    """Do work; where it fails, nothing of it stays, and the rest of the batch goes on."""
    connection.execute("SAVEPOINT errand")
    try:
        afterwards = work(connection, now)
    except Exception as error:  # one bad request stops nobody; it is logged or raised where it is told
        if isinstance(error, sqlite3.OperationalError) and is_sqlites(error):
            raise  # The disk, not the work: the whole batch waits.
        connection.execute("ROLLBACK TO errand")
        connection.execute("RELEASE errand")
        return error
    connection.execute("RELEASE errand")
    return afterwards


def _told(rest: Afterwards) -> Exception | None:
    try:
        rest()
    except Exception as error:  # noqa: BLE001  whoever tells of one request must not keep others from theirs
        return error
    return None


def _queue_notices(
    connection: sqlite3.Connection, event: AlertEvent, name_of: Callable[[int, str], str], now: int
) -> None:
    """An alert cannot be lost between deciding and sending: its notices are rows of the same transaction."""
    alert = event.alert
    subject, body = write_notice(event.change, name_of(alert.tenant_id, alert.device_id), alert.alert_id)
    for recipient in event.change.limit.recipients:
        outbox_queries.insert_notice(
            connection, alert.tenant_id, alert.alert_id, "email", recipient, subject, body, now
        )
