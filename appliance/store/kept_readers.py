"""Connections that stay open for reading between two questions: to open one takes as long as twenty small answers.

Rules:
- One thread at a time uses a connection, and no transaction outlives its question.
- Of what a file holds nothing is kept but which tables there are: memory stays free, and damage to its rows is seen by
  the next question.
- A file that another took the place of is never asked again.
- While a connection is kept, the one that writes does not empty the log of the file when it closes: have the file
  forgotten before.
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from appliance.store.database import connect_reader, one_state

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
        """A connection that reads one state of a file, for one question. In whatever thread.

        Raises `FileNotFoundError` when there is no such file, and what SQLite says of it.
        """
        identity = _identity(path)
        connection = self._taken(path, identity) or connect_reader(path, is_shared=True)
        try:
            with one_state(connection, path):
                yield connection
            connection.execute("PRAGMA shrink_memory")
        except BaseException:
            connection.close()
            raise
        self._keep(_Kept(path, identity, connection))

    def forget(self, path: Path) -> None:
        """Keep nothing of a file. Of one that has just lost its name nothing comes back, either."""
        with self._lock:
            gone = [each for each in self._kept if each.path == path]
            self._kept = [each for each in self._kept if each.path != path]
        _close(gone)

    def close(self) -> None:
        """Keep nothing that is not in use."""
        with self._lock:
            gone, self._kept = self._kept, []
        _close(gone)

    def _taken(self, path: Path, identity: _Identity) -> sqlite3.Connection | None:
        """One that is kept of just this file, for the one who asks now."""
        with self._lock:
            gone = [each for each in self._kept if each.path == path and each.identity != identity]
            known = next((each for each in reversed(self._kept) if each.path == path and each not in gone), None)
            self._kept = [each for each in self._kept if each is not known and each not in gone]
        _close(gone)
        return None if known is None else known.connection

    def _keep(self, used: _Kept) -> None:
        with self._lock:
            # The name may have been another file's when the connection was made, or may be by now. Whoever takes the
            # name away has it forgotten afterwards: under the lock either this sees it, or that one sees this.
            if _identity_if_told(used.path) == used.identity:
                self._kept.append(used)
                gone_count = max(len(self._kept) - self._limit, 0)
                gone, self._kept = self._kept[:gone_count], self._kept[gone_count:]
            else:
                gone = [used]
        _close(gone)


@contextmanager
def once(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that reads one state of a file, for one question, and is not kept."""
    with closing(connect_reader(path)) as connection, one_state(connection, path):
        yield connection


def _identity(path: Path) -> _Identity:
    found = path.stat()
    return found.st_dev, found.st_ino


def _identity_if_told(path: Path) -> _Identity | None:
    try:
        return _identity(path)
    except OSError:
        return None


def _close(kept: list[_Kept]) -> None:
    for each in kept:
        each.connection.close()
