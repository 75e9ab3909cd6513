"""The reports of one device on one UTC day as one sealed blob, and back, exactly.

A chunk stands on its own: it names its tenant and device and holds every decoded field, so history can be
read, checked and run again without any other file. The format is in docs/reference/chunks.md.
"""

import struct
import zlib
from array import array
from collections.abc import Collection
from typing import NamedTuple

from appliance.instant import DAY_MS
from appliance.telemetry import naming
from appliance.telemetry.column import (
    put_column,
    take_column,
    take_optional_numbers,
    take_texts,
    take_time_sources,
)
from appliance.telemetry.growing import Column, Runs
from appliance.telemetry.model import TimeSource
from appliance.telemetry.packing import (
    COUNT_LIMIT,
    ChunkError,
    Reader,
    deflate,
    inflate,
    put_integers,
    put_piece,
    put_signed,
    put_text,
    put_varint,
    take_integers,
)
from appliance.telemetry.rows import Rows

VERSION = 1

_CHECK = struct.Struct("<BI")
"""Version and checksum; the checksum covers everything after itself."""

_CHECKED = struct.Struct("<Iqqq")
_BODY_FROM = _CHECK.size + _CHECKED.size


class Header(NamedTuple):
    """What a chunk says of itself without being unpacked."""

    report_count: int
    first_at: int
    last_at: int
    last_log_id: int


def encode(rows: Rows) -> bytes:
    """Some reports of one device and day, at least one, as a chunk."""
    body = bytearray()
    put_signed(body, rows.tenant_id)
    put_text(body, rows.device_id)
    put_integers(body, rows.at)
    put_integers(body, [arrived_at - at for at, arrived_at in zip(rows.at, rows.arrived_at, strict=True)])
    put_column(body, rows.sequences.cells)
    put_sources(body, rows.time_sources)
    _put_runs(body, rows.topics.starts, [naming.relative(name, rows.device_id) for name in rows.topics.values])
    _put_runs(body, rows.client_ids.starts, [naming.relative(name, rows.device_id) for name in rows.client_ids.values])
    put_varint(body, len(rows.columns))
    for metric, column in rows.columns.items():
        put_text(body, metric)
        piece = bytearray()
        put_column(piece, column.cells)
        put_piece(body, piece)
    checked = _CHECKED.pack(rows.count, min(rows.at), max(rows.at), rows.last_log_id) + deflate(body)
    return _CHECK.pack(VERSION, zlib.crc32(checked)) + checked


def header(blob: bytes) -> Header:
    """What a chunk says of itself. Raises `ChunkError` when the bytes are not a chunk or were damaged."""
    if len(blob) < _BODY_FROM:
        raise ChunkError(f"a chunk has {len(blob)} bytes, expected at least {_BODY_FROM}")
    version, checksum = _CHECK.unpack_from(blob)
    if version != VERSION:
        raise ChunkError(f"a chunk of version {version} is not known, expected {VERSION}")
    if checksum != zlib.crc32(memoryview(blob)[_CHECK.size :]):
        raise ChunkError("a chunk does not match its checksum")
    count, first_at, last_at, last_log_id = _CHECKED.unpack_from(blob, _CHECK.size)
    if not 0 < count <= COUNT_LIMIT:
        raise ChunkError(f"a chunk with {count} reports cannot be")
    return Header(count, first_at, last_at, last_log_id)


def owner(blob: bytes) -> tuple[int, str]:
    """Tenant and device of a chunk. Raises `ChunkError` when the bytes are not a chunk or were damaged."""
    header(blob)
    reader = Reader(inflate(blob[_BODY_FROM:]))
    return reader.signed(), reader.text()


def decode(blob: bytes, metrics: Collection[str] | None = None) -> Rows:
    """The reports of a chunk, with these metrics of them, or with all.

    Raises `ChunkError`, and nothing else, when the bytes are not a chunk or were damaged.
    """
    count, first_at, _, last_log_id = header(blob)
    reader = Reader(inflate(blob[_BODY_FROM:]))
    tenant_id = reader.signed()
    rows = Rows(tenant_id, reader.text(), first_at // DAY_MS)
    rows.first_log_id = rows.last_log_id = last_log_id
    try:
        moments = array("q", take_integers(reader, count))
        delays = take_integers(reader, count)
        arrived_at = array("q", [at + delay for at, delay in zip(moments, delays, strict=True)])
    except OverflowError as error:
        raise ChunkError("a moment has more than 64 bits") from error
    rows.put(moments, arrived_at, Column(list(take_optional_numbers(reader, count)), None))
    rows.time_sources = take_sources(reader, count)
    rows.topics = _take_names(reader, count, rows.device_id)
    rows.client_ids = _take_names(reader, count, rows.device_id)
    for _ in range(reader.count()):
        metric = reader.text()
        piece = reader.piece()
        if metrics is None or metric in metrics:
            rows.columns[metric] = _take_cells(piece, count)
    reader.end()
    return rows


def take_sources(reader: Reader, count: int) -> Runs[TimeSource]:
    """Read where the moments of so many reports come from. Raises `ChunkError`."""
    starts = _take_starts(reader, count)
    return Runs(starts, take_time_sources(reader, len(starts)))


def put_sources(out: bytearray, sources: Runs[TimeSource]) -> None:
    """Write the same."""
    _put_runs(out, sources.starts, [int(source) for source in sources.values])


def _take_cells(piece: bytes, count: int) -> Column:
    reader = Reader(piece)
    cells = take_column(reader, count)
    reader.end()
    return Column(cells, None)


def _put_runs(out: bytearray, starts: list[int], values: list[int] | list[str]) -> None:
    put_varint(out, len(starts))
    put_integers(out, starts)
    put_column(out, values)


def _take_starts(reader: Reader, count: int) -> list[int]:
    starts = take_integers(reader, reader.count())
    if not starts or starts[0] != 0 or starts[-1] >= count or starts != sorted(set(starts)):
        raise ChunkError("runs of equal values do not cover the rows")
    return starts


def _take_names(reader: Reader, count: int, device_id: str) -> Runs[str]:
    starts = _take_starts(reader, count)
    return Runs(starts, [naming.absolute(name, device_id) for name in take_texts(reader, len(starts))])
