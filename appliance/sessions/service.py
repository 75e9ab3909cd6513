"""Gives the broker, when it starts, the sessions and retained messages that outlived the process.

What changes afterwards is committed by ingestion, together with the messages that changed it.
"""

import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Iterator
from typing import Self

from appliance.instant import Clock
from appliance.sessions import queries
from appliance.sessions.load import Loaded, Rows, assemble
from appliance.store.database import Database, UnwritableError
from broker.changes import StoredSession
from broker.message import Message

log = logging.getLogger(__name__)


class Sessions:
    """The broker's `SessionStore`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._sessions: deque[StoredSession] = deque()
        self._retained: deque[Message] = deque()
        self._highest_number = 0

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[Self]:
        """Have everything that is kept in memory until it is handed out, and what is over off the disk."""
        await self._load()
        yield self

    def sessions(self) -> Iterator[StoredSession]:
        """Every session that is kept, each handed out once and forgotten here."""
        while self._sessions:
            yield self._sessions.popleft()

    def retained(self) -> Iterator[Message]:
        """Every retained message that is kept, each handed out once and forgotten here."""
        while self._retained:
            yield self._retained.popleft()

    def highest_number(self) -> int:
        """The highest number that a session, a delivery or a message ever had: the broker goes on after it."""
        return self._highest_number

    async def _load(self) -> None:
        # Nothing but what is to be handed out may outlive this: it would be kept as long as the process.
        loaded = assemble(await self._rows(), self._clock())
        self._sessions.extend(loaded.sessions)
        self._retained.extend(loaded.retained)
        [self._highest_number] = await self._database.read(queries.select_highest_number())
        if loaded.damage:
            log.warning("rows not readable, left out %s", _counted(loaded.damage))
        await self._tidy(loaded)
        log.info(
            "sessions opened session_count=%s retained_count=%s expired=%s",
            len(loaded.sessions),
            len(loaded.retained),
            _counted(loaded.expired) or "none",
        )

    async def _rows(self) -> Rows:
        read = self._database.read
        return Rows(
            await read(queries.select_sessions()),
            await read(queries.select_subscriptions()),
            await read(queries.select_identifiers()),
            await read(queries.select_messages()),
            await read(queries.select_deliveries()),
            await read(queries.select_retained()),
        )

    async def _tidy(self, loaded: Loaded) -> None:
        try:
            await self._database.write(queries.save, loaded.changes)
        except UnwritableError as error:
            # A full disk keeps nobody from starting: the next start finds the same rows over again.
            log.warning("rows that are over not removed error=%s", error)


def _counted(counts: dict[str, int]) -> str:
    return " ".join(f"{name}={count}" for name, count in sorted(counts.items()))
