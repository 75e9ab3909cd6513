"""Executions of jobs with which the gateway cannot go on are set aside, so that all others go on.

Rules: such an execution is cancelled, with a reason that pages show, and whoever has made its job hears of it; where
that fails, too, its row alone ends. What nobody can read of it is forgotten. The status tells how many there were since
the start, and the log where the gateway failed.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from functools import partial

import msgspec

from appliance.commands.jobs import queries as execution_queries
from appliance.commands.jobs import ruling
from appliance.commands.jobs.ledger.service import Ledger
from appliance.commands.jobs.model import PIECE, ExecutionState, Terms
from appliance.commands.jobs.setting_aside import queries
from appliance.commands.jobs.setting_aside.queries import Texts
from appliance.commands.mishaps.service import Aside, Key
from appliance.store.database import Afterwards, Database, Select, Work, nothing_left

_STATES = {state.value.encode() for state in ExecutionState}
LedgerOf = Callable[[sqlite3.Connection, int], Ledger]


class ExecutionsAside(Aside):
    """Ends executions that cannot go on."""

    def __init__(self, database: Database, ledger: LedgerOf) -> None:
        super().__init__("execution")
        self._database = database
        self._ledger = ledger

    def ways(self, key: Key, reason: str) -> Sequence[Work]:
        """As if somebody had cancelled it, or its row alone."""
        return [partial(self._cancel, key, reason), partial(self._end_row, key, reason)]

    async def look_through(self, select: Select[Texts], error: Exception) -> bool:
        """Set aside what of some executions nobody can read; gives whether any was. Raises `UnwritableError`."""
        count = self.count
        for place, texts in enumerate(await self._database.read(select)):
            if place % PIECE == 0:
                # There may be very many.
                await asyncio.sleep(0)
            if not _is_good(texts):
                await self.put((texts.tenant_id, texts.execution_id), error)
        return self.count > count

    def _cancel(self, key: Key, reason: str, connection: sqlite3.Connection, now: int) -> Afterwards:
        _mend(connection, queries.texts_of(connection, *key))
        known = execution_queries.select_numbered(connection, *key)
        if known is None or not known.state.is_open:
            return nothing_left
        ledger = self._ledger(connection, now)
        ledger.write(known, ruling.cancelled(known, reason, now, force=True))
        return partial(self._ended, ledger.close())

    def _end_row(self, key: Key, reason: str, connection: sqlite3.Connection, now: int) -> Afterwards:
        _mend(connection, queries.texts_of(connection, *key))
        return partial(self._ended, nothing_left) if queries.end_row(connection, *key, reason, now) else nothing_left

    def _ended(self, rest: Afterwards) -> None:
        self.count += 1
        rest()


def _mend(connection: sqlite3.Connection, texts: Texts | None) -> None:
    """Make a row such that it can be read."""
    if texts is None:
        return
    if not _is_readable(texts.details, dict[str, str]):
        queries.empty_details(connection, texts.tenant_id, texts.execution_id)
    if not _is_readable(texts.terms, Terms):
        queries.empty_terms(connection, texts.tenant_id, texts.execution_id)
    if not (_is_state(texts.state) and _is_text(texts.reason)):
        queries.mend_row(connection, texts.tenant_id, texts.execution_id)


def _is_good(texts: Texts) -> bool:
    is_json = _is_readable(texts.details, dict[str, str]) and _is_readable(texts.terms, Terms)
    is_text = _is_text(texts.job_id) and _is_text(texts.reason) and _is_text(texts.document)
    return is_json and is_text and _is_state(texts.state)


def _is_state(words: bytes) -> bool:
    return words in _STATES


def _is_text(words: bytes) -> bool:
    try:
        words.decode()
    except UnicodeError:
        return False
    return True


def _is_readable(text: bytes, kind: type[object]) -> bool:
    try:
        msgspec.json.decode(text.decode(), type=kind)
    except (msgspec.DecodeError, UnicodeError):
        return False
    return True
