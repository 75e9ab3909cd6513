"""Takes readings from tables: on the way of all readings, durable before it is answered, each once.

Rules:
- Rows are taken in batches of bounded size, each committed to the log before the next one is looked at: a table may
  have any length, and any number of rows of one moment. What an import that was broken off has taken stays; the same
  table again takes the rest.
- A reading that is there already is not taken again: the same device, moment and sequence number, or, where the table
  tells no number, the same device, moment and values.
- Nobody is alerted: what a table tells is over.
"""

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from functools import partial

from appliance.audit.model import Entry
from appliance.ingestion.importing.known import Known, Moment, lefts, unknown_moments
from appliance.ingestion.importing.model import (
    REFUSALS_TOLD,
    BusyImportingError,
    InvalidReadingsError,
    Refusal,
    Tally,
    Told,
)
from appliance.ingestion.importing.table import Cells, Table, rows, separator
from appliance.ingestion.service import Ingestion
from appliance.instant import DAY_MS, Clock, to_text
from appliance.registry.service import Registry
from appliance.telemetry.exporting.reports import at_moments
from appliance.telemetry.model import Report, TimeSource
from appliance.telemetry.service import Telemetry

BATCH_REPORTS = 1_000
BATCH_READINGS = 10_000
"""A batch is committed as soon as it has so many reports or so many readings."""
TURN_TIMEOUT_S = 20.0
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
        self.turn_timeout_s = TURN_TIMEOUT_S
        """How long a table waits for another one."""
        self._turn = asyncio.Lock()

    async def table(
        self, tenant_id: int, content: str, *, device_id: str = "", first_line: int = 1, is_dry_run: bool
    ) -> Tally:
        """Take a table, or tell what that would do. `first_line` is that of the heading, or what is taken for it.

        One table is taken at a time. Raises `InvalidReadingsError` when its columns are not those of readings,
        `BusyImportingError` when another table has taken too long.
        """
        if "\0" in content[:1024]:
            raise InvalidReadingsError("the file holds bytes that no text has: save it as CSV in UTF-8")
        lines = io.StringIO(content, newline="")
        heading = lines.readline()
        between = separator(heading.removeprefix("\ufeff"))
        columns = next(rows([heading], between), (1, []))[1]
        table = Table(columns, device_id)
        count = _Count(is_dry_run)
        found = rows(lines, between, first_line + 1)
        if is_dry_run:
            await self._take_all(tenant_id, table, found, count)
        else:
            async with self._in_turn():
                await self._take_all(tenant_id, table, found, count)
        if not is_dry_run and count.readings:
            details = {"readings": str(count.readings), "duplicates": str(count.duplicates)}
            await self._registry.audit.record(tenant_id, Entry("telemetry.import", device_id or "readings", details))
        return count.tally()

    @contextlib.asynccontextmanager
    async def _in_turn(self) -> AsyncIterator[None]:
        """Nobody else takes a table meanwhile. One that waits for a full disk does not make others wait with it."""
        try:
            async with asyncio.timeout(self.turn_timeout_s):
                await self._turn.acquire()
        except TimeoutError:
            raise BusyImportingError("another table is being taken: try again later") from None
        try:
            yield
        finally:
            self._turn.release()

    async def _take_all(self, tenant_id: int, table: Table, found: Iterator[Cells], count: "_Count") -> None:
        told = table.reports(_told(table, found, count))
        last: Known | None = None
        while batch := await asyncio.to_thread(_some, told):
            reports = list(self._allowed(tenant_id, batch, count))
            fresh, last = await self._fresh(tenant_id, reports, count, last)
            if fresh and not count.is_dry_run:
                await self._ingestion.bring(fresh)
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
            elif told.arrived_at is not None and told.arrived_at > latest_at:
                count.refuse(Refusal(told.line, f"arrived_at is {to_text(told.arrived_at)}, which lies in the future"))
            else:
                yield _report(tenant_id, told)

    async def _fresh(
        self, tenant_id: int, reports: Sequence[Report], count: "_Count", last: Known | None
    ) -> tuple[list[Report], Known | None]:
        """What of these is not there yet, in the same order, and what is known of the last moment."""
        stored = await self._stored(tenant_id, unknown_moments(reports, last))
        left, last = await asyncio.to_thread(lefts, reports, stored, last)
        fresh = [each for each in left if each is not None]
        reading_count = sum(len(each.values) for each in fresh)
        count.readings += reading_count
        count.duplicates += sum(len(report.values) for report in reports) - reading_count
        return fresh, last

    async def _stored(self, tenant_id: int, moments: Iterable[Moment]) -> Mapping[Moment, Sequence[Report]]:
        """What is there of moments."""
        days: dict[tuple[str, int], set[int]] = {}
        for device_id, at in moments:
            days.setdefault((device_id, at // DAY_MS), set()).add(at)
        stored: dict[Moment, list[Report]] = {}
        for (device_id, _), of_day in days.items():
            look = partial(at_moments, moments=of_day)
            for found in await self._telemetry.looked_at(tenant_id, device_id, min(of_day), max(of_day) + 1, look):
                for report in found:
                    stored.setdefault((device_id, report.at), []).append(report)
        return stored


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


def _told(table: Table, found: Iterator[Cells], count: _Count) -> Iterator[Told]:
    """What the rows tell. It runs in threads, like everything that asks it."""
    line = 1
    try:
        for row in found:
            count.rows += 1
            line = row[0]
            each = table.told(row)
            if isinstance(each, Refusal):
                count.refuse(each)
            elif each is not None:
                yield each
    except InvalidReadingsError as error:
        count.refuse(Refusal(line, f"{error}; nothing after it was looked at"))


def _some(told: Iterator[Told]) -> list[Told]:
    """What is taken together; nothing when it is over. Runs in a thread."""
    batch: list[Told] = []
    reading_count = 0
    for each in told:
        batch.append(each)
        reading_count += len(each.values)
        if len(batch) >= BATCH_REPORTS or reading_count >= BATCH_READINGS:
            break
    return batch


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
