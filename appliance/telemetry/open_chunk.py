"""The reports of one device and day that are in no day file yet, and what they take of memory."""

from collections.abc import Iterable, Mapping

from appliance.telemetry.day_file import rank_of
from appliance.telemetry.model import Report, Value
from appliance.telemetry.moments import Moments
from appliance.telemetry.newest import Closed, Newest, Numbers, last_numbers
from appliance.telemetry.row_shape import NAMES_LIMIT, shape_of
from appliance.telemetry.rows import Rows
from appliance.telemetry.run import Run
from appliance.telemetry.sealing_order import Turn
from appliance.telemetry.strip import STRIP_ROWS

METRICS_LIMIT = 64
"""Beyond this many columns a chunk takes no further metrics: a device that names ever new ones costs no more."""

KEYS_PER_REPORT = 4
"""A report takes at least four times the memory that its key takes, where it needs one to be found."""

CELLS_PER_REPORT = 8
"""A report of up to so many values counts as one towards what memory may hold, a wider one as several."""

COLUMN_CELLS = 32
"""A column takes so many times the memory of a value, even if it holds just one."""

TEXT_CELL = 8
"""So many characters of a text count as one value more."""


class OpenChunk:
    """The reports of one device and day that are not sealed yet."""

    __slots__ = (
        "_last",
        "age",
        "closed",
        "device",
        "due_at",
        "extra_cells",
        "moments",
        "opened_at",
        "parts",
        "rows",
    )

    def __init__(self, device: "OpenDevice", rows: Rows, opened_at: int, turn: Turn) -> None:
        self.device = device
        self.rows = rows
        """Where the next report goes."""
        self.parts = [rows]
        """Each becomes one chunk; all of them are sealed in one transaction."""
        self.moments = Moments(self.parts)
        self.opened_at = opened_at
        self.due_at, self.age = turn
        self.extra_cells = 0
        """What its reports and parts take beyond usual ones, in values."""
        self._last: Mapping[str, Numbers] | None = None
        self.closed: Closed | None = None
        """What was known when nothing more was taken."""

    @property
    def day(self) -> int:
        """Whole UTC days since 1970."""
        return self.rows.day

    @property
    def first_log_id(self) -> int:
        """The oldest log record that this chunk still needs."""
        return self.parts[0].first_log_id

    @property
    def report_count(self) -> int:
        """How many reports there are."""
        strip = self.device.newest.strip
        return sum(part.count for part in self.parts) + (strip.count if strip.used and strip.target is self else 0)

    @property
    def surcharge(self) -> int:
        """As how many more reports it counts for the keys by which they are found, and for what is not usual."""
        return self.moments.key_count // KEYS_PER_REPORT + self.extra_cells // CELLS_PER_REPORT

    @property
    def weight(self) -> int:
        """As how many reports it counts towards what memory may hold."""
        return self.report_count + self.surcharge

    def weigh(self, report: Report) -> int:
        """Count, and give, what the report that was taken last takes beyond a usual one, in values."""
        cells = self._weight_of(report.values.values())
        if self.rows.count == 1 and len(self.parts) > 1:
            cells += COLUMN_CELLS * self.rows.width
        self.extra_cells += cells
        return cells

    def weigh_all(self, run: Run) -> int:
        """The same of reports that came into a part at once, one after the other."""
        if self.rows.has_texts:
            cells = sum(map(self._weight_of, zip(*run.columns.values(), strict=True)))
        else:
            cells = len(run.at) * self._weight_of(())
        self.extra_cells += cells
        return cells

    def takes(self, run: Run, limit: int) -> bool:
        """Whether the part at hand can take some reports at once; it has up to `limit`."""
        rows = self.rows
        return (
            rows.count + len(run.at) <= limit
            and rows.columns.keys() == run.columns.keys()
            and self.moments.continues(run.at[0])
        )

    def note_filed(self, first: int, last: int) -> None:
        """Hear that the part at hand got reports out of a strip: the moments of the first and of the last."""
        self.moments.note(first)
        self.moments.note(last)

    def lay_beside(self, report: Report, limit: int) -> bool:
        """Have reports laid side by side that are like the one taken last; False where they cannot be.

        A part takes `limit` reports at most.
        """
        newest, rows, values = self.device.newest, self.rows, report.values
        if len(values) > NAMES_LIMIT:
            return False
        if report.at != newest.at or rows.count + STRIP_ROWS > limit or not self.moments.continues(report.at):
            return False
        shape = shape_of((*values,), (report.sequence.__class__, *map(type, values.values())))
        if shape is None:
            return False
        newest.strip.begin(report, shape, self, limit - STRIP_ROWS, max(0, rows.width - CELLS_PER_REPORT))
        return True

    def last_numbers(self) -> Mapping[str, Numbers]:
        """The newest numbers of each metric, made once, and when nothing comes any more: it may take a while."""
        if self._last is None:
            self._last = last_numbers(self.parts)
        return self._last

    def continue_in_new_part(self) -> Rows:
        """Leave the part at hand as it is."""
        self.rows = Rows(self.rows.tenant_id, self.rows.device_id, self.rows.day)
        self.parts.append(self.rows)
        self.moments.begin_part()
        return self.rows

    def _weight_of(self, values: Iterable[Value]) -> int:
        cells = max(0, self.rows.width - CELLS_PER_REPORT)
        if self.rows.has_texts:
            cells += sum([len(value) for value in values if isinstance(value, str)]) // TEXT_CELL
        return cells


class OpenDevice:
    """What memory holds of one device."""

    __slots__ = ("current", "device_id", "newest", "open", "rank", "sealed_at", "sealing", "tenant_id")

    def __init__(self, tenant_id: int, device_id: str) -> None:
        self.tenant_id = tenant_id
        self.device_id = device_id
        self.rank = rank_of(device_id)
        self.newest = Newest()
        self.open: dict[int, OpenChunk] = {}
        """By day."""
        self.current: OpenChunk | None = None
        """The one that took a report last, as long as it is open."""
        self.sealing: list[OpenChunk] = []
        self.sealed_at = 0

    @property
    def key(self) -> tuple[int, str]:
        """What it is known by: tenant and name."""
        return self.tenant_id, self.device_id

    def parts(self) -> Iterable[Rows]:
        """Every column set in memory, oldest chunk first; whatever came is filed."""
        self.newest.strip.settle()
        for chunk in (*self.sealing, *self.open.values()):
            yield from chunk.parts
