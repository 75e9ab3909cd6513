"""What a reader is given next: reports cut out of the records of the log, bounded in number and in bytes."""

from collections.abc import Callable, Sequence

from appliance.stream.model import Batch, LogRecord, Position, Taken
from appliance.stream.wanted import Wanted
from appliance.telemetry.model import Report

LEAST = 100
"""With fewer reports a reader waits a moment for more."""
MOST = 1_000
"""More are never in one batch."""
BATCH_BYTES = 1_048_576
"""What the reports of a batch may take, but for the first one."""

_REPORT_BYTES = 200
_VALUE_BYTES = 16

Erased = Callable[[Report, int], bool]
"""Tells whether a report with this log id is erased, or about to be."""


def cut(start: Position, records: Sequence[LogRecord], wanted: Wanted, erased: Erased, most: int) -> Batch:
    """The next reports from a place on, at most so many; `records` are the next ones from that place, in order."""
    taken: list[Taken] = []
    counts: list[tuple[int, int]] = []
    position = start
    room = [most, BATCH_BYTES]
    for record in records:
        first = first_index(position, record)
        index = first
        for index, report in enumerate(record.reports[first:], first):
            size = size_of(report)
            if room[0] == 0 or (size > room[1] and room[0] < most):
                break
            room[0] -= 1
            room[1] -= size
            position = _after(record, index)
            if wanted.has(report) and not erased(report, record.log_id):
                taken.append(Taken(report, position))
        else:
            position = Position(record.log_id + 1)
            counts.append((record.log_id, len(record.reports) - first))
            continue
        counts.append((record.log_id, index - first))
        break
    return Batch(start, position, tuple(taken), tuple(counts))


def first_index(position: Position, record: LogRecord) -> int:
    """Which report of a record is the next one for who has come to this place."""
    if position.log_id != record.log_id or position.left_count is None:
        return 0
    # Fewer are left when some were erased meanwhile: what is left over may be told twice, and is never left out.
    return max(0, len(record.reports) - position.left_count)


def size_of(report: Report) -> int:
    """About how much memory a report takes, in bytes."""
    size = _REPORT_BYTES + len(report.topic) + len(report.client_id)
    for metric, value in report.values.items():
        size += _VALUE_BYTES + len(metric)
        if isinstance(value, str):
            size += len(value)
    return size


def _after(record: LogRecord, index: int) -> Position:
    left = len(record.reports) - index - 1
    return Position(record.log_id, left) if left else Position(record.log_id + 1)
