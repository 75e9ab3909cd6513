"""Takes readings from tables: on the way of all readings, durable before it is answered, each once.

Rules:
- Rows are taken in batches: each is committed to the log before the next one is looked at, so a table may have any
  length. What an import that was broken off has taken stays; the same table again takes the rest.
- A reading that is there already is not taken again: the same device, moment and sequence number, or, where the table
  tells no number, the same device, moment and values.
- Nobody is alerted: what a table tells is over.
"""

import asyncio
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import msgspec

from appliance.audit.model import Entry
from appliance.ingestion.importing.model import REFUSALS_TOLD, InvalidReadingsError, Refusal, Tally, Told
from appliance.ingestion.importing.table import Cells, Table, rows, separator
from appliance.ingestion.repeats import Earlier
from appliance.ingestion.service import Ingestion
from appliance.instant import DAY_MS, Clock, to_text
from appliance.registry.service import Registry
from appliance.telemetry.model import Report, TimeSource
from appliance.telemetry.rows import identity_of
from appliance.telemetry.service import Telemetry

BATCH_ROWS = 1_000
"""So many rows are committed together, and those of the same moment that follow."""
MEMORY_REPORTS = 250_000
"""Beyond so many reports in memory, what is due is sealed before more is taken."""


class Importing:
    """Imports into a gateway that runs."""

    def __init__(
        self, registry: Registry, telemetry: Telemetry, ingestion: Ingestion, clock: Clock, future_tolerance_ms: int
    ) -> None:
        """`future_tolerance_ms` is how far ahead of the gateway's clock a reading may be."""
        self._registry = registry
        self._telemetry = telemetry
        self._ingestion = ingestion
        self._clock = clock
        self._future_tolerance_ms = future_tolerance_ms
        self._turn = asyncio.Lock()

    async def table(
        self, tenant_id: int, content: str, *, device_id: str = "", first_line: int = 1, is_dry_run: bool
    ) -> Tally:
        """Take a table, or tell what that would do. `first_line` is that of the heading, or what is taken for it.

        One table is taken at a time. Raises `InvalidReadingsError` when its columns are not those of readings.
        """
        if "\0" in content[:1024]:
            raise InvalidReadingsError("the file holds bytes that no text has: save it as CSV in UTF-8")
        lines = io.StringIO(content, newline="")
        heading = lines.readline()
        between = separator(heading.removeprefix("\ufeff"))
        columns = next(rows([heading], between), (1, []))[1]
        table = Table(columns, device_id)
        count = _Count(is_dry_run)
        async with self._turn:
            await self._take_all(tenant_id, table, rows(lines, between, first_line + 1), count)
        if not is_dry_run and count.readings:
            details = {"readings": str(count.readings), "duplicates": str(count.duplicates)}
            await self._registry.audit.record(tenant_id, Entry("telemetry.import", device_id or "readings", details))
        return count.tally()

    async def _take_all(self, tenant_id: int, table: Table, found: Iterator[Cells], count: "_Count") -> None:
        rest: list[Told] = []
        is_over = False
        while not is_over:
            told, is_over = await asyncio.to_thread(_some, table, found, count)
            rest, batch = await asyncio.to_thread(_cut, table, [*rest, *told], is_over=is_over)
            await self._take(tenant_id, batch, count)

    async def _take(self, tenant_id: int, batch: Sequence[Told], count: "_Count") -> None:
        reports = await self._fresh(tenant_id, list(self._allowed(tenant_id, batch, count)), count)
        if not reports or count.is_dry_run:
            return
        await self._ingestion.bring(reports)
        if int(self._telemetry.status().details["reports_in_memory"]) > MEMORY_REPORTS:
            await self._telemetry.seal_due()

    def _allowed(self, tenant_id: int, batch: Sequence[Told], count: "_Count") -> Iterator[Report]:
        """The reports of devices and moments that there can be."""
        latest_at = self._clock() + self._future_tolerance_ms
        for told in batch:
            if not self._registry.has_device(tenant_id, told.device_id):
                count.refuse(Refusal(told.line, f"there is no device {told.device_id[:140]!r}: add it first"))
            elif told.at > latest_at:
                count.refuse(Refusal(told.line, f"{to_text(told.at)} lies in the future"))
            else:
                yield _report(tenant_id, told)

    async def _fresh(self, tenant_id: int, reports: Sequence[Report], count: "_Count") -> list[Report]:
        """What of these is not there yet, in the same order."""
        fresh: dict[int, Report] = {}
        groups: dict[tuple[str, int], list[int]] = {}
        for place, report in enumerate(reports):
            groups.setdefault((report.device_id, report.at // DAY_MS), []).append(place)
        for (device_id, _), places in groups.items():
            moments = [reports[place].at for place in places]
            stored = await self._telemetry.reports(tenant_id, device_id, min(moments), max(moments) + 1)
            lefts = await asyncio.to_thread(_lefts, stored, [reports[place] for place in places])
            for place, left in zip(places, lefts, strict=True):
                count.duplicates += len(reports[place].values) - (len(left.values) if left else 0)
                if left is not None:
                    count.readings += len(left.values)
                    fresh[place] = left
        return [fresh[place] for place in sorted(fresh)]


class _Count:
    """What has come of the rows so far."""

    def __init__(self, is_dry_run: bool) -> None:  # noqa: FBT001  kept as it is told
        self.is_dry_run = is_dry_run
        self.rows = self.readings = self.duplicates = self.refused = 0
        self._refused: list[Refusal] = []

    def refuse(self, refusal: Refusal) -> None:
        self.refused += 1
        if len(self._refused) < REFUSALS_TOLD:
            self._refused.append(refusal)

    def tally(self) -> Tally:
        told = tuple(sorted(self._refused, key=lambda refusal: refusal.line))
        return Tally(self.is_dry_run, self.rows, self.readings, self.duplicates, self.refused, told)


class _Known:
    """What was there of some moments of a device before, and what of the table was taken since."""

    def __init__(self, stored: Iterable[Report], moments: set[int]) -> None:
        self._stored: dict[int, list[Report]] = {}
        for report in stored:
            if report.at in moments:
                self._stored.setdefault(report.at, []).append(report)
        self._earlier: dict[int, Earlier] = {}

    def left_of(self, report: Report) -> Report | None:
        """What of a report is not there yet; None when all of it is."""
        stored = self._stored.get(report.at, [])
        if report.sequence is None and any(_holds(one, report) for one in stored):
            return None
        earlier = self._earlier.get(report.at)
        if earlier is None:
            earlier = self._earlier[report.at] = Earlier(map(identity_of, stored))
        repeated, _ = earlier.repeated(report)
        earlier.add(identity_of(report))
        if not repeated:
            return report
        values = {metric: value for metric, value in report.values.items() if metric not in repeated}
        return msgspec.structs.replace(report, values=values) if values else None


def _lefts(stored: Sequence[Report], reports: Sequence[Report]) -> list[Report | None]:
    """What of each report is not there yet. Runs in a thread."""
    known = _Known(stored, {report.at for report in reports})
    return [known.left_of(report) for report in reports]


def _holds(stored: Report, report: Report) -> bool:
    """Whether every reading of a report is in another one."""
    mine = stored.values
    return all(metric in mine and repr(mine[metric]) == repr(value) for metric, value in report.values.items())


def _some(table: Table, found: Iterator[Cells], count: _Count) -> tuple[list[Told], bool]:
    """What the next rows tell, and whether they were the last. Runs in a thread."""
    told: list[Told] = []
    taken, line = 0, 1
    try:
        for row in islice(found, BATCH_ROWS):
            taken, line = taken + 1, row[0]
            each = table.told(row)
            if isinstance(each, Refusal):
                count.refuse(each)
            elif each is not None:
                told.append(each)
    except InvalidReadingsError as error:
        count.refuse(Refusal(line, f"{error}; nothing after it was looked at"))
        return told, True
    finally:
        count.rows += taken
    return told, taken < BATCH_ROWS


def _cut(table: Table, told: Sequence[Told], *, is_over: bool) -> tuple[list[Told], list[Told]]:
    """The rows of the last moment, which may go on, and the reports before it."""
    keep = len(told)
    while not is_over and keep and _moment(told[keep - 1]) == _moment(told[-1]):
        keep -= 1
    batch = table.reports(told[:keep])
    return list(told[keep:]), batch


def _moment(told: Told) -> tuple[str, int]:
    return told.device_id, told.at


def _report(tenant_id: int, told: Told) -> Report:
    return Report(
        tenant_id,
        told.device_id,
        told.at,
        told.at if told.arrived_at is None else told.arrived_at,
        TimeSource.DEVICE if told.time_source is None else told.time_source,
        f"sensors/{told.device_id}/telemetry" if told.topic is None else told.topic,
        "" if told.client_id is None else told.client_id,
        told.values,
        told.sequence,
    )
