"""The reports of one device that came last and are alike, packed side by side until there are enough to file them.

To file a report touches its device, its chunk, its part, a column for each metric, what finds its moment, and the
newest values: among ten thousand devices each of these objects has to be fetched from memory. Here a report touches
the strip and one buffer, and all the others are touched once for `STRIP_ROWS` reports.

Rules:
- A strip takes only what is newer than all that its device sent, of one day, of one shape and from one source. So
  the last row of a strip is the newest report of its device, and to file them one by one would come to the same.
- It is for the loop alone. Whoever hands what a device sent to another thread has its strip filed before.
"""

from functools import lru_cache
from typing import Protocol

from appliance.instant import DAY_MS
from appliance.telemetry.model import Report, TimeSource
from appliance.telemetry.naming import relative
from appliance.telemetry.row_shape import Shape
from appliance.telemetry.rows import Rows

STRIP_ROWS = 16
"""Reports that lie side by side, at most."""

_NOTHING = bytearray()
NEVER = -(1 << 63)
"""Before every moment."""


class Target(Protocol):
    """Where reports of a device and day are filed."""

    rows: Rows
    extra_cells: int
    """What its reports take beyond usual ones, in values."""

    def note_filed(self, first: int, last: int) -> None:
        """Hear of the moments of the first and the last of the reports that its part got."""


class Watcher(Protocol):
    """Who knows the newest report of the device."""

    def note_filed(self, rows: Rows, at: int, last_seen_at: int) -> None:
        """Hear that the newest report is the last one of these rows now, and when the newest arrived."""


class _Nowhere:
    """Where nothing is filed."""

    def __init__(self) -> None:
        self.rows = Rows(0, "", 0)
        self.extra_cells = 0

    def note_filed(self, first: int, last: int) -> None:
        """Nothing is."""


_NOWHERE = _Nowhere()


@lru_cache(8)
def _end_of(day: int) -> int:
    """When a day is over: the same piece of memory for all devices, of which each report is compared with it."""
    return (day + 1) * DAY_MS


class Strip:
    """Reports that are not filed yet."""

    __slots__ = (
        "_buffer",
        "_client_id",
        "_limit",
        "_log_id",
        "_time_source",
        "_topic",
        "_watcher",
        "ends_at",
        "expected_at",
        "extra_cells",
        "newest_at",
        "shape",
        "target",
        "used",
    )

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self.shape: Shape
        self.target: Target = _NOWHERE
        """Where its reports are to be filed, while it takes any."""
        self.newest_at = 0
        """The moment of the newest report of the device, while anything is taken."""
        self.expected_at = NEVER
        """The latest moment of which a report was decided about, and may be on its way here."""
        self.ends_at = NEVER
        """Moments from this one on are not taken."""
        self.used = 0
        """How many bytes of the buffer hold reports."""
        self.extra_cells = 0
        """What each of its reports takes beyond a usual one, in values."""
        self._buffer = _NOTHING
        self._limit = 0
        self._log_id = 0
        self._topic = self._client_id = ""
        """Relative names."""
        self._time_source = TimeSource.DEVICE

    def begin(self, report: Report, shape: Shape, target: Target, limit: int, extra_cells: int) -> None:
        """Take reports from here on that are like this one, the newest of its device, which was just filed there.

        A part that has more reports than `limit` takes none from here.
        """
        self.shape, self.target = shape, target
        self._limit, self.extra_cells = limit, extra_cells
        self._topic = relative(report.topic, report.device_id)
        self._client_id = relative(report.client_id, report.device_id)
        self._time_source = report.time_source
        self.newest_at = report.at
        self.ends_at = _end_of(target.rows.day)
        size = shape.row_bytes * STRIP_ROWS
        if len(self._buffer) != size:
            self._buffer = bytearray(size)

    def take(self, report: Report, log_id: int) -> bool:
        """Take a report, which the log holds under this id; False where it is not like the others."""
        shape, values, at = self.shape, report.values, report.at
        if not (
            self.newest_at < at < self.ends_at
            and shape.names == (*values,)
            and shape.kinds == [report.sequence.__class__, *map(type, values.values())]
        ):
            return False
        packed = shape.packed(report)
        if packed is None:
            return False
        topic, client_id = relative(report.topic, report.device_id), relative(report.client_id, report.device_id)
        return self.take_packed(shape, packed, at, topic, client_id, report.time_source, log_id)

    def take_packed(
        self, shape: Shape, packed: bytes, at: int, topic: str, client_id: str, time_source: TimeSource, log_id: int
    ) -> bool:
        """The same of a report that its shape packed; the names of its topic and its client are relative."""
        if not (
            self.newest_at < at < self.ends_at
            and (shape is self.shape or shape.is_like(self.shape))
            and topic == self._topic
            and client_id == self._client_id
            and time_source is self._time_source
        ):
            return False
        used = self.used
        self.used = end = used + shape.row_bytes
        self._buffer[used:end] = packed
        self.newest_at = at
        self._log_id = log_id
        if end == len(self._buffer):
            self.settle()
        return True

    @property
    def count(self) -> int:
        """How many reports there are."""
        return self.used // self.shape.row_bytes if self.used else 0

    @property
    def last_arrival(self) -> int:
        """When the newest of its reports arrived; there is one at least."""
        with memoryview(self._buffer)[: self.used] as packed, packed.cast("q") as cells:
            return max(cells[1 :: self.shape.width])

    def last(self) -> Report:
        """The newest of its reports; there is one at least."""
        rows = self.target.rows
        at, arrived_at, sequence, values = self.shape.unpacked(self._buffer, self.used - self.shape.row_bytes)
        return Report(
            rows.tenant_id,
            rows.device_id,
            at,
            arrived_at,
            self._time_source,
            # Those of the one before it, which is filed there: it is from the same source.
            rows.topics.values[-1],
            rows.client_ids.values[-1],
            values,
            sequence,
        )

    def settle(self) -> None:
        """File all of its reports; what comes after them may be taken."""
        used = self.used
        if not used:
            return
        rows = self.target.rows
        last_seen_at = self.last_arrival
        first = self.shape.unpack_from(self._buffer)[0]
        rows.extend_packed(self.shape, memoryview(self._buffer)[:used], self._log_id)
        self.used = 0
        self.target.note_filed(first, self.newest_at)
        self._watcher.note_filed(rows, self.newest_at, last_seen_at)
        if rows.count > self._limit:
            self.ends_at = NEVER

    def end(self) -> None:
        """File all of its reports, and take none until it begins anew: most devices are silent for longer than this."""
        self.settle()
        self.ends_at = NEVER
        self.target, self._buffer = _NOWHERE, _NOTHING
