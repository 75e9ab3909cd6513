"""Everything of one batch in one transaction, and whoever is asked inside it.

A room that clients ask for something (shadows, commands, jobs) does what they ask in the transaction of their
batch: a request that is acknowledged is on disk together with what came of it. What the gateway itself or a person
asks for goes the same way, so that nothing of such a room is ever changed in two places at once.

Rules: what clients ask a room for is done together; where that fails, one half and then the other, so that one row
that is damaged costs only whoever asks about it. Of what failed the log is told the kind and the place.
"""

import asyncio
import logging
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple, Protocol

import msgspec

from appliance.alerts import queries as alert_queries
from appliance.alerts.message import write_notice
from appliance.alerts.model import AlertEvent
from appliance.errors import kind_of, place_of, spot_of
from appliance.ingestion import queries
from appliance.ingestion.model import Outcome
from appliance.ingestion.records import Record, records_of
from appliance.notifications import queries as outbox_queries
from appliance.sessions import queries as session_queries
from appliance.store.database import Afterwards, Work, is_sqlites, let_go, nothing_left
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

    def unserved(self, message: Message) -> None:
        """Tell, on the loop, whoever published it that the gateway could not do it."""


class Failure(NamedTuple):
    """What could not be done."""

    error: Exception
    tell: Afterwards
    """Tells whoever asked for it."""


Results = Sequence[Afterwards | Failure]
"""What came of an errand; of one that failed as a whole, what came of its parts."""


class Errand(NamedTuple):
    """Work of one batch, and who waits for it."""

    work: Work
    waiting: asyncio.Future[None] | None = None
    halves: Callable[[], Sequence["Errand"]] = tuple
    """The same work in two parts, the second after the first; nobody waits for an errand that has some."""
    unserved: Afterwards = nothing_left
    """Tells whoever asked for it, and does not wait, that it cannot be done."""

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
    results: tuple[Results, ...] = ()
    """Of each errand."""

    def counts(self) -> Mapping[int, int]:
        """How many reports of each tenant there are."""
        counts = Counter[int]()
        for record in self.records.values():
            counts[record.tenant_id] += len(record.reports)
        return counts


class Load(NamedTuple):
    """What goes with one batch besides what its messages tell."""

    brought: list[tuple[Sequence[Report], asyncio.Future[None]]]
    errands: list[Errand]

    @property
    def reports(self) -> list[Report]:
        """Those that no message carried."""
        return [report for reports, _ in self.brought for report in reports]

    def finish(self, results: Sequence[Results]) -> None:
        """Tell those who brought reports, do what is left to do of the errands, and tell those who wait for them."""
        for _, waiting in self.brought:
            if not waiting.done():
                waiting.set_result(None)
        for errand, parts in zip(self.errands, results, strict=True):
            failures = [error for result in parts for error in _told(result)]
            if errand.waiting is None or errand.waiting.done():
                _log(failures)
            elif failures:
                errand.waiting.set_exception(failures[0])
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
        return self.has_more or self.has_first

    @property
    def has_more(self) -> bool:
        """Whether there is something that goes with the next batch."""
        return bool(self._load.brought or self._load.errands)

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

    def give_up(self, error: Exception) -> None:
        """Tell those who wait for an errand that it cannot be done now."""
        self._load.give_up(error)
        self.take_first().give_up(error)

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
        load.errands[:0] = [_asked_of(room, messages) for room, messages in asked if messages]
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
    for record in records_of(outcome.sheaves):
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
        tuple([_results(connection, errand, now) for errand in errands]),
    )


def _asked_of(room: Room, messages: Sequence[Message]) -> Errand:
    work = partial(room.apply, messages)
    if len(messages) == 1:
        return Errand(work, unserved=partial(room.unserved, messages[0]))
    return Errand(work, halves=partial(_halves, room, messages))


def _halves(room: Room, messages: Sequence[Message]) -> Sequence[Errand]:
    middle = len(messages) // 2
    return [_asked_of(room, messages[:middle]), _asked_of(room, messages[middle:])]


def _results(connection: sqlite3.Connection, errand: Errand, now: int) -> Results:
    """Run an errand; where it fails as a whole, run its halves, and what fails alone costs no other anything."""
    whole = _done(connection, errand.work, now)
    if not isinstance(whole, Exception):
        return [whole]
    halves = errand.halves()
    if not halves:
        return [Failure(whole, errand.unserved)]
    results = [result for half in halves for result in _results(connection, half, now)]
    if not any(isinstance(result, Failure) for result in results):
        # Nothing failed but to do it together: nobody else will tell of that.
        _log([whole])
    return results


def _done(connection: sqlite3.Connection, work: Work, now: int) -> Afterwards | Exception:
    """Do work; where it fails, nothing of it stays, and the rest of the batch goes on."""
    connection.execute("SAVEPOINT errand")
    try:
        afterwards = work(connection, now)
    except Exception as error:  # one bad request stops nobody; it is logged or raised where it is told
        if _is_the_disks(error):
            raise  # The whole batch waits.
        let_go(error)
        connection.execute("ROLLBACK TO errand")
        connection.execute("RELEASE errand")
        return error
    connection.execute("RELEASE errand")
    return afterwards


def _is_the_disks(error: Exception) -> bool:
    """Whether the disk is to blame, and not the work or what it found in a row."""
    if not (isinstance(error, sqlite3.OperationalError) and is_sqlites(error)):
        return False
    # That a statement cannot be done with such values is said without a kind of its own.
    return error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_ERROR


def _told(result: Afterwards | Failure) -> list[Exception]:
    """Do what is left to do; gives what failed."""
    failures, rest = ([result.error], result.tell) if isinstance(result, Failure) else ([], result)
    try:
        rest()
    except Exception as error:  # noqa: BLE001  whoever tells of one request must not keep others from theirs
        failures.append(error)
    return failures


def _log(failures: Sequence[Exception]) -> None:
    """Tell the log once of each kind and place, and never in the errors' own words."""
    alike: dict[object, list[Exception]] = {}
    for error in failures:
        alike.setdefault((type(error), spot_of(error)), []).append(error)
    for errors in alike.values():
        log.error("requests failed count=%s error=%s where=\n%s", len(errors), kind_of(errors[0]), place_of(errors[0]))


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
