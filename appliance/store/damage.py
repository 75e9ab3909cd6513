"""Whether gateway.db is damaged, looked at when something ended what needs it.

A damaged page shows itself in many ways, wherever it is first read: as an error of SQLite, or as a row that is none. So
whatever it was, the file is looked at then, and people are told what they can do instead of what went wrong inside.
All of it is read where the end has to do with what was read; else as far as a few seconds reach: a defect that has
nothing to do with the file is not to keep a gateway that is started again from running.
"""

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec

from appliance.errors import ApplianceError
from appliance.store.database import connect_reader

_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_IOERR)
"""Kinds of errors. The last one says that the disk does not give back what was written."""
_OF_WHAT_WAS_READ = (sqlite3.Error, UnicodeDecodeError, msgspec.MsgspecError)

_INSTRUCTIONS_AT_ONCE = 1_000

PATIENCE_S = 5.0
"""How long is looked where nothing points to the file."""


class DamagedDatabaseError(ApplianceError):
    """The database cannot be used: only a person can put another in its place."""

    code = "damaged_database"


@contextlib.contextmanager
def damage_told(path: Path, patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Raise `DamagedDatabaseError` where something ends by a defect, when this file turns out to be damaged."""
    try:
        yield
    except ApplianceError:
        raise
    except Exception as error:
        found = "" if _is_refusal(error) else damage_of(path, None if _is_of_what_was_read(error) else patience_s)
        if not found:
            raise
        raise DamagedDatabaseError(_sentence(path, found)) from error


def damage_of(path: Path, patience_s: float | None = None) -> str:
    """What is wrong with a file, in SQLite's words; nothing when it is whole or not there.

    With patience it is what a quicker look finds in so many seconds, and nothing when they do not suffice.
    """
    if not path.exists():
        return ""
    try:
        with closing(connect_reader(path)) as connection:
            found = _whole(connection) if patience_s is None else _seen_within(connection, patience_s)
    except sqlite3.Error as error:
        # The low byte is the kind of the error.
        return str(error) if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGE else ""
    return "" if found == "ok" else " ".join(found.replace("*** in database main ***", "").split())


def _whole(connection: sqlite3.Connection) -> str:
    (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    return str(found)


def _seen_within(connection: sqlite3.Connection, patience_s: float) -> str:
    until = time.monotonic() + patience_s
    connection.set_progress_handler(lambda: time.monotonic() >= until, _INSTRUCTIONS_AT_ONCE)
    (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    # A look that is broken off takes the pages to which it did not come for pages that nothing points to.
    return str(found) if time.monotonic() < until else "ok"


def _is_of_what_was_read(error: BaseException) -> bool:
    """Whether what ended something may come of what the file gave, as far as nobody told it in a sentence."""
    waiting, seen = [error], set[int]()
    while waiting:
        each = waiting.pop()
        if id(each) in seen or isinstance(each, ApplianceError):
            continue
        seen.add(id(each))
        if isinstance(each, _OF_WHAT_WAS_READ):
            return True
        waiting += each.exceptions if isinstance(each, BaseExceptionGroup) else ()
        waiting += [cause for cause in (each.__cause__, each.__context__) if cause is not None]
    return False


def _is_refusal(error: Exception) -> bool:
    """Whether all that ended something was told in a sentence already."""
    if isinstance(error, ExceptionGroup):
        return all(_is_refusal(each) for each in error.exceptions)
    return isinstance(error, ApplianceError)


def _sentence(path: Path, found: str) -> str:
    name, folder = path.name, path.parent
    return (
        f"{path} is damaged ({found}): nothing can run on it. Put the file back from a backup: move {name}, {name}-wal"
        f" and {name}-shm out of {folder}, copy the one of the backup there, and start again. Leave {folder}/days and"
        f" {folder}/rollups as they are: what they hold was not touched by this, is found again, and what was erased"
        " since the backup stays erased"
    )
