"""One SQLite file: a thread that owns the writing connection, and reading connections beside it.

Rules:
- Exactly one connection per file writes and checkpoints; readers are `mode=ro` (SQLite before
  3.51.3 can corrupt a WAL when two connections write and checkpoint at the same moment).
- A transaction is one function, run whole in the writer thread: two tasks can never share one, and
  a cancelled caller cannot leave one open.
- `synchronous=FULL` where an acknowledgement hangs on the commit.
"""

import asyncio
import contextlib
import queue
import sqlite3
import threading
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import aiosqlite

from appliance.errors import UnavailableError

T = TypeVar("T")

FURTHEST = 2**63 - 1
"""A number that no row reaches: before it, as a cursor, comes everything."""
WRITES_LIMIT = 1_000
"""How many transactions may wait for the writer before callers are made to wait themselves."""


_PASSING = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY)
"""Kinds of errors."""
_PASSING_EXACTLY = (sqlite3.SQLITE_IOERR_SHMSIZE,)
"""No room for the index of the write-ahead log: what is on the disk was not touched."""


SqliteError = sqlite3.Error
"""Whatever SQLite says is wrong, for those who only go on with something else then."""


Afterwards = Callable[[], None]
"""What is to be done on the loop once a transaction is on disk."""


def nothing_left() -> None:
    """What is to be done after work that leaves nothing to do."""


Work = Callable[[sqlite3.Connection, int], Afterwards]
"""Done inside a transaction, in the writer's thread, at a moment (UTC ms); what it gives is done afterwards.

It changes nothing but the database: while the disk is full, the whole transaction is done again and again.
"""

Together = Callable[[Work], Awaitable[None]]
"""Have work done in the next batch's transaction; back once it is on disk and told.

Raises `UnwritableError` where the disk is full, and then nothing of it is done; and whatever the work raises.
"""


class ClosedError(Exception):
    """A defect of the caller: the file was closed before its last write."""


class UnwritableError(UnavailableError):
    """The disk is full or another program holds the file: the same transaction may succeed later."""


class Select(NamedTuple, Generic[T]):
    """A question for a reader: SQL text, its bound values, and what to make of each row."""

    sql: str
    parameters: tuple[Any, ...]
    into: Callable[..., T]


class _Work(NamedTuple):
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[Any]
    transaction: bool


CELLS_CHECKED = "cell_size_check = ON"
"""Each page is looked at when it is read: of one that was damaged SQLite may else take whatever lies in memory behind
it for a row, and find nothing where something is, or write where nobody looks."""

_TABLES = "SELECT 1 FROM sqlite_schema LIMIT 1"

READER_PRAGMAS = ("query_only = ON", "busy_timeout = 5000", "wal_autocheckpoint = 0", CELLS_CHECKED)


def connect_writer(path: Path, *, page_bytes: int, cache_kb: int, synchronous: str) -> sqlite3.Connection:
    """Open the one writing connection of a file, with the pragmas every file here has."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        for pragma in (
            f"page_size = {page_bytes}",
            "journal_mode = WAL",
            f"synchronous = {synchronous}",
            "foreign_keys = ON",
            "busy_timeout = 5000",
            "temp_store = MEMORY",
            f"cache_size = -{cache_kb}",
            "journal_size_limit = 4194304",
            "mmap_size = 0",
            CELLS_CHECKED,
            # What is deleted is overwritten where that costs no page more; who erases asks for the rest.
            "secure_delete = FAST",
        ):
            with _quotes_told(path):
                connection.execute(f"PRAGMA {pragma}")
    except BaseException:
        connection.close()
        raise
    return connection


def connect_reader(path: Path, *, is_shared: bool = False) -> sqlite3.Connection:
    """Open a file for reading; whoever opens it closes it.

    It is for the thread that calls, or `is_shared`: for several, one after the other.
    """
    name = f"{path.absolute().as_uri()}?mode=ro"
    connection = sqlite3.connect(name, uri=True, isolation_level=None, check_same_thread=not is_shared)
    try:
        for pragma in READER_PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        with _quotes_told(path):
            _read_tables(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _read_tables(connection: sqlite3.Connection) -> None:
    """Have SQLite take in what tables there are; what is wrong with them is told to whoever reads them."""
    with contextlib.suppress(sqlite3.Error):
        connection.execute(_TABLES).fetchone()


@contextlib.contextmanager
def one_state(connection: sqlite3.Connection, path: Path) -> Iterator[None]:
    """Have all that is read inside be of one moment of the file; what tables there are is looked at first."""
    with _quotes_told(path):
        connection.execute("BEGIN")
        connection.execute(_TABLES).fetchone()
    yield
    connection.rollback()


@contextlib.contextmanager
def _quotes_told(path: Path) -> Iterator[None]:
    """Tell of damage that SQLite quotes where it lies, in bytes that are no text, as of any other."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise as_damage(f"{path.name}: malformed database schema") from error


def as_damage(what: str) -> sqlite3.DatabaseError:
    """The error by which SQLite says that a file is damaged."""
    damage = sqlite3.DatabaseError(what)
    damage.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return damage


class Database:
    """A SQLite file while it is open. Made by `opened`."""

    def __init__(self, path: Path, writer: sqlite3.Connection, readers: list[aiosqlite.Connection]) -> None:
        self.path = path
        self._writer = writer
        self._readers: asyncio.Queue[aiosqlite.Connection] = asyncio.Queue()
        for reader in readers:
            self._readers.put_nowait(reader)
        self._room = asyncio.Semaphore(WRITES_LIMIT)
        self._work: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._is_closed = False
        self._thread = threading.Thread(target=self._serve, name=f"writer {path.name}", daemon=True)
        self._thread.start()

    async def write(self, function: Callable[..., T], *arguments: Any) -> T:
        """Run `function(connection, *arguments)` inside BEGIN IMMEDIATE … COMMIT, and give its result.

        When this returns, the commit is on disk. If the function raises, nothing of it stays and the
        error is raised here. A caller that is cancelled does not undo a transaction under way.
        Raises `ClosedError` when the file has been closed.
        """
        return await self._ask(function, arguments, transaction=True)

    async def maintain(self, function: Callable[..., T], *arguments: Any) -> T:
        """Run `function(connection, *arguments)` on the writing connection, outside a transaction.

        For what SQLite refuses inside one: checkpoints, pragmas, backups.
        """
        return await self._ask(function, arguments, transaction=False)

    async def read(self, select: Select[T]) -> list[T]:
        """Every row that answers a question, each made into what the question asks for."""
        reader = await self._readers.get()
        try:
            rows: Iterable[Any] = await reader.execute_fetchall(select.sql, select.parameters)
        except Exception as error:
            let_go(error)
            raise
        finally:
            self._readers.put_nowait(reader)
        return [select.into(*row) for row in rows]

    async def read_or(self, select: Select[T], instead: Callable[[], Awaitable[list[T]]]) -> list[T]:
        """The same; where a row cannot be read, what is given `instead`. What SQLite itself says is wrong is raised."""
        try:
            return await self.read(select)
        except Exception as error:
            if is_sqlites(error):
                raise
        return await instead()

    async def close(self) -> None:
        """Finish the writes that wait and end the writer's thread. The connections are closed by `opened`."""
        self._is_closed = True
        self._work.put(None)
        await asyncio.to_thread(self._thread.join)

    async def _ask(self, function: Callable[..., T], arguments: tuple[Any, ...], *, transaction: bool) -> T:
        await self._room.acquire()
        if self._is_closed:
            # Left as it was found, so that everyone else who waited for room hears it too.
            self._room.release()
            raise ClosedError(f"{self.path.name} is closed, nothing more can be written to it")
        loop = asyncio.get_running_loop()
        work = _Work(function, arguments, loop, loop.create_future(), transaction)
        self._work.put(work)
        # Cancelling the caller cancels only this answer: the thread knows nothing of it.
        answer: T = await work.answer
        return answer

    def _serve(self) -> None:
        while (work := self._work.get()) is not None:
            try:
                result = self._run(work)
            except BaseException as error:  # noqa: BLE001  whatever a transaction raises belongs to its caller
                outcome: tuple[Callable[[Any], None], Any] = (work.answer.set_exception, error)
            else:
                outcome = (work.answer.set_result, result)
            # The loop is closed only when its process is being torn down: nobody is left to be told.
            with contextlib.suppress(RuntimeError):
                work.loop.call_soon_threadsafe(self._settle, work.answer, *outcome)

    def _settle(self, answer: asyncio.Future[Any], settle: Callable[[Any], None], value: Any) -> None:
        self._room.release()
        if not answer.done():
            settle(value)

    def _run(self, work: _Work) -> Any:
        with _passing_told(self.path):
            return self._perform(work)

    def _perform(self, work: _Work) -> Any:
        if not work.transaction:
            return work.function(self._writer, *work.arguments)
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            result = work.function(self._writer, *work.arguments)
            self._writer.execute("COMMIT")
        except BaseException as error:
            let_go(error)
            # A full disk rolls back by itself; a second ROLLBACK would raise and hide the cause.
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            raise
        return result


def let_go(error: BaseException) -> None:
    """Have nothing hang on an error that was under way where it was raised.

    A question that ended in the middle, because a row cannot be read, would keep its connection at the state of then,
    and the write-ahead log from being emptied, until somebody finds the error to be garbage.
    """
    traceback.clear_frames(error.__traceback__)


def will_pass(error: sqlite3.Error) -> bool:
    """Whether the cause goes away by itself or by somebody's hand.

    An I/O error does not: what is on the disk after one is not known, and only a new start finds out.
    """
    code = getattr(error, "sqlite_errorcode", 0)
    # The low byte is the kind of the error; the rest of the number says more about the same kind.
    return code & 0xFF in _PASSING or code in _PASSING_EXACTLY


def is_sqlites(error: Exception) -> bool:
    """Whether SQLite itself says so, with a number.

    That bytes of a row are no text is said by Python, without one, and it concerns nothing but that row.
    """
    return isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", None) is not None


@contextlib.contextmanager
def _passing_told(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        if not will_pass(error):
            raise
        raise UnwritableError(f"{path.name} cannot be written: {error}") from error


@contextlib.asynccontextmanager
async def opened(
    path: Path,
    *,
    prepare: Callable[[sqlite3.Connection], None],
    reader_count: int = 2,
    page_bytes: int = 4096,
    cache_kb: int = 32_000,
    synchronous: str = "FULL",
) -> AsyncIterator[Database]:
    """Open a file, let `prepare` bring its tables up to date, and close it in order at the end."""
    async with contextlib.AsyncExitStack() as stack:
        with _passing_told(path):
            writer = await asyncio.to_thread(
                connect_writer, path, page_bytes=page_bytes, cache_kb=cache_kb, synchronous=synchronous
            )
            # After the readers: the last connection to close empties the write-ahead log, and a reader cannot.
            stack.push_async_callback(asyncio.to_thread, writer.close)
            await asyncio.to_thread(prepare, writer)
        readers = [await stack.enter_async_context(_reader(path)) for _ in range(reader_count)]
        database = Database(path, writer, readers)
        try:
            yield database
        finally:
            await database.close()


@contextlib.asynccontextmanager
async def _reader(path: Path) -> AsyncIterator[aiosqlite.Connection]:
    """A connection that only reads; closing it waits for the question it is answering."""
    async with aiosqlite.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None) as reader:
        for pragma in (*READER_PRAGMAS, "cache_size = -8000"):
            await reader.execute(f"PRAGMA {pragma}")
        yield reader
