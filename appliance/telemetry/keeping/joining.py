"""Small chunks of one device and day made into larger ones, with every report in its order."""

from array import array
from collections.abc import Iterator, Sequence
from typing import TypeVar

from appliance.telemetry.column import MISSING
from appliance.telemetry.growing import Column, Runs
from appliance.telemetry.open_chunk import METRICS_LIMIT
from appliance.telemetry.rows import Rows

T = TypeVar("T")


def joined(parts: Sequence[Rows], report_limit: int) -> Iterator[Rows]:
    """The same reports in the same order, in as few parts as the limit allows.

    What a device whose metrics keep changing reports is not put side by side: the holes would cost more than is won.
    """
    group: list[Rows] = []
    names: set[str] = set()
    count = 0
    for part in parts:
        union = names | part.columns.keys()
        if group and (count + part.count > report_limit or len(union) > max(METRICS_LIMIT, len(names))):
            yield _one(group)
            group, union, count = [], set(part.columns), 0
        group.append(part)
        names = union
        count += part.count
    if group:
        yield _one(group)


def _one(parts: Sequence[Rows]) -> Rows:
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    whole = Rows(first.tenant_id, first.device_id, first.day)
    whole.first_log_id = first.first_log_id
    whole.last_log_id = max(part.last_log_id for part in parts)
    whole.put(
        array("q", (at for part in parts for at in part.at)),
        array("q", (at for part in parts for at in part.arrived_at)),
        Column([cell for part in parts for cell in part.sequences.cells], None),
    )
    counts = [part.count for part in parts]
    whole.topics = _runs([part.topics for part in parts], counts)
    whole.client_ids = _runs([part.client_ids for part in parts], counts)
    whole.time_sources = _runs([part.time_sources for part in parts], counts)
    for name in dict.fromkeys(name for part in parts for name in part.columns):
        cells: list[object] = []
        for part in parts:
            column = part.columns.get(name)
            cells.extend(column.cells if column else [MISSING] * part.count)
        whole.columns[name] = Column(cells, None)
    return whole


def _runs(pieces: Sequence[Runs[T]], counts: Sequence[int]) -> Runs[T]:
    whole: Runs[T] = Runs([], [])
    before = 0
    for piece, count in zip(pieces, counts, strict=True):
        for start, value in zip(piece.starts, piece.values, strict=True):
            if not whole.values or whole.values[-1] != value:
                whole.append(before + start, value)
        before += count
    return whole
