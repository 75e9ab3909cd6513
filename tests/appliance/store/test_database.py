import asyncio
import contextlib
import functools
import gc
import sqlite3
import tempfile
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.store.database import (
    WRITES_LIMIT,
    ClosedError,
    Database,
    Select,
    UnwritableError,
    connect_reader,
    connect_writer,
    opened,
    will_pass,
)


class TransactionBrokenError(Exception):
    """Raised in the middle of a transaction."""


WORDS = Select("SELECT text FROM word ORDER BY place", (), str)


def prepare(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE IF NOT EXISTS word (place INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT")


def insert(connection: sqlite3.Connection, text: str) -> None:
    connection.execute("INSERT INTO word (text) VALUES (?)", (text,))


def insert_twice(connection: sqlite3.Connection, text: str, *, breaks: bool) -> None:
    insert(connection, text)
    if breaks:
        raise TransactionBrokenError(text)
    insert(connection, text)


def pragma(connection: sqlite3.Connection, text: str) -> Any:
    return connection.execute(f"PRAGMA {text}").fetchone()[0]


@contextlib.asynccontextmanager
async def words(folder: Path) -> AsyncIterator[Database]:
    async with opened(folder / "words.db", prepare=prepare, synchronous="OFF") as database:
        yield database


class Gate:
    """A transaction that inserts a word and then stays under way until the gate is opened."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._opened = threading.Event()

    def hold(self, connection: sqlite3.Connection, text: str, breaks: bool) -> None:
        insert(connection, text)
        self._loop.call_soon_threadsafe(self.entered.set)
        assert self._opened.wait(timeout=30)
        if breaks:
            raise TransactionBrokenError(text)

    def open(self) -> None:
        self._opened.set()


@contextlib.asynccontextmanager
async def held(database: Database, *, breaks: bool = False) -> AsyncIterator[tuple[Gate, asyncio.Task[None]]]:
    """A transaction under way, and the task that waits for it."""
    gate = Gate()
    task = asyncio.create_task(database.write(gate.hold, "held", breaks))
    try:
        await gate.entered.wait()
        yield gate, task
    finally:
        gate.open()
        await asyncio.gather(task, return_exceptions=True)


async def written(steps: Sequence[bool]) -> tuple[list[bool], list[str]]:
    """Ask for transactions all at once, some of which break: which did, and what stays."""
    with tempfile.TemporaryDirectory() as folder:
        async with words(Path(folder)) as database:
            tasks = [
                asyncio.create_task(database.write(functools.partial(insert_twice, breaks=breaks), str(place)))
                for place, breaks in enumerate(steps)
            ]
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            return [isinstance(outcome, TransactionBrokenError) for outcome in outcomes], await database.read(WORDS)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.booleans(), max_size=12))
def test_of_transactions_asked_for_at_once_each_is_there_whole_or_not_at_all(steps: list[bool]) -> None:
    broke, stayed = asyncio.run(written(steps))
    assert broke == steps
    assert stayed == [str(place) for place, breaks in enumerate(steps) if not breaks for _ in range(2)]


async def test_two_tasks_never_share_a_transaction(tmp_path: Path) -> None:
    steps: list[str] = []

    def note(connection: sqlite3.Connection, name: str) -> None:
        steps.append(f"enter {name}")
        assert connection.in_transaction
        insert(connection, name)
        assert connection.execute("SELECT count(*) FROM word").fetchone() == (len(steps) // 2 + 1,)
        steps.append(f"leave {name}")

    async with words(tmp_path) as database, asyncio.TaskGroup() as tasks:
        for number in range(20):
            tasks.create_task(database.write(note, str(number)))
    assert steps == [f"{word} {number}" for number in range(20) for word in ("enter", "leave")]


async def test_a_reader_sees_what_is_committed_and_nothing_before(tmp_path: Path) -> None:
    async with words(tmp_path) as database:
        await database.write(insert, "first")
        async with held(database) as (gate, task):
            assert await database.read(WORDS) == ["first"]
            gate.open()
            await task
            assert await database.read(WORDS) == ["first", "held"]


async def test_the_result_of_a_transaction_is_given_to_its_caller(tmp_path: Path) -> None:
    async with words(tmp_path) as database:
        assert await database.write(lambda connection: connection.execute("SELECT 7").fetchone()) == (7,)


async def test_a_cancelled_caller_leaves_no_transaction_open(tmp_path: Path) -> None:
    async with words(tmp_path) as database:
        async with held(database) as (gate, task):
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            gate.open()
            await database.write(insert, "next")
        assert await database.read(WORDS) == ["held", "next"]


async def test_a_cancelled_caller_whose_transaction_then_breaks_disturbs_nobody(tmp_path: Path) -> None:
    heard: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: heard.append(context))
    async with words(tmp_path) as database:
        async with held(database, breaks=True) as (gate, task):
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            gate.open()
            await database.write(insert, "next")
        assert await database.read(WORDS) == ["next"]
    gc.collect()
    await asyncio.sleep(0)
    assert heard == []


async def test_the_queue_of_writes_is_bounded_and_in_order(tmp_path: Path) -> None:
    count = WRITES_LIMIT + 20
    async with words(tmp_path) as database:
        async with held(database) as (gate, _), asyncio.TaskGroup() as tasks:
            for number in range(count):
                tasks.create_task(database.write(insert, str(number)))
            await asyncio.sleep(0)
            assert database._work.qsize() == WRITES_LIMIT - 1
            gate.open()
        assert await database.read(WORDS) == ["held", *map(str, range(count))]


async def test_callers_who_give_up_waiting_for_room_take_none(tmp_path: Path) -> None:
    async with words(tmp_path) as database:
        async with held(database) as (gate, _):
            waiting = [asyncio.create_task(database.write(insert, "waiting")) for _ in range(WRITES_LIMIT)]
            await asyncio.sleep(0)
            waiting[-1].cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting[-1]
            gate.open()
            await asyncio.gather(*waiting[:-1])
        assert (await database.read(WORDS)).count("waiting") == WRITES_LIMIT - 1


async def test_closing_finishes_the_writes_that_wait_and_ends_every_thread(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    async with words(tmp_path) as database:
        assert any(thread.name == "writer words.db" for thread in threading.enumerate())
        tasks = [asyncio.create_task(database.write(insert, str(number))) for number in range(50)]
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    for thread in set(threading.enumerate()) - before:
        # The loop's own threads are kept for the next file; the others are at their last instruction.
        if not thread.name.startswith("asyncio_"):
            thread.join(timeout=30)
            assert not thread.is_alive(), thread.name
    with contextlib.closing(sqlite3.connect(tmp_path / "words.db")) as connection:
        assert connection.execute("SELECT count(*) FROM word").fetchone() == (50,)


async def test_closing_empties_the_write_ahead_log(tmp_path: Path) -> None:
    async with words(tmp_path) as database:
        await database.write(insert, "word")
        assert (tmp_path / "words.db-wal").stat().st_size > 0
    assert [path.name for path in tmp_path.iterdir()] == ["words.db"]


async def test_a_write_after_the_end_is_refused_and_does_not_hang(tmp_path: Path) -> None:
    async with words(tmp_path) as database:
        pass
    for _ in range(2):
        with pytest.raises(ClosedError, match=r"words\.db is closed"):
            await database.write(insert, "late")


async def test_a_full_disk_is_told_leaves_nothing_and_can_be_got_over(tmp_path: Path) -> None:
    async with words(tmp_path) as database:
        pages = await database.maintain(pragma, "page_count")
        await database.maintain(pragma, f"max_page_count = {pages}")
        with pytest.raises(UnwritableError, match=r"words\.db cannot be written: database or disk is full"):
            await database.write(insert, "x" * 100_000)
        assert await database.read(WORDS) == []
        await database.maintain(pragma, "max_page_count = 1000000")
        await database.write(insert, "room again")
        assert await database.read(WORDS) == ["room again"]


async def test_a_file_that_another_program_holds_is_told(tmp_path: Path) -> None:
    async with words(tmp_path) as database:
        await database.maintain(pragma, "busy_timeout = 0")
        with contextlib.closing(sqlite3.connect(tmp_path / "words.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(UnwritableError, match="locked"):
                await database.write(insert, "word")
            other.execute("ROLLBACK")
        await database.write(insert, "word")


async def test_a_reader_cannot_write(tmp_path: Path) -> None:
    async with words(tmp_path) as database:
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            await database.read(Select("INSERT INTO word (text) VALUES ('sneaked in')", (), str))


async def test_more_questions_than_readers_are_all_answered_and_a_wrong_one_costs_no_reader(tmp_path: Path) -> None:
    async with opened(tmp_path / "words.db", prepare=prepare, reader_count=1) as database:
        await database.write(insert, "word")
        for _ in range(3):
            with pytest.raises(sqlite3.OperationalError, match="no such table"):
                await database.read(Select("SELECT text FROM sentence", (), str))
        assert await asyncio.gather(*(database.read(WORDS) for _ in range(5))) == [["word"]] * 5


async def test_a_row_that_cannot_be_read_holds_no_connection_at_what_was(tmp_path: Path) -> None:
    def read(connection: sqlite3.Connection) -> None:
        [text for (text,) in connection.execute(WORDS.sql)]

    async with opened(tmp_path / "gateway.db", prepare=prepare, reader_count=1) as database:
        spoil = "INSERT INTO word (text) VALUES (CAST(x'c1' AS TEXT)), ('more')"
        await database.write(lambda connection: connection.execute(spoil))
        outcomes = await asyncio.gather(database.read(WORDS), database.write(read), return_exceptions=True)
        await database.write(insert, "new")
        assert await database.read(Select("SELECT COUNT(*) FROM word", (), int)) == [3]
        assert await database.maintain(pragma, "wal_checkpoint(TRUNCATE)") == 0
        # As long as anybody has the errors.
        assert [type(one) for one in outcomes] == [sqlite3.OperationalError] * 2


async def test_the_file_is_opened_as_a_promise_to_devices_needs_it(tmp_path: Path) -> None:
    async with opened(tmp_path / "words.db", prepare=prepare) as database:
        names = ("journal_mode", "synchronous", "foreign_keys", "page_size")
        found = [await database.maintain(pragma, name) for name in names]
        assert found == ["wal", 2, 1, 4096]


async def test_rows_that_point_out_of_their_page_are_damage_and_not_something_else(tmp_path: Path) -> None:
    async with words(tmp_path) as database:
        await database.write(insert, "word")
        await database.write(insert, "another")
        root, page_bytes = [await database.maintain(pragma, name) for name in ("page_count", "page_size")]
    path = tmp_path / "words.db"
    content = bytearray(path.read_bytes())
    leaf = (root - 1) * page_bytes
    for cell in range(int.from_bytes(content[leaf + 3 : leaf + 5], "big")):
        content[leaf + 8 + 2 * cell : leaf + 10 + 2 * cell] = (page_bytes - 2).to_bytes(2, "big")
    path.write_bytes(content)
    async with words(tmp_path) as database:
        with pytest.raises(sqlite3.DatabaseError, match="malformed"):
            await database.read(WORDS)
        with pytest.raises(sqlite3.DatabaseError, match="malformed"):
            await database.write(insert, "late")
        with contextlib.closing(connect_reader(path)) as reader, pytest.raises(sqlite3.DatabaseError, match="malform"):
            reader.execute(WORDS.sql).fetchall()


async def test_the_name_of_a_folder_may_hold_any_character(tmp_path: Path) -> None:
    folder = tmp_path / "50% off? #1"
    folder.mkdir()
    async with words(folder) as database:
        await database.write(insert, "word")
        assert await database.read(WORDS) == ["word"]


@pytest.mark.parametrize("content", [b"this is no database at all, but a longer text", b""])
async def test_a_file_that_cannot_be_opened_leaves_no_thread(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "words.db").write_bytes(content)

    def refuse(_: sqlite3.Connection) -> None:
        raise sqlite3.DatabaseError("refused")

    with pytest.raises(sqlite3.DatabaseError):
        async with opened(tmp_path / "words.db", prepare=refuse):
            raise AssertionError
    assert not any("writer" in thread.name for thread in threading.enumerate())


async def test_a_body_that_raises_still_closes_the_file(tmp_path: Path) -> None:
    async def body() -> None:
        async with words(tmp_path) as database:
            await database.write(insert, "word")
            raise TransactionBrokenError

    with pytest.raises(TransactionBrokenError):
        await body()
    assert [path.name for path in tmp_path.iterdir()] == ["words.db"]


@pytest.mark.parametrize(
    ("code", "passes"),
    [
        (sqlite3.SQLITE_FULL, True),
        (sqlite3.SQLITE_BUSY, True),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, True),
        (sqlite3.SQLITE_IOERR_SHMSIZE, True),
        (sqlite3.SQLITE_IOERR, False),
        (sqlite3.SQLITE_IOERR_WRITE, False),
        (sqlite3.SQLITE_IOERR_FSYNC, False),
        (sqlite3.SQLITE_READONLY, False),
        (sqlite3.SQLITE_CORRUPT, False),
        (sqlite3.SQLITE_ERROR, False),
        (None, False),
    ],
)
def test_only_a_full_disk_and_a_lock_pass_by_themselves(code: int | None, passes: bool) -> None:
    error = sqlite3.OperationalError("as SQLite says it")
    if code is not None:
        error.sqlite_errorcode = code
    assert will_pass(error) is passes


async def test_who_only_reads_sees_what_was_committed_and_changes_nothing(tmp_path: Path) -> None:
    async with words(tmp_path) as database:
        await database.write(insert, "seen")
        with contextlib.closing(connect_reader(database.path)) as reader:
            assert reader.execute(WORDS.sql).fetchall() == [("seen",)]
            with pytest.raises(sqlite3.OperationalError, match="readonly"):
                insert(reader, "not written")
    with pytest.raises(sqlite3.OperationalError):
        connect_reader(tmp_path / "not there.db")


def test_tables_that_are_described_in_bytes_that_are_no_text_are_damage(tmp_path: Path) -> None:
    path = tmp_path / "words.db"
    with contextlib.closing(connect_writer(path, page_bytes=4096, cache_kb=100, synchronous="NORMAL")) as writer:
        writer.execute("CREATE TABLE word (word_id INTEGER PRIMARY KEY, text TEXT NOT NULL)")
    content = path.read_bytes()
    path.write_bytes(content.replace(b"CREATE TABLE", b"CREATE TABL\x80"))
    for connect in (
        connect_reader,
        functools.partial(connect_writer, page_bytes=4096, cache_kb=100, synchronous="NORMAL"),
    ):
        with pytest.raises(sqlite3.DatabaseError, match="malformed") as raised:
            connect(path)
        assert raised.value.sqlite_errorcode == sqlite3.SQLITE_CORRUPT


async def test_what_sqlite_says_is_raised_and_in_the_place_of_a_row_that_is_no_text_something_else(
    tmp_path: Path,
) -> None:
    async def instead() -> list[str]:
        return ["else"]

    async with words(tmp_path) as database:
        for sql, found in (("SELECT 'fine'", "fine"), ("SELECT CAST(x'c1c1' AS TEXT)", "else")):
            assert await database.read_or(Select(sql, (), str), instead) == [found]
        with pytest.raises(sqlite3.OperationalError, match="nowhere"):
            await database.read_or(Select("SELECT 1 FROM nowhere", (), str), instead)
