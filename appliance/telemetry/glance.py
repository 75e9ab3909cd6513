"""The moments and a few columns of a chunk, without the rest: what a question about one metric needs.

Unpacking a chunk whole costs as much again for every field that nobody asked for. A day in which chunks are small has
150 of each device, so what is passed over is passed over by its place, and nothing is made of it.
"""

from array import array
from collections.abc import Container, Mapping

from appliance.telemetry import chunk
from appliance.telemetry.column import take_column, take_packed
from appliance.telemetry.growing import Column, Runs
from appliance.telemetry.model import TimeSource
from appliance.telemetry.packing import ChunkError, Reader, as_text, inflate, take_integer_array
from appliance.telemetry.rows import Rows

_BODY_FROM = 33
"""Where the body of a chunk begins (docs/reference/chunks.md)."""

_DIFFERENCES = 0x10
_WIDTH = 0x0F
_MORE = 0x80
"""Is set in every byte of a number but the last."""
_OWN_BYTES, _NUMBER_BYTES, _CELL_BYTES, _RUN_BYTES = 800, 8, 40, 40
_NULL = 1
_WHOLE = 4
_TEXT = 7
_KINDS: Mapping[str, type] = {"d": float, "q": int}

_DEVICES = Runs([0], [TimeSource.DEVICE])
_OF_DEVICES = bytearray()
chunk.put_sources(_OF_DEVICES, _DEVICES)


class Glance:
    """A chunk that was looked into. The moments are in the order of its rows."""

    __slots__ = (
        "_blob",
        "at",
        "byte_count",
        "columns",
        "device_id",
        "is_rising",
        "last_log_id",
        "tenant_id",
        "time_sources",
    )

    def __init__(self, blob: bytes, metrics: Container[str]) -> None:
        """Look at some metrics of a chunk. Raises `ChunkError` when the bytes are no chunk or were damaged."""
        count, _, _, self.last_log_id = chunk.header(blob)
        self._blob = blob
        raw = inflate(blob[_BODY_FROM:])
        reader = Reader(raw)
        self.tenant_id = reader.signed()
        self.device_id = reader.text()
        self.is_rising = _is_rising(reader, count)
        """Whether each moment is greater than the one before, as far as that is known without a look at them."""
        self.at: array[int] = take_integer_array(reader, count)
        try:
            begins, ends, reader.position = _past_sources(raw, reader.position, count)
            self.time_sources = _sources(raw[begins:ends], count)
            """Where the moments come from."""
            self.columns: Mapping[str, Column] = _columns(raw, reader.position, count, metrics)
        except IndexError as error:
            raise ChunkError("a chunk ends too early") from error
        cell_bytes = sum(_NUMBER_BYTES if each.kind else _CELL_BYTES for each in self.columns.values())
        texts_bytes = 0 if all(each.kind for each in self.columns.values()) else len(raw)
        self.byte_count = _OWN_BYTES + len(blob) + texts_bytes + count * (_NUMBER_BYTES + cell_bytes)
        self.byte_count += _RUN_BYTES * len(self.time_sources.starts)
        """About what it takes in memory."""

    def whole(self) -> Rows:
        """Everything that is in the chunk. Raises `ChunkError`."""
        return chunk.decode(self._blob)


def _is_rising(reader: Reader, count: int) -> bool:
    """Whether the integers that come next are stored as differences of which the least is above 0."""
    position = reader.position
    if count <= 1 or not reader.byte() & _DIFFERENCES:
        reader.position = position
        return False
    reader.signed()
    least = reader.signed()
    reader.position = position
    return least > 0


def _columns(raw: bytes, position: int, count: int, metrics: Container[str]) -> dict[str, Column]:
    columns: dict[str, Column] = {}
    column_count, position = _number(raw, position)
    for _ in range(column_count):
        size, position = _number(raw, position)
        metric, position = as_text(raw[position : position + size]), position + size
        size, position = _number(raw, position)
        if metric in metrics:
            piece = Reader(raw[position : position + size])
            cells = take_packed(piece, count)
            piece.end()
            columns[metric] = Column(cells, _KINDS[cells.typecode] if isinstance(cells, array) else None)
        position += size
    if position != len(raw):
        raise ChunkError(f"a chunk was expected to end at {position}, it ends at {len(raw)}")
    return columns


def _past_sources(raw: bytes, position: int, count: int) -> tuple[int, int, int]:
    """Where the sources of moments begin and end, and columns begin, from where delays do.

    Raises `IndexError` when the bytes end before.
    """
    begins = _past_column(raw, _past_integers(raw, position, count), count)
    ends = _past_runs(raw, begins)
    # Topics and client identifiers.
    return begins, ends, _past_runs(raw, _past_runs(raw, ends))


def _past_runs(raw: bytes, position: int) -> int:
    run_count, position = _number(raw, position)
    return _past_column(raw, _past_integers(raw, position, run_count), run_count)


def _sources(piece: bytes, count: int) -> Runs[TimeSource]:
    # Nearly always all moments are the device's own.
    return _DEVICES if piece == _OF_DEVICES else chunk.take_sources(Reader(piece), count)


def _past_integers(raw: bytes, position: int, count: int) -> int:
    if count == 0:
        return position
    form = raw[position]
    position = _past_number(raw, position + 1)
    if form & _DIFFERENCES:
        position = _past_number(raw, position)
        count -= 1
    return position + (form & _WIDTH) * count


def _past_column(raw: bytes, position: int, count: int) -> int:
    if count == 0:
        return position
    form = raw[position]
    if form == _WHOLE:
        return _past_integers(raw, position + 1, count)
    if form == _NULL:
        return position + 1
    if form == _TEXT and raw[position + 1] == 1 and raw[position + 2] == 0:
        # One text, whose length stands there doubled, as a signed number does: nearly always a topic is the same.
        size, place = _number(raw, position + 3)
        return _past_integers(raw, place + size // 2, count)
    reader = Reader(raw)
    reader.position = position
    take_column(reader, count)
    return reader.position


def _number(raw: bytes, position: int) -> tuple[int, int]:
    """An unsigned number, and where it ends. Raises `IndexError` when the bytes end before."""
    value = raw[position]
    if value < _MORE:
        return value, position + 1
    reader = Reader(raw)
    reader.position = position
    return reader.varint(), reader.position


def _past_number(raw: bytes, position: int) -> int:
    while raw[position] >= _MORE:
        position += 1
    return position + 1
