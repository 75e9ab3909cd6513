"""Lets alert rules see the gateway's own figures, as they see the readings of devices.

Measuring never waits for the disk, and what was measured waits for it: while nothing can be written, which is when
these alerts matter most, no figure is lost, and all are judged in their order as soon as something can be. What was
judged once is not judged again each time that is tried, as long as the rules and their alerts are the same.
"""

import asyncio
import logging
import sqlite3
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from appliance.alerts import queries as alert_queries
from appliance.alerts.book import Book, Overlay, StateKey
from appliance.alerts.message import announcements, write_notice
from appliance.alerts.model import AlertEvent, AlertState, Change, Limit
from appliance.bus import Bus
from appliance.notifications import queries as outbox_queries
from appliance.notifications.model import NoticesQueued
from appliance.registry.model import DEFAULT_TENANT
from appliance.store.database import Database, UnwritableError
from appliance.vitals.conditions import DEVICE_ID, DEVICE_NAME, TOLD

log = logging.getLogger(__name__)

WAITING_LIMIT = 2_000
"""So many measurements wait for the disk, hours of them; of more, the oldest go."""
RETRY_S = 1.0
CHANGES_LIMIT = 10_000
"""With more that wait to be written, all is judged anew, out of what is still here: memory holds no more than that."""


class Measured(NamedTuple):
    """The figures of one moment."""

    at: int
    readings: Mapping[str, float]


Measure = Callable[[], Awaitable[Measured]]

Standing = list[tuple[Limit, AlertState]]
"""The rules that look at the gateway, and where each stands."""


class _Judged:
    """What was judged and is not written yet."""

    def __init__(self, overlay: Overlay, standing: Standing) -> None:
        self.overlay = overlay
        self.standing = standing
        """What it was judged on."""
        self.through = 0
        """How many had been measured by then, since the start."""


class Watch:
    """The alert rules that are about the gateway itself."""

    def __init__(self, database: Database, book: Book, bus: Bus, measured: Measure) -> None:
        self._database = database
        self._book = book
        self._bus = bus
        self._measured = measured
        self._waiting: deque[Measured] = deque(maxlen=WAITING_LIMIT)
        self._count = 0
        """How many were ever measured."""
        self._judged: _Judged | None = None
        self._arrived = asyncio.Event()
        self._trouble = ""

    async def measure(self) -> None:
        """Note the figures of this moment, if there is a rule that would look at them."""
        if any(self._book.in_force(DEFAULT_TENANT, metric) for metric in TOLD):
            self._waiting.append(await self._measured())
            self._count += 1
            self._arrived.set()

    async def judge_for_ever(self) -> None:
        """Judge what was measured, and write down what comes of it."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            if not await self.judge():
                await asyncio.sleep(RETRY_S)
                self._arrived.set()

    async def judge(self) -> bool:
        """Judge what waits; False when nothing could be written, and all of it waits on."""
        judged = self._taken_up()
        new_count = min(self._count - judged.through, len(self._waiting))
        for measured in islice(self._waiting, len(self._waiting) - new_count, None):
            _judge(judged.overlay, measured)
        judged.through = self._count
        try:
            await self._write(judged.overlay)
        except UnwritableError as error:
            self._judged = judged
            if not self._trouble:
                log.warning("alerts of the gateway wait for the disk error=%s", error)
            self._trouble = str(error)
            return False
        self._trouble = ""
        # Of what was measured meanwhile nothing was judged; what was judged may have been pushed out by it.
        while len(self._waiting) > self._count - judged.through:
            self._waiting.popleft()
        return True

    def _taken_up(self) -> _Judged:
        """What was judged before and could not be written, if it would be judged the same now; else a new beginning."""
        before, self._judged = self._judged, None
        standing = [
            (limit, self._book.state(StateKey(DEFAULT_TENANT, limit.rule_id, DEVICE_ID)))
            for metric in TOLD
            for limit in self._book.in_force(DEFAULT_TENANT, metric)
        ]
        if before and before.standing == standing and len(before.overlay.changes()) <= CHANGES_LIMIT:
            return before
        begun = _Judged(self._book.overlay(), standing)
        begun.through = self._count - len(self._waiting)
        return begun

    async def _write(self, overlay: Overlay) -> None:
        changes = overlay.changes()
        if not changes:
            return
        events = await self._database.write(_save, changes, changes[-1].at)
        self._book.merge(overlay)
        noticed = [NoticesQueued(DEFAULT_TENANT)] if any(event.change.notice for event in events) else []
        self._bus.announce([*announcements(events), *noticed])


def _judge(overlay: Overlay, measured: Measured) -> None:
    for metric, value in measured.readings.items():
        overlay.judge(DEFAULT_TENANT, DEVICE_ID, "", metric, value, measured.at, late=False)


def _save(connection: sqlite3.Connection, changes: Sequence[Change], now: int) -> list[AlertEvent]:
    """An alert and its notices in one transaction."""
    events = alert_queries.save_changes(connection, changes)
    for event in events:
        alert, limit = event.alert, event.change.limit
        if event.change.notice:
            subject, body = write_notice(event.change, DEVICE_NAME, alert.alert_id)
            for recipient in limit.recipients:
                outbox_queries.insert_notice(
                    connection, alert.tenant_id, alert.alert_id, "email", recipient, subject, body, now
                )
    return events
