"""Whether gateway.db is damaged, looked at when something ended what needs it.

A damaged page shows itself in many ways, wherever it is first read: as an error of SQLite, or as a row that is none. So
whatever it was, the file is looked at then, and people are told what they can do instead of what went wrong inside.
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from appliance.errors import ApplianceError
from appliance.store.database import connect_reader

_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_IOERR)
"""Kinds of errors. The last one says that the disk does not give back what was written."""


class DamagedDatabaseError(ApplianceError):
    """The database cannot be used: only a person can put another in its place."""

    code = "damaged_database"


@contextlib.contextmanager
def damage_told(path: Path) -> Iterator[None]:
    """Raise `DamagedDatabaseError` where something ends by a defect, when this file turns out to be damaged."""
    try:
        yield
    except ApplianceError:
        raise
    except Exception as error:
        found = "" if _is_refusal(error) else damage_of(path)
        if not found:
            raise
        raise DamagedDatabaseError(_sentence(path, found)) from error


def damage_of(path: Path) -> str:
    """What is wrong with a file, in SQLite's words; nothing when it is whole or not there."""
    if not path.exists():
        return ""
    try:
        with closing(connect_reader(path)) as connection:
            (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    except sqlite3.Error as error:
        # The low byte is the kind of the error.
        return str(error) if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGE else ""
    return "" if found == "ok" else " ".join(str(found).replace("*** in database main ***", "").split())


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
