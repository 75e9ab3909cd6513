"""A record of the event log in columns, with numbers as they lie in memory: a start goes through a million reports.

What a record holds is what `log_record.decode` tells.
"""

from array import array
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple, TypeAlias, cast

from appliance.telemetry import log_record, naming
from appliance.telemetry.column import MISSING, Cell, take_constant, take_names, take_numbers, take_packed
from appliance.telemetry.lanes import added
from appliance.telemetry.model import TimeSource
from appliance.telemetry.packing import ChunkError, Reader, as_text, inflate, take_integer_sequence
from appliance.telemetry.recovering.scaling import Scaling
from appliance.telemetry.scaled import Scaled

Packed: TypeAlias = "array[int] | array[float] | list[Cell] | Scaled"
"""A column: no list when all its cells are of one kind that an array holds."""

Origin = tuple[str, str, int]
"""What seldom changes from one report of a device to the next: topic and client as relative names, source of moment."""

_KNOWN_BYTES = 1_024
"""Longer names are not kept: there may be as many as there are records."""

_CELL = 8
_USUAL_TOPS = bytes((*range(0x40), *range(0xC0, 0x100)))
"""The highest bytes of numbers of which no two come to more than 64 bits."""

_FIRST_OF_ALL = bytes(2)
"""How it is told that each is the number 0."""

_TIME_SOURCES = frozenset(map(int, TimeSource))


class Shape(NamedTuple):
    """Reports of a record that name the same metrics in the same order."""

    metrics: tuple[str, ...]
    columns: Sequence[Packed]
    """A column for each metric, with its value in each of these reports."""


class Unpacked(NamedTuple):
    """What a record holds, with a row for each report, in their order."""

    devices: Sequence[bytes]
    """In UTF-8."""
    origins: Sequence[Origin]
    """One, if it is that of every report; else one for each."""
    at: "array[int]"
    lags: "array[int]"
    """How much later each arrived: one, if it is that of every report; else one for each."""
    sequences: Packed
    """One, if it is that of every report; else one for each."""
    shape_numbers: Sequence[int]
    shapes: Sequence[Shape]


class Names(NamedTuple):
    """Relative names of topics and of clients in a record: one, if it is that of all; else one for each report."""

    written: bytes
    """How the record tells them."""
    topics: list[str]
    clients: list[str]


class Metrics(NamedTuple):
    """The metrics of a shape."""

    written: bytes
    """How the record tells them."""
    names: tuple[str, ...]


class Known:
    """What is kept of the records before one: the next ones are mostly like them."""

    def __init__(self) -> None:
        self.names: dict[int, Names] = {}
        """By the count of reports: the names in the last record of so many."""
        self.metrics: Metrics | None = None
        """Those of the last shape."""
        self.scaling = Scaling()


def unpack(record: bytes, known: Known) -> Unpacked:
    """What a record holds. Raises `ChunkError`, and nothing else, when it is none or memory could not hold it."""
    if record[:1] != bytes((log_record.VERSION,)):
        raise ChunkError(f"a log record of version {record[:1].hex()} is not known, expected {log_record.VERSION:02x}")
    raw = inflate(record[1:])
    reader = Reader(raw)
    count = reader.count()
    names, numbers = take_names(reader, count)
    devices = names if numbers == range(len(names)) else list(map(names.__getitem__, numbers))
    _, topics, clients = _take_topics_and_clients(reader, raw, count, known.names)
    at = _take_moments(reader, count)
    lags = _take_lags(reader, at)
    sources = _take_sources(reader, count)
    sequences = _take_sequences(reader, count)
    shape_count = reader.count()
    # Mostly there is one shape, and nothing but its number is told.
    shape_numbers = bytes(count) if count and reader.skip(_FIRST_OF_ALL) else take_integer_sequence(reader, count)
    counts = Counter(shape_numbers) if shape_count != 1 else {0: shape_numbers.count(0)}
    shapes = [_take_shape(reader, raw, counts.get(number, 0), known) for number in range(shape_count)]
    if sum([counts.get(number, 0) for number in range(shape_count)]) != count:
        raise ChunkError("a shape is named that is not there")
    reader.end()
    return Unpacked(devices, _origins(topics, clients, sources, count), at, lags, sequences, shape_numbers, shapes)


def _take_topics_and_clients(reader: Reader, raw: bytes, count: int, known: dict[int, Names]) -> Names:
    """Those of one record are mostly written byte by byte as those of another: then they need not be read."""
    start = reader.position
    names = known.get(count)
    if names is not None and reader.skip(names.written):
        return names
    topics, clients = _take_relative_names(reader, count), _take_relative_names(reader, count)
    names = Names(raw[start : reader.position], topics, clients)
    if len(topics) == len(clients) == 1 and len(names.written) <= _KNOWN_BYTES:
        known[count] = names
    return names


def _take_relative_names(reader: Reader, count: int) -> list[str]:
    """One if it is that of all, else one for each."""
    found, numbers = take_names(reader, count)
    names = list(map(_relative_name, found))
    return names if len(names) == 1 else list(map(names.__getitem__, numbers))


@lru_cache(maxsize=1_024)
def _relative_name(name: bytes) -> str:
    """Most records have the same ones."""
    found = as_text(name)
    naming.absolute(found, "")  # raises when it is none
    return found


def _origins(topics: list[str], clients: list[str], sources: list[int], count: int) -> list[Origin]:
    if not count:
        return []
    if len(topics) == len(clients) == len(sources) == 1:
        return [(topics[0], clients[0], sources[0])]
    topics, clients = (names * count if len(names) == 1 else names for names in (topics, clients))
    return list(zip(topics, clients, sources * count if len(sources) == 1 else sources, strict=True))


def _take_moments(reader: Reader, count: int) -> "array[int]":
    found = take_packed(reader, count)
    if isinstance(found, array) and found.typecode == "q":
        return cast("array[int]", found)
    if not {int}.issuperset(_kinds(found)):
        raise ChunkError("a column holds values of another kind than it may")
    try:
        return array("q", cast("list[int]", found))
    except OverflowError as error:
        raise ChunkError("a moment has more than 64 bits") from error


def _take_lags(reader: Reader, at: "array[int]") -> "array[int]":
    """Raises `ChunkError` when a report arrived at a moment of more than 64 bits."""
    lag = take_constant(reader, len(at))
    lags = _take_moments(reader, len(at)) if lag is None else _single(lag)
    if _is_great(at) or _is_great(lags):
        try:
            added(at, lags if lag is None else lags * len(at))
        except OverflowError as error:
            raise ChunkError("a moment has more than 64 bits") from error
    return lags


def _is_great(numbers: "array[int]") -> bool:
    """Whether any of them has more than 63 bits."""
    return bool(numbers.tobytes()[_CELL - 1 :: _CELL].translate(None, _USUAL_TOPS))


def _single(number: int) -> "array[int]":
    try:
        return array("q", (number,))
    except OverflowError as error:
        raise ChunkError("a number has more than 64 bits") from error


def _take_sources(reader: Reader, count: int) -> list[int]:
    """One if it is that of all, else one for each."""
    source = take_constant(reader, count)
    sources = take_numbers(reader, count) if source is None else [source]
    if not _TIME_SOURCES.issuperset(sources):
        raise ChunkError("a time source is not known")
    return sources


def _take_sequences(reader: Reader, count: int) -> Packed:
    if (sequence := take_constant(reader, count)) is not None:
        return _single(sequence)
    sequences = take_packed(reader, count)
    if isinstance(sequences, list) and sequences.count(None) == count:
        return sequences[:1]
    if not {int, type(None)}.issuperset(_kinds(sequences)):
        raise ChunkError("a column holds values of another kind than it may")
    return sequences


def _kinds(column: Packed) -> set[type]:
    return ({float} if column.typecode == "d" else {int}) if isinstance(column, array) else set(map(type, column))


def _take_shape(reader: Reader, raw: bytes, count: int, known: Known) -> Shape:
    metrics = _take_metrics(reader, raw, known)
    columns = [known.scaling.take(metric, reader, count) or take_packed(reader, count) for metric in metrics]
    if any(MISSING in column for column in columns if isinstance(column, list)):
        raise ChunkError("a value is missing where its shape says that there is one")
    return Shape(metrics, columns)


def _take_metrics(reader: Reader, raw: bytes, known: Known) -> tuple[str, ...]:
    """Those of one shape are mostly those of another: then they need not be read."""
    if known.metrics and reader.skip(known.metrics.written):
        return known.metrics.names
    start = reader.position
    names = tuple([reader.text() for _ in range(reader.count())])
    written = raw[start : reader.position]
    if len(written) <= _KNOWN_BYTES:
        known.metrics = Metrics(written, names)
    return names
