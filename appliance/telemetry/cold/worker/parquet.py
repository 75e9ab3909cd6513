"""The Parquet files of days by pyarrow, which only programs beside the gateway import."""

import json
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from appliance.instant import DAY_MS, HOUR_MS
from appliance.telemetry.cold import table
from appliance.telemetry.cold.model import Arrivals
from appliance.telemetry.cold.table import Columns
from appliance.telemetry.model import Report

GROUP_ROWS = 50_000
"""A row group ends with the device that reaches it."""
MOST_GROUP_ROWS = 200_000
"""One that has more is spread over several: what is written at a time lies in memory."""
MANY_READINGS = 250_000
"""A device that has more on one day is looked at hour by hour."""
VERSION = "1"
EVER = (-(1 << 63), (1 << 63) - 1)

_ORIGIN = "headworks.origin"
_REPORTS_AT_ONCE = 1_000

MOMENT = pa.timestamp("ms", tz="UTC")
FIELDS = {
    "tenant_id": pa.int64(),
    "device_id": pa.string(),
    "at": MOMENT,
    "metric": pa.string(),
    "kind": pa.string(),
    "number": pa.float64(),
    "integer": pa.int64(),
    "boolean": pa.bool_(),
    "text": pa.string(),
    "report": pa.int32(),
    "arrived_at": MOMENT,
    "time_source": pa.string(),
    "sequence": pa.int64(),
    "wide_sequence": pa.string(),
    "topic": pa.string(),
    "client_id": pa.string(),
}
NEVER_NULL = table.NAMES[:5]
_SCHEMA = pa.schema(
    [pa.field(name, FIELDS[name], nullable=name not in NEVER_NULL) for name in table.NAMES],
    metadata={"headworks.version": VERSION},
)
_RISING = ("at", "arrived_at", "report", "sequence")
"""Stored as differences: they cost a fraction of what they are."""
_MOMENTS = ("at", "arrived_at")
_STATISTICS = ("tenant_id", "device_id", "at", "arrived_at")
_ARRIVED_AT = table.NAMES.index("arrived_at")

DAMAGED = (OSError, ValueError)
"""Kinds of what pyarrow raises when a file is not as it was written."""

Device = tuple[int, str]
"""A tenant and a device id."""


def hours_of(midnight: int) -> list[tuple[int, int]]:
    """The hours of a day."""
    return [(start, start + HOUR_MS) for start in range(midnight, midnight + DAY_MS, HOUR_MS)]


class Origin(NamedTuple):
    """What a file says of how it came to be."""

    source: str = ""
    """Which sealed day it was made of."""
    erasure_number: int = 0
    extra_count: int = 0


def opened(sink: Path | BinaryIO, schema: Any) -> Any:
    """What writes a Parquet file with such columns."""
    rising = [name for name in _RISING if name in schema.names]
    return pq.ParquetWriter(
        sink,
        schema,
        compression="zstd",
        compression_level=3,
        use_dictionary=[name for name in schema.names if name not in rising],
        column_encoding=dict.fromkeys(rising, "DELTA_BINARY_PACKED"),
        write_page_checksum=True,
        write_statistics=[name for name in _STATISTICS if name in schema.names],
    )


class Writer:
    """A Parquet file as it is written, device by device in rising order."""

    def __init__(self, path: Path) -> None:
        self._writer = opened(path, _SCHEMA)
        self._waiting = table.empty()
        self.reading_count = 0
        self.origin = Origin()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if kind is None:
            self._flush()
            self._writer.add_key_value_metadata({_ORIGIN: json.dumps(self.origin)})
        self._writer.close()

    def add(self, reports: Sequence[Report], first_number: int) -> int:
        """Write reports of one device; gives the number after the last one."""
        number = first_number
        for first in range(0, len(reports), _REPORTS_AT_ONCE):
            number = table.add(self._waiting, reports[first : first + _REPORTS_AT_ONCE], number)
            if len(self._waiting["at"]) >= MOST_GROUP_ROWS:
                self._flush()
        return number

    def end_device(self) -> None:
        """Say that nothing more comes of this device."""
        if len(self._waiting["at"]) >= GROUP_ROWS:
            self._flush()

    def _flush(self) -> None:
        count = len(self._waiting["at"])
        if count:
            self._writer.write_table(pa.table(self._waiting, schema=_SCHEMA), row_group_size=count)
            self.reading_count += count
            self._waiting = table.empty()


class File:
    """A Parquet file as it is read. Every page is checked.

    Of one that is doubted what can be read is given, whatever it says of itself: its end has no checksum.
    """

    def __init__(self, path: Path, *, is_doubted: bool = False) -> None:
        self._is_doubted = is_doubted
        self._lost: set[int] = set()
        self._file = pq.ParquetFile(path, page_checksum_verification=True, pre_buffer=False, memory_map=False)
        self._last: tuple[int, Any] | None = None
        if tuple(self._file.schema_arrow.names) != table.NAMES:
            raise ValueError(f"{path.name} has other columns than a day of readings")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def reading_count(self) -> int:
        """How many readings there are."""
        return int(self._file.metadata.num_rows)

    @property
    def lost_count(self) -> int:
        """How many row groups could not be read so far."""
        return len(self._lost)

    @property
    def origin(self) -> Origin:
        """How it came to be."""
        found = (self._file.metadata.metadata or {}).get(_ORIGIN.encode())
        try:
            return Origin(*json.loads(found)) if found else Origin()
        except (ValueError, TypeError):
            if not self._is_doubted:
                raise
            return Origin()

    def arrivals(self) -> tuple[int, int]:
        """When the first and the last report arrived; there must be one."""
        ends: list[int] = []
        for group in range(self._file.num_row_groups):
            statistics = self._file.metadata.row_group(group).column(_ARRIVED_AT).statistics
            if statistics is not None and statistics.has_min_max:
                ends += (statistics.min_raw, statistics.max_raw)
            else:
                found = pc.min_max(pc.cast(self._read_group(group, ["arrived_at"])["arrived_at"], pa.int64()))
                ends += (found["min"].as_py(), found["max"].as_py())
        return min(ends), max(ends)

    def devices(self) -> list[Device]:
        """Every device, in rising order."""
        found: set[Device] = set()
        for group in range(self._file.num_row_groups):
            # What is doubted is read whole: what cannot be read later has no devices.
            read = self._group(group) if self._is_doubted else self._read_group(group, ["tenant_id", "device_id"])
            for row in read.group_by(["tenant_id", "device_id"], use_threads=False).aggregate([]).to_pylist():
                found.add((row["tenant_id"], table.unescaped(row["device_id"])))
        return sorted(found)

    def reports(self, device: Device, start: int, end: int) -> list[Report]:
        """The reports of a device with `start <= at < end`, in their order."""
        # Rows of one report may lie in two groups: they are put side by side again.
        parts = list(self._read(device, start, end))
        return table.reports_of(_columns(pa.concat_tables(parts))) if parts else []

    def arrived(self, asked: Arrivals, left_out: Collection[Device]) -> Iterator[list[Report]]:
        """The reports that arrived in a span, some at a time, in the order of the file."""
        rest = _SCHEMA.empty_table()
        for group in range(self._file.num_row_groups):
            if self._may_have_arrived(group, asked):
                read = self._group(group)
                read = read.filter(pc.and_(_is_of(read, asked, left_out), _is_in_time(read, asked)))
                # Rows of one report may lie in two groups: the last one waits for the next group.
                read = pa.concat_tables([rest, read])
                whole_rows = read.num_rows - _last_report_rows(read)
                rest = read.slice(whole_rows)
                yield table.reports_of(_columns(read.slice(0, whole_rows)))
        yield table.reports_of(_columns(rest))

    def windows(self, device: Device) -> list[tuple[int, int]]:
        """The parts of the day in which the reports of a device are looked at."""
        if sum(read.num_rows for read in self._read(device, *EVER)) <= MANY_READINGS:
            return [EVER]
        if self._is_doubted:
            # Where the day lies, is written where nothing is believed.
            return [EVER]
        midnight = int(self._file.metadata.row_group(0).column(2).statistics.min_raw) // DAY_MS * DAY_MS
        return hours_of(midnight)

    def _read(self, device: Device, start: int, end: int) -> Iterator[Any]:
        tenant_id, device_id = device[0], table.escaped(device[1])
        for group in range(self._file.num_row_groups):
            if self._may_hold(group, tenant_id, device_id, start, end):
                read = self._group(group)
                at = pc.cast(read["at"], pa.int64())
                mask = pc.and_(pc.equal(read["tenant_id"], tenant_id), pc.equal(read["device_id"], device_id))
                mask = pc.and_(mask, pc.and_(pc.greater_equal(at, start), pc.less(at, end)))
                yield read.filter(mask)

    def _group(self, group: int) -> Any:
        if self._last is None or self._last[0] != group:
            self._last = None
            self._last = group, self._read_group(group)
        return self._last[1]

    def _read_group(self, group: int, columns: Sequence[str] | None = None) -> Any:
        if group not in self._lost:
            try:
                return self._file.read_row_group(group, columns=columns, use_threads=False)
            except DAMAGED:
                if not self._is_doubted:
                    raise
                self._lost.add(group)
        return _SCHEMA.empty_table()

    def _may_have_arrived(self, group: int, asked: Arrivals) -> bool:
        """Whether a row group may have something: no other column is unpacked for one that has not."""
        metadata = self._file.metadata.row_group(group)
        tenants, devices, moments = (metadata.column(number).statistics for number in range(3))
        arrivals = metadata.column(_ARRIVED_AT).statistics
        named = [table.escaped(each) for each in asked.device_ids]
        is_possible = (
            _reaches(tenants, asked.tenant_id, asked.tenant_id)
            and (not named or _reaches(devices, min(named), max(named)))
            and _reaches_moments(moments, *asked.moments)
            and _reaches_moments(arrivals, *asked.arrivals)
        )
        return is_possible and pc.any(_is_in_time(self._read_group(group, _MOMENTS), asked)).as_py() is True

    def _may_hold(self, group: int, tenant_id: int, device_id: str, start: int, end: int) -> bool:
        if self._is_doubted:
            return True
        metadata = self._file.metadata.row_group(group)
        tenants, devices = (metadata.column(number).statistics for number in (0, 1))
        moments = metadata.column(2).statistics
        return (
            _reaches(tenants, tenant_id, tenant_id)
            and _reaches(devices, device_id, device_id)
            and _reaches_moments(moments, start, end)
        )


def _reaches(statistics: Any, first: Any, last: Any) -> bool:
    if statistics is None or not statistics.has_min_max:
        return True
    return bool(statistics.min <= last and statistics.max >= first)


def _reaches_moments(statistics: Any, start: int, end: int) -> bool:
    if statistics is None or not statistics.has_min_max:
        return True
    return bool(statistics.min_raw < end and statistics.max_raw >= start)


def _is_of(read: Any, asked: Arrivals, left_out: Collection[Device]) -> Any:
    """Which rows are of the devices that are asked for."""
    mask = pc.equal(read["tenant_id"], asked.tenant_id)
    barred = [table.escaped(device_id) for tenant_id, device_id in left_out if tenant_id == asked.tenant_id]
    mask = pc.and_(mask, pc.invert(pc.is_in(read["device_id"], pa.array(barred, pa.string()))))
    if asked.device_ids:
        named = pa.array([table.escaped(each) for each in asked.device_ids], pa.string())
        mask = pc.and_(mask, pc.is_in(read["device_id"], named))
    return mask


def _is_in_time(read: Any, asked: Arrivals) -> Any:
    """Which rows have a moment and an arrival that are asked for."""
    at, arrived_at = (pc.cast(read[name], pa.int64()) for name in _MOMENTS)
    masks = [
        pc.and_(pc.greater_equal(cells, start), pc.less(cells, end))
        for cells, (start, end) in ((at, asked.moments), (arrived_at, asked.arrivals))
    ]
    return pc.and_(*masks)


def _last_report_rows(read: Any) -> int:
    """How many rows the last report has."""
    if not read.num_rows:
        return 0
    last = read.num_rows - 1
    alike = (pc.equal(read[name], read[name][last]) for name in ("device_id", "report"))
    return int(pc.sum(pc.and_(*alike)).as_py())


def _columns(read: Any) -> Columns:
    return {
        name: (pc.cast(read[name], pa.int64()) if name in _MOMENTS else read[name]).to_pylist() for name in table.NAMES
    }
