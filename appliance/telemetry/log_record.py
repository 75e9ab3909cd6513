"""The reports of one commit as one blob of the event log, and back, exactly and in order.

Written before devices are acknowledged, so it is made for little work: reports of the same shape (the same
metrics) share columns. The format is in docs/reference/chunks.md.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from operator import add, sub
from typing import NamedTuple, cast

from appliance.telemetry import naming
from appliance.telemetry.column import (
    MISSING,
    put_column,
    take_column,
    take_numbers,
    take_optional_numbers,
    take_texts,
    take_time_sources,
)
from appliance.telemetry.model import Report, TimeSource, Value
from appliance.telemetry.packing import (
    ChunkError,
    Reader,
    deflate,
    inflate,
    put_integers,
    put_text,
    put_varint,
    take_integers,
)
from appliance.telemetry.sheaf import Sheaf

VERSION = 1


def encode(reports: Sequence[Report]) -> bytes:
    """The reports of one tenant in one commit as bytes; the tenant itself is not in them."""
    told = _of_sheaf(reports) if isinstance(reports, Sheaf) else _of_reports(reports)
    out = bytearray()
    put_varint(out, len(reports))
    put_column(out, told.devices)
    put_column(out, told.topics)
    put_column(out, told.clients)
    put_column(out, told.at)
    put_column(out, list(map(sub, told.arrived_at, told.at)))
    put_column(out, told.time_sources)
    put_column(out, told.sequences)
    put_varint(out, len(told.shapes))
    put_integers(out, told.shape_numbers)
    for metrics, columns in told.shapes.items():
        put_varint(out, len(metrics))
        for metric in metrics:
            put_text(out, metric)
        for cells in columns:
            put_column(out, cells)
    return bytes((VERSION,)) + deflate(out)


class _Told(NamedTuple):
    """What is encoded, in columns with a row for each report, in their order."""

    devices: Sequence[str]
    topics: Sequence[str]
    """Relative names, as are those of clients."""
    clients: Sequence[str]
    at: Sequence[int]
    arrived_at: Sequence[int]
    time_sources: Sequence[int]
    sequences: Sequence[int | None]
    shapes: Mapping[tuple[str, ...], Iterable[Sequence[Value]]]
    """By the metrics of a shape: a column for each, with its value in each of these reports."""
    shape_numbers: Sequence[int]


def _of_sheaf(sheaf: Sheaf) -> _Told:
    shapes, numbers = sheaf.shapes()
    return _Told(
        sheaf.device_ids,
        sheaf.topics,
        sheaf.client_ids,
        sheaf.at(),
        sheaf.arrived_at(),
        list(map(int, sheaf.time_sources)),
        sheaf.sequences(),
        shapes,
        numbers,
    )


def _of_reports(reports: Sequence[Report]) -> _Told:
    shapes, numbers = _shapes_of([report.values for report in reports])
    devices = [report.device_id for report in reports]
    return _Told(
        devices,
        naming.relative_all([report.topic for report in reports], devices),
        naming.relative_all([report.client_id for report in reports], devices),
        [report.at for report in reports],
        [report.arrived_at for report in reports],
        [int(report.time_source) for report in reports],
        [report.sequence for report in reports],
        {names: zip(*[values.values() for values in alike], strict=True) for names, alike in shapes.items()},
        numbers,
    )


class Shape(NamedTuple):
    """Reports of a record that name the same metrics in the same order."""

    metrics: tuple[str, ...]
    columns: list[list[Value]]
    """A column for each metric, with its value in each of these reports."""


class Columns(NamedTuple):
    """What a record holds, in columns with a row for each report, in their order."""

    devices: list[str]
    topics: list[str]
    """Relative names, as are those of clients."""
    clients: list[str]
    at: list[int]
    arrived_at: list[int]
    time_sources: list[TimeSource]
    sequences: list[int | None]
    shape_numbers: list[int]
    shapes: list[Shape]


def decode(record: bytes, tenant_id: int) -> list[Report]:
    """The reports that `encode` was given, as those of this tenant.

    Raises `ChunkError`, and nothing else, when the bytes are not such a record.
    """
    return reports_of(decode_columns(record), tenant_id)


def reports_of(found: Columns, tenant_id: int) -> list[Report]:
    """What a record holds as reports of this tenant."""
    rows = [_rows(shape) for shape in found.shapes]
    return [
        Report(tenant_id, device, at, arrived_at, source, topic, client, next(rows[number]), sequence)
        for device, at, arrived_at, source, topic, client, number, sequence in zip(
            found.devices,
            found.at,
            found.arrived_at,
            found.time_sources,
            naming.absolute_all(found.topics, found.devices),
            naming.absolute_all(found.clients, found.devices),
            found.shape_numbers,
            found.sequences,
            strict=True,
        )
    ]


def decode_columns(record: bytes) -> Columns:
    """The same as columns, which takes less time. Raises `ChunkError`, and nothing else."""
    if record[:1] != bytes((VERSION,)):
        raise ChunkError(f"a log record of version {record[:1].hex()} is not known, expected {VERSION:02x}")
    reader = Reader(inflate(record[1:]))
    count = reader.count()
    devices = take_texts(reader, count)
    topics = take_texts(reader, count)
    clients = take_texts(reader, count)
    for name in {*topics, *clients}:
        naming.absolute(name, "")  # raises when it is none
    moments = take_numbers(reader, count)
    arrivals = list(map(add, moments, take_numbers(reader, count)))
    sources = take_time_sources(reader, count)
    sequences = take_optional_numbers(reader, count)
    shape_count = reader.count()
    numbers = take_integers(reader, count)
    counts = Counter(numbers)
    shapes = [_take_shape(reader, counts[number]) for number in range(shape_count)]
    if count and not 0 <= min(numbers) <= max(numbers) < shape_count:
        raise ChunkError("a shape is named that is not there")
    reader.end()
    return Columns(devices, topics, clients, moments, arrivals, sources, sequences, numbers, shapes)


def _shapes_of(
    every: Sequence[Mapping[str, Value]],
) -> tuple[dict[tuple[str, ...], Sequence[Mapping[str, Value]]], list[int]]:
    """The values of reports by the metrics that they name, and for each report the number of these."""
    named = [tuple(values) for values in every]
    numbers = {metrics: number for number, metrics in enumerate(dict.fromkeys(named))}
    if len(numbers) == 1:
        # Mostly all are alike.
        return {named[0]: every}, [0] * len(every)
    alike: dict[tuple[str, ...], list[Mapping[str, Value]]] = {metrics: [] for metrics in numbers}
    for metrics, values in zip(named, every, strict=True):
        alike[metrics].append(values)
    return dict(alike), [numbers[metrics] for metrics in named]


def _take_shape(reader: Reader, count: int) -> Shape:
    metrics = tuple(reader.text() for _ in range(reader.count()))
    columns = [take_column(reader, count) for _ in metrics]
    if any(MISSING in column for column in columns):
        raise ChunkError("a value is missing where its shape says that there is one")
    return Shape(metrics, cast("list[list[Value]]", columns))


def _rows(shape: Shape) -> Iterator[dict[str, Value]]:
    """The values of each report of a shape, in their order; without end if it has none."""
    rows = zip(*shape.columns, strict=True) if shape.metrics else repeat(())
    return (dict(zip(shape.metrics, row, strict=True)) for row in rows)
