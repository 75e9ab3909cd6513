"""Lets alert rules see the gateway's own figures, as they see the readings of devices.

Measuring never waits for the disk, and what was measured waits for it: while nothing can be written, which is when
these alerts matter most, no figure is lost, and all are judged in their order as soon as something can be.
"""

import asyncio
import logging
import sqlite3
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

from appliance.alerts import queries as alert_queries
from appliance.alerts.book import Book, Overlay
from appliance.alerts.message import announcements, write_notice
from appliance.alerts.model import AlertEvent, Change
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


class Measured(NamedTuple):
    """The figures of one moment."""

    at: int
    readings: Mapping[str, float]


Measure = Callable[[], Awaitable[Measured]]


class Watch:
    """The alert rules that are about the gateway itself."""

    def __init__(self, database: Database, book: Book, bus: Bus, measured: Measure) -> None:
        self._database = database
        self._book = book
        self._bus = bus
        self._measured = measured
        self._waiting: deque[Measured] = deque(maxlen=WAITING_LIMIT)
        self._arrived = asyncio.Event()
        self._trouble = ""

    async def measure(self) -> None:
        """Note the figures of this moment, if there is a rule that would look at them."""
        if any(self._book.in_force(DEFAULT_TENANT, metric) for metric in TOLD):
            self._waiting.append(await self._measured())
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
        waiting = list(self._waiting)
        overlay = self._book.overlay()
        for measured in waiting:
            _judge(overlay, measured)
        try:
            await self._write(overlay, waiting)
        except UnwritableError as error:
            if not self._trouble:
                log.warning("alerts of the gateway wait for the disk error=%s", error)
            self._trouble = str(error)
            return False
        self._trouble = ""
        # Of what was measured meanwhile nothing was judged; what was judged may have been pushed out by it.
        judged_at = {id(measured) for measured in waiting}
        while self._waiting and id(self._waiting[0]) in judged_at:
            self._waiting.popleft()
        return True

    async def _write(self, overlay: Overlay, waiting: Sequence[Measured]) -> None:
        changes = overlay.changes()
        if not changes:
            return
        events = await self._database.write(_save, changes, waiting[-1].at)
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
