"""SQL of the stream: the log as it is read, who reads it, and how it is trimmed."""

import sqlite3
from typing import NamedTuple, TypeVar

from appliance.instant import DAY_MS, HOUR_MS
from appliance.store.database import Select
from appliance.stream.model import (
    Batch,
    Consumer,
    ConsumerExistsError,
    ConsumerGap,
    Lag,
    MovedError,
    Position,
    Start,
    TooManyConsumersError,
    UnknownConsumerError,
)
from appliance.telemetry import queries as telemetry_queries

T = TypeVar("T")

CONSUMERS_LIMIT = 64
"""Of one tenant."""
MARKS_KEPT_MS = 5 * 366 * DAY_MS

_CONSUMER = (
    "tenant_id, name, created_at, committed_at, log_id, left_count, gap_log_id, gap_count, gap_until_at"
    " FROM stream_consumer"
)


class LogPiece(NamedTuple):
    """A record of the log, or none, and how far the log was trimmed at that moment."""

    trimmed_log_id: int
    trimmed_at: int
    log_id: int | None
    record: bytes | None


class Trimmed(NamedTuple):
    """How far a log was trimmed."""

    released_log_id: int
    """The day files need nothing up to here."""
    log_id: int
    """The last record that was removed."""
    at: int
    """Everything that was removed was committed up to this moment."""


def select_pieces(tenant_id: int, first_log_id: int, count: int) -> Select[LogPiece]:
    """The next records from a log id on, and how far the log was trimmed then: one look at both."""
    return Select(
        "SELECT COALESCE(log_trim.trimmed_log_id, 0), COALESCE(log_trim.trimmed_at, 0), piece.log_id, piece.record"
        " FROM (SELECT 1) LEFT JOIN log_trim ON log_trim.tenant_id = ? LEFT JOIN ("
        "SELECT log_id, record FROM log WHERE tenant_id = ? AND log_id >= ? ORDER BY log_id LIMIT ?) AS piece"
        " ORDER BY piece.log_id",
        (tenant_id, tenant_id, first_log_id, count),
        LogPiece,
    )


def select_trimmed(tenant_id: int) -> Select[Trimmed]:
    """How far the log of a tenant was trimmed; no row when it never was."""
    return Select(
        "SELECT released_log_id, trimmed_log_id, trimmed_at FROM log_trim WHERE tenant_id = ?", (tenant_id,), Trimmed
    )


def select_end() -> Select[int]:
    """The newest log id that was ever given."""
    return Select("SELECT log_id FROM log_end", (), int)


def select_first(tenant_id: int, committed_from: int) -> Select[int]:
    """The first record of the log that was committed at a moment or later."""
    return Select(
        "SELECT log_id FROM log WHERE tenant_id = ? AND committed_at >= ? ORDER BY log_id LIMIT 1",
        (tenant_id, committed_from),
        int,
    )


def select_mark(tenant_id: int, at: int) -> Select[int]:
    """A log id up to which everything was committed before a moment, the newest that is known."""
    return Select(
        "SELECT log_id FROM log_mark WHERE tenant_id = ? AND committed_at < ? ORDER BY log_id DESC LIMIT 1",
        (tenant_id, at),
        int,
    )


def select_consumers() -> Select[Consumer]:
    """Every consumer of every tenant."""
    return Select(f"SELECT {_CONSUMER} ORDER BY tenant_id, name", (), _consumer)


def select_consumer(tenant_id: int, name: str) -> Select[Consumer]:
    """One consumer."""
    return Select(f"SELECT {_CONSUMER} WHERE tenant_id = ? AND name = ?", (tenant_id, name), _consumer)


def select_lag(tenant_id: int, position: Position) -> Select[Lag]:
    """What lies in the log from a place on."""
    return Select(
        "SELECT COALESCE(SUM(CASE WHEN log_id = ? THEN MIN(message_count, COALESCE(?, message_count))"
        " ELSE message_count END), 0), COALESCE(SUM(LENGTH(record)), 0), MIN(committed_at)"
        " FROM log WHERE tenant_id = ? AND log_id >= ?",
        (position.log_id, position.left_count, tenant_id, position.log_id),
        Lag,
    )


def select_beyond(tenant_id: int, last_log_id: int, limit_bytes: int) -> Select[int]:
    """The newest record that must go for those after it, up to another one, to take no more than a limit."""
    return Select(
        "SELECT log_id FROM (SELECT log_id, SUM(LENGTH(record)) OVER (ORDER BY log_id DESC) AS total_bytes"
        " FROM log WHERE tenant_id = ? AND log_id <= ?) WHERE total_bytes > ? ORDER BY log_id DESC LIMIT 1",
        (tenant_id, last_log_id, limit_bytes),
        int,
    )


def insert_consumer(connection: sqlite3.Connection, tenant_id: int, name: str, start: Start, now: int) -> Consumer:
    """Add a consumer. Raises `ConsumerExistsError`, `TooManyConsumersError`."""
    (count,) = connection.execute("SELECT COUNT(*) FROM stream_consumer WHERE tenant_id = ?", (tenant_id,)).fetchone()
    if count >= CONSUMERS_LIMIT:
        raise TooManyConsumersError(f"{CONSUMERS_LIMIT} consumers are there already: delete one that reads no more")
    before = [trimmed.log_id for trimmed in _trimmed(connection, tenant_id)] or [0]
    if start is Start.NOW:
        before = _all(connection, select_end())
    position = Position(before[0] + 1)
    added = connection.execute(
        "INSERT INTO stream_consumer (tenant_id, name, created_at, committed_at, log_id, left_count)"
        " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (tenant_id, name) DO NOTHING",
        (tenant_id, name, now, now, *position),
    ).rowcount
    if not added:
        raise ConsumerExistsError(f"there is a consumer {name} already")
    return Consumer(tenant_id, name, now, now, position, None)


def delete_consumer(connection: sqlite3.Connection, tenant_id: int, name: str) -> None:
    """Forget a consumer. Raises `UnknownConsumerError`."""
    gone = connection.execute("DELETE FROM stream_consumer WHERE tenant_id = ? AND name = ?", (tenant_id, name))
    if not gone.rowcount:
        raise UnknownConsumerError(f"there is no consumer {name}")


def update_committed(connection: sqlite3.Connection, tenant_id: int, name: str, batch: Batch, now: int) -> Consumer:
    """Note that a consumer has a batch. Raises `UnknownConsumerError`, `MovedError`.

    What was trimmed while it had the batch in hand is no gap for it.
    """
    known = _required(connection, tenant_id, name)
    if known.position != batch.start:
        raise MovedError(f"the place of the consumer {name} was changed meanwhile: read again from there")
    return _move(connection, known, batch.end, _gap_left(known.gap, batch), now)


def update_position(
    connection: sqlite3.Connection, tenant_id: int, name: str, position: Position, now: int
) -> Consumer:
    """Let a consumer go on at any place. Raises `UnknownConsumerError`."""
    known = _required(connection, tenant_id, name)
    if known.position == position:
        return known
    gap = None
    for trimmed in _trimmed(connection, tenant_id):
        if position.log_id <= trimmed.log_id:
            # Nobody knows any more how many reports these were.
            gap = ConsumerGap(trimmed.log_id, None, trimmed.at)
    return _move(connection, known, position, gap, now)


def trim(
    connection: sqlite3.Connection, tenant_id: int, through_log_id: int, released_log_id: int
) -> tuple[Consumer, ...]:
    """Remove the log up to a log id, and note what that takes from each consumer; gives those who lose something.

    `released_log_id` is up to where the day files need nothing.
    """
    last_log_id, last_at = connection.execute(
        # The newest moment, which is not the last one when the clock was set back in between.
        "SELECT COALESCE(MAX(log_id), 0), COALESCE(MAX(committed_at), 0) FROM log WHERE tenant_id = ? AND log_id <= ?",
        (tenant_id, through_log_id),
    ).fetchone()
    [trimmed_at] = connection.execute(
        "INSERT INTO log_trim (tenant_id, released_log_id, trimmed_log_id, trimmed_at) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (tenant_id) DO UPDATE SET released_log_id = MAX(released_log_id, excluded.released_log_id),"
        " trimmed_log_id = MAX(trimmed_log_id, excluded.trimmed_log_id),"
        " trimmed_at = MAX(trimmed_at, excluded.trimmed_at) RETURNING trimmed_at",
        (tenant_id, released_log_id, last_log_id, last_at),
    ).fetchone()
    if not last_log_id:
        return ()
    losing = _note_gaps(connection, tenant_id, last_log_id, last_at)
    _note_mark(connection, tenant_id, last_log_id, trimmed_at)
    telemetry_queries.delete_log(connection, [tenant_id], through_log_id)
    return losing


def begin_after(connection: sqlite3.Connection, log_id: int, at: int) -> tuple[Consumer, ...]:
    """Let no log id up to this one be given again; gives those who lose something by that.

    When day files know of it and a restored gateway.db does not, the log counts as trimmed up to there, and everything
    up to the moment `at` as committed there: what the log lacks lies in chunks, and nobody knows how much it is.
    """
    if not telemetry_queries.raise_log_id(connection, log_id):
        return ()
    losing: list[Consumer] = []
    for tenant_id in _all(connection, telemetry_queries.select_tenants()):
        connection.execute(
            "INSERT INTO log_trim (tenant_id, released_log_id, trimmed_log_id, trimmed_at) VALUES (?, 0, ?, ?)"
            " ON CONFLICT (tenant_id) DO UPDATE SET trimmed_log_id = excluded.trimmed_log_id,"
            " trimmed_at = MAX(trimmed_at, excluded.trimmed_at)",
            (tenant_id, log_id, at),
        )
        for known in _behind(connection, tenant_id, log_id):
            gap = ConsumerGap(log_id, None, at)
            losing.append(_move(connection, known, known.position, gap, known.committed_at))
    return tuple(losing)


def _behind(connection: sqlite3.Connection, tenant_id: int, log_id: int) -> list[Consumer]:
    """Everybody who has not come past a record."""
    rows = connection.execute(f"SELECT {_CONSUMER} WHERE tenant_id = ? AND log_id <= ?", (tenant_id, log_id)).fetchall()
    return [_consumer(*row) for row in rows]


def _note_gaps(connection: sqlite3.Connection, tenant_id: int, last_log_id: int, last_at: int) -> tuple[Consumer, ...]:
    """Note what everybody loses who has not come past a record that is about to be removed."""
    losing = []
    for known in _behind(connection, tenant_id, last_log_id):
        (lost,) = connection.execute(
            "SELECT COALESCE(SUM(CASE WHEN log_id = ? THEN MIN(message_count, COALESCE(?, message_count))"
            " ELSE message_count END), 0) FROM log WHERE tenant_id = ? AND log_id BETWEEN ? AND ?",
            (*known.position, tenant_id, known.position.log_id, last_log_id),
        ).fetchone()
        before = known.gap or ConsumerGap(last_log_id, 0, last_at)
        count = None if before.report_count is None else before.report_count + lost
        # What a restored gateway.db lacks is missing beyond what it still has.
        through, until_at = max(last_log_id, before.through_log_id), max(last_at, before.until_at)
        gap = ConsumerGap(through, count, until_at)
        losing.append(_move(connection, known, known.position, gap, known.committed_at))
    return tuple(losing)


def _note_mark(connection: sqlite3.Connection, tenant_id: int, log_id: int, committed_at: int) -> None:
    """Remember up to which moment everything up to a record was committed; once an hour."""
    (newest,) = connection.execute(
        "SELECT COALESCE(MAX(committed_at), 0) FROM log_mark WHERE tenant_id = ?", (tenant_id,)
    ).fetchone()
    if committed_at - newest < HOUR_MS:
        return
    connection.execute(
        "INSERT OR IGNORE INTO log_mark (tenant_id, log_id, committed_at) VALUES (?, ?, ?)",
        (tenant_id, log_id, committed_at),
    )
    connection.execute(
        "DELETE FROM log_mark WHERE tenant_id = ? AND committed_at < ?", (tenant_id, committed_at - MARKS_KEPT_MS)
    )


def _gap_left(gap: ConsumerGap | None, batch: Batch) -> ConsumerGap | None:
    """What is still missing of a gap for a consumer that has a batch."""
    if gap is None or batch.end.log_id > gap.through_log_id:
        return None
    if gap.report_count is None:
        return gap
    told = batch.gap.report_count if batch.gap else sum(count for _, count in batch.counts)
    return ConsumerGap(gap.through_log_id, max(0, gap.report_count - (told or 0)), gap.until_at)


def _move(
    connection: sqlite3.Connection, known: Consumer, position: Position, gap: ConsumerGap | None, now: int
) -> Consumer:
    connection.execute(
        "UPDATE stream_consumer SET log_id = ?, left_count = ?, committed_at = ?, gap_log_id = ?, gap_count = ?,"
        " gap_until_at = ? WHERE tenant_id = ? AND name = ?",
        (*position, now, *(gap or (None, None, None)), known.tenant_id, known.name),
    )
    return Consumer(known.tenant_id, known.name, known.created_at, now, position, gap)


def _required(connection: sqlite3.Connection, tenant_id: int, name: str) -> Consumer:
    found = _all(connection, select_consumer(tenant_id, name))
    if not found:
        raise UnknownConsumerError(f"there is no consumer {name}")
    return found[0]


def _trimmed(connection: sqlite3.Connection, tenant_id: int) -> list[Trimmed]:
    return _all(connection, select_trimmed(tenant_id))


def _all(connection: sqlite3.Connection, select: Select[T]) -> list[T]:
    return [select.into(*row) for row in connection.execute(select.sql, select.parameters)]


def _consumer(
    tenant_id: int,
    name: str,
    created_at: int,
    committed_at: int,
    log_id: int,
    left_count: int | None,
    *gap: int | None,
) -> Consumer:
    through, count, until_at = gap
    lost = None if through is None or until_at is None else ConsumerGap(through, count, until_at)
    return Consumer(tenant_id, name, created_at, committed_at, Position(log_id, left_count), lost)
