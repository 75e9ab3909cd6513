"""A folder of SQLite files, of which only a few are open for writing at a time."""

import asyncio
import contextlib
import itertools
import logging
import os
import sqlite3
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec

from appliance.store.database import Database, opened
from appliance.store.kept_readers import KeptReaders

_DAMAGE = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)

log = logging.getLogger(__name__)


class FileSettings(msgspec.Struct, frozen=True):
    """How the files of a folder are opened. A checkpoint puts them on disk, a commit alone does not."""

    prepare: Callable[[sqlite3.Connection], None]
    page_bytes: int
    cache_kb: int
    kept_readers_limit: int = 0
    """How many connections that read stay open between two questions."""


class DatabaseFolder:
    """The files of one folder by their names."""

    def __init__(self, folder: Path, settings: FileSettings, open_limit: int) -> None:
        self.folder = folder
        self._settings = settings
        self._open_limit = open_limit
        self._open: OrderedDict[str, tuple[Database, AsyncExitStack]] = OrderedDict()
        self.readers = KeptReaders(settings.kept_readers_limit)

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Make the folder if it is missing, and close every file at the end."""
        await asyncio.to_thread(self._make)
        try:
            yield
        finally:
            self.readers.close()
            while self._open:
                await self._close_oldest()

    def path(self, name: str) -> Path:
        """Where a file lies, whether or not it exists."""
        return self.folder / name

    def paths(self, pattern: str) -> list[Path]:
        """Every file there is whose name matches the pattern, the last name first."""
        return sorted(self.folder.glob(pattern), reverse=True)

    async def writer(self, name: str) -> Database:
        """A file, open for writing; it stays open until others are needed more.

        A file that is damaged is set aside under another name, and a new one takes its place. Raises
        `UnwritableError` when there is no room to make it.
        """
        if name not in self._open:
            while len(self._open) >= self._open_limit:
                await self._close_oldest()
            self._open[name] = await self._open_file(self.path(name))
        self._open.move_to_end(name)
        return self._open[name][0]

    async def close(self, name: str) -> None:
        """Close a file if it is open. The next writer opens it again."""
        if name in self._open:
            _, stack = self._open.pop(name)
            self.readers.forget(self.path(name))
            await stack.aclose()

    async def set_aside(self, name: str) -> None:
        """Keep a file that turned out to be damaged under another name; the next writer makes a new one."""
        await self.close(name)
        if self.path(name).exists():
            aside = await self._put_aside(self.path(name))
            log.error("damaged file set aside name=%s as=%s", name, aside.name)

    async def _open_file(self, path: Path) -> tuple[Database, AsyncExitStack]:
        is_new = not path.exists()
        try:
            file = await self._entered(path)
        except sqlite3.DatabaseError as error:
            if _kind(error) not in _DAMAGE:
                raise
            aside = await self._put_aside(path)
            log.error("damaged file set aside name=%s as=%s error=%s", path.name, aside.name, error)  # noqa: TRY400  no traceback
            is_new = True
            file = await self._entered(path)
        if is_new:
            await asyncio.to_thread(_sync, self.folder)
            log.info("file created name=%s", path.name)
        return file

    async def _put_aside(self, path: Path) -> Path:
        aside = await asyncio.to_thread(_set_aside, path)
        self.readers.forget(path)
        return aside

    async def _entered(self, path: Path) -> tuple[Database, AsyncExitStack]:
        settings = self._settings
        async with AsyncExitStack() as stack:
            database = await stack.enter_async_context(
                opened(
                    path,
                    prepare=settings.prepare,
                    reader_count=0,
                    page_bytes=settings.page_bytes,
                    cache_kb=settings.cache_kb,
                    synchronous="NORMAL",
                )
            )
            return database, stack.pop_all()

    async def _close_oldest(self) -> None:
        await self.close(next(iter(self._open)))

    def _make(self) -> None:
        if not self.folder.exists():
            self.folder.mkdir(parents=True)
            _sync(self.folder.parent)


def _kind(error: sqlite3.Error) -> int:
    """The kind of an error: the low byte of its number."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _set_aside(path: Path) -> Path:
    """Keep a file that cannot be used under a name that is free, with its log, and make room for a new one."""
    numbers = itertools.count(1)
    aside = next(name for number in numbers if not (name := path.with_name(f"{path.name}.damaged-{number}")).exists())
    path.rename(aside)
    for suffix in ("-wal", "-shm"):
        companion = path.with_name(path.name + suffix)
        if companion.exists():
            companion.rename(aside.with_name(aside.name + suffix))
    return aside


def _sync(folder: Path) -> None:
    """Put the names in a folder on disk: a file whose name is lost in a power cut is lost."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
