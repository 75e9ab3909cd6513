"""The newest values of a device as a day file has them: a log record, or the chunk whose last report they are.

Nearly always the last report of the chunk that is sealed has the newest reading of every metric. To write it down once
more with each chunk would take as much as the chunk itself, so then only the chunk's key is written.
"""

from collections.abc import Callable

from appliance.telemetry import chunk, log_record
from appliance.telemetry.column import MISSING
from appliance.telemetry.model import Report
from appliance.telemetry.packing import ChunkError
from appliance.telemetry.rows import Rows

_IN_CHUNK = b"\x02"
"""A log record begins with another byte, its version."""

_KEY_BYTES = 8
_HIGHEST_KEY = (1 << 63) - 1


def in_chunk(chunk_id: int) -> bytes:
    """That they are the last report of a chunk of the same file."""
    return _IN_CHUNK + chunk_id.to_bytes(_KEY_BYTES, "little")


def chunk_of(latest: bytes) -> int | None:
    """The chunk whose last report they are; None when they are a record."""
    is_key = latest[:1] == _IN_CHUNK and len(latest) == len(_IN_CHUNK) + _KEY_BYTES
    return int.from_bytes(latest[1:], "little") if is_key else None


def filled(latest: bytes, find: Callable[[int], object]) -> bytes:
    """The same with the chunk that they are in, if it is one: `find` gives that of a key.

    Where it is not found there is nothing, which is no record.
    """
    chunk_id = chunk_of(latest)
    if chunk_id is None:
        return latest
    blob = find(chunk_id) if chunk_id <= _HIGHEST_KEY else None
    return with_chunk(blob) if isinstance(blob, bytes) else b""


def with_chunk(blob: bytes) -> bytes:
    """The same with the chunk itself, for whoever has no file to look into."""
    return _IN_CHUNK + blob


def reports_of(latest: bytes, tenant_id: int) -> list[Report]:
    """The reports that have the newest reading of each metric, out of a record or with their chunk.

    Raises `ChunkError` when it is neither, or was damaged.
    """
    if latest[:1] != _IN_CHUNK:
        return log_record.decode(latest, tenant_id)
    return [_last_of(chunk.decode(latest[1:]))]


def last_log_id(latest: bytes) -> int | None:
    """Up to which log id the chunk has the log that came with it, 0 when it is not there; None of a record."""
    if latest[:1] != _IN_CHUNK:
        return None if latest else 0
    try:
        return chunk.header(latest[1:]).last_log_id
    except ChunkError:
        return 0


def as_record(latest: bytes, tenant_id: int) -> bytes:
    """The same as a log record; one that says nothing when it was damaged."""
    if latest[:1] != _IN_CHUNK:
        return latest
    try:
        return log_record.encode(reports_of(latest, tenant_id))
    except ChunkError:
        return log_record.encode(())


def is_last(report: Report, rows: Rows) -> bool:
    """Whether a report is the last one of these, and has the greatest moment."""
    if report.at != rows.at[-1] or rows.at.index(max(rows.at)) != rows.count - 1:
        return False
    if (report.arrived_at, report.sequence) != (rows.arrived_at[-1], rows.sequences.cells[-1]):
        return False
    sources = (rows.time_sources, rows.topics, rows.client_ids)
    if (report.time_source, report.topic, report.client_id) != tuple(runs.values[-1] for runs in sources):
        return False
    return rows.columns.keys() == report.values.keys() and all(
        column.cells[-1] == report.values[name] for name, column in rows.columns.items()
    )


def _last_of(rows: Rows) -> Report:
    cells = {name: column.cells[-1] for name, column in rows.columns.items()}
    return Report(
        rows.tenant_id,
        rows.device_id,
        rows.at[-1],
        rows.arrived_at[-1],
        rows.time_sources.values[-1],
        rows.topics.values[-1],
        rows.client_ids.values[-1],
        {name: cell for name, cell in cells.items() if cell is not MISSING},
        rows.sequences.cells[-1],
    )
