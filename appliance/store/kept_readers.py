"""Connections that stay open for reading between two questions: to open one takes as long as twenty small answers.

Rules:
- One thread at a time uses a connection, and no transaction outlives its question.
- What is kept knows no page: memory stays free, and whatever happens to the file is seen by the next question.
- A file that another took the place of is never asked again.
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from appliance.store.database import connect_reader

_Identity = tuple[int, int]
"""Device and inode of a file."""


class _Kept(NamedTuple):
    path: Path
    identity: _Identity
    connection: sqlite3.Connection


class KeptReaders:
    """A few connections, of files that were asked last."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._kept: list[_Kept] = []
        """The one that was used last stands last."""

    @contextmanager
    def reader(self, path: Path) -> Iterator[sqlite3.Connection]:
        """A connection that reads a file, for one question. In whatever thread.

        Raises `FileNotFoundError` when there is no such file, and what SQLite says of it.
        """
        identity = _identity(path)
        known = self._taken(path, identity)
        connection = known.connection if known else connect_reader(path, is_shared=True)
        try:
            yield connection
            connection.rollback()
            connection.execute("PRAGMA shrink_memory")
        except BaseException:
            connection.close()
            raise
        self._keep(_Kept(path, identity, connection))

    def forget(self, path: Path) -> None:
        """Keep nothing of a file that has just lost its name."""
        with self._lock:
            gone = [each for each in self._kept if each.path == path]
            self._kept = [each for each in self._kept if each.path != path]
        _close(gone)

    def close(self) -> None:
        """Keep nothing any more. Nobody may be asking."""
        with self._lock:
            gone, self._kept = self._kept, []
        _close(gone)

    def _taken(self, path: Path, identity: _Identity) -> _Kept | None:
        """What is kept of just this file, for the one who asks now."""
        with self._lock:
            known = next((each for each in reversed(self._kept) if each.path == path), None)
            if known is not None:
                self._kept.remove(known)
        if known is not None and known.identity != identity:
            known.connection.close()
            return None
        return known

    def _keep(self, used: _Kept) -> None:
        # The name may have been another file's when the connection was made, or may be now.
        if _identity_if_there(used.path) != used.identity:
            used.connection.close()
            return
        with self._lock:
            self._kept.append(used)
            gone_count = max(len(self._kept) - self._limit, 0)
            gone, self._kept = self._kept[:gone_count], self._kept[gone_count:]
        _close(gone)


def _identity(path: Path) -> _Identity:
    found = path.stat()
    return found.st_dev, found.st_ino


def _identity_if_there(path: Path) -> _Identity | None:
    try:
        return _identity(path)
    except FileNotFoundError:
        return None


def _close(kept: list[_Kept]) -> None:
    for each in kept:
        each.connection.close()
