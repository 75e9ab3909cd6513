"""The moments and a few columns of a chunk, without the rest: what a question about one metric needs.

Unpacking a chunk whole costs as much again for every field that nobody asked for.
"""

from collections.abc import Container, Mapping

from appliance.telemetry import chunk
from appliance.telemetry.column import take_column
from appliance.telemetry.packing import Reader, inflate, take_integers
from appliance.telemetry.rows import Column, Rows

_BODY_FROM = 33
"""Where the body of a chunk begins (docs/reference/chunks.md)."""

_DIFFERENCES = 0x10
_WIDTH = 0x0F
_NULL = 1
_FLOATING = {2: float, 3: float}
"""The forms of columns that hold floating-point numbers and nothing else."""
_WHOLE = 4


class Glance:
    """A chunk that was looked into. The moments are in the order of its rows."""

    __slots__ = ("_blob", "at", "columns", "device_id", "is_rising", "last_log_id", "tenant_id")

    def __init__(self, blob: bytes, metrics: Container[str]) -> None:
        """Look at some metrics of a chunk. Raises `ChunkError` when the bytes are no chunk or were damaged."""
        count, _, _, self.last_log_id = chunk.header(blob)
        self._blob = blob
        reader = Reader(inflate(blob[_BODY_FROM:]))
        self.tenant_id = reader.signed()
        self.device_id = reader.text()
        self.is_rising = _is_rising(reader, count)
        """Whether each moment is greater than the one before, as far as that is known without a look at them."""
        self.at = take_integers(reader, count)
        _skip_integers(reader, count)
        _skip_column(reader, count)
        for _ in range(3):  # where moments come from, topics, client identifiers
            run_count = reader.count()
            _skip_integers(reader, run_count)
            _skip_column(reader, run_count)
        self.columns: Mapping[str, Column] = _columns(reader, count, metrics)

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


def _columns(reader: Reader, count: int, metrics: Container[str]) -> dict[str, Column]:
    columns: dict[str, Column] = {}
    for _ in range(reader.count()):
        metric, size = reader.text(), reader.varint()
        if metric not in metrics:
            reader.take(size)
            continue
        piece = Reader(reader.take(size))
        form = piece.byte()
        piece.position = 0
        columns[metric] = Column(take_column(piece, count), _FLOATING.get(form))
    return columns


def _skip_integers(reader: Reader, count: int) -> None:
    if count == 0:
        return
    form = reader.byte()
    if form & _DIFFERENCES:
        reader.varint()
        count -= 1
    reader.varint()
    reader.take((form & _WIDTH) * count)


def _skip_column(reader: Reader, count: int) -> None:
    if count == 0:
        return
    start = reader.position
    form = reader.byte()
    if form == _WHOLE:
        _skip_integers(reader, count)
    elif form != _NULL:
        reader.position = start
        take_column(reader, count)
