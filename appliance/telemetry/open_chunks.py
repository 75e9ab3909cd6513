"""What was received and is not in a day file yet, in memory: open chunks, newest values, recent values.

Rules:
- An open chunk belongs to one device and one UTC day, and is sealed whole and only between two log
  records. So whatever the log holds of that device and day up to the chunk's last log id is sealed with it,
  and a restart can skip exactly that.
- A chunk that is being sealed stays readable here until it is in its day file.
- Devices are sealed one after the other, in the order that `sealing_order` tells.
"""

from collections.abc import Iterable, Sequence
from itertools import islice
from operator import attrgetter, itemgetter
from sys import intern

from appliance.config import TelemetryConfig
from appliance.instant import DAY_MS, HOUR_MS
from appliance.telemetry.merge import Part
from appliance.telemetry.model import Latest, Report, TimeSource
from appliance.telemetry.newest import Newest
from appliance.telemetry.open_chunk import CELLS_PER_REPORT, METRICS_LIMIT, OpenChunk, OpenDevice
from appliance.telemetry.rows import Identity, Rows
from appliance.telemetry.run import Run
from appliance.telemetry.sealing_order import oldest, turn_at
from appliance.telemetry.sheaf import Group, Sheaf
from appliance.telemetry.strip import NEVER, Strip

LOOKED_AT = 1_000
"""So many reports at most are looked at to find some."""

IDENTITIES_LIMIT = 16
"""Of the reports of one moment, so many are looked at to tell whether another one is new."""

LOOKS = 20
"""How many times chunks that are due are looked for while one is open."""
LOOK_INTERVAL_MS = 30_000
"""But at least as often."""
PRESSING_CELLS = 4_194_304
"""What is not usual and takes so many times the memory of a value, about 32 MB, is not left until the next sealing."""

_NO_STRIPS: dict[str, Strip] = {}


class OpenChunks:
    """Every device that was heard of, and its reports that are not in a day file."""

    def __init__(self, config: TelemetryConfig) -> None:
        self._seal_after_ms = config.seal_after_ms
        self._seal_after_reports = config.seal_after_reports
        self._memory_limit_reports = config.memory_limit_reports
        self._devices: dict[tuple[int, str], OpenDevice] = {}
        self._strips: dict[int, dict[str, Strip]] = {}
        """By tenant and device: where reports are laid that are like those before them."""
        self._by_name: dict[int, list[tuple[str, Newest]]] = {}
        """What is known of the devices of a tenant, as long as none comes or goes."""
        self._expected_at: dict[tuple[int, str], int] = {}
        """The latest moment that is expected of a device that was not heard of yet."""
        self.sealing: list[OpenChunk] = []
        """Chunks on their way to a day file, in the order in which they must get there."""
        self.report_count = 0
        """Reports in open chunks and in those being sealed."""
        self._pressing_cells = 0
        self.last_log_id = 0
        """The newest log record that was taken."""
        self.tenants: set[int] = set()
        self.held: set[int] = set()
        """Days whose chunks stay open: their files are being written anew."""
        self.is_crowded = False
        """Whether held days alone take more than half of what memory may hold: they must be let go."""

    def absorb(self, reports: Sequence[Report], log_id: int, now: int) -> None:
        """Take the reports of one log record. Log ids only ever grow."""
        if isinstance(reports, Sheaf):
            self._absorb_sheaf(reports, log_id, now)
        else:
            for report in reports:
                strip = self._strips.get(report.tenant_id, _NO_STRIPS).get(report.device_id)
                if strip is None or not strip.take(report, log_id):
                    self._absorb_unlike(report, log_id, now)
                elif strip.extra_cells:
                    self._weigh_packed(strip)
        self.report_count += len(reports)
        self.note_log(log_id)

    def _absorb_sheaf(self, sheaf: Sheaf, log_id: int, now: int) -> None:
        """The same of reports of one tenant, most of which are packed: this is the way of nearly all."""
        strips = self._strips.setdefault(sheaf.tenant_id, {})
        shapes = [group.shape if isinstance(group, Group) else None for group in sheaf.groups]
        columns = (sheaf.device_ids, sheaf.rows(), sheaf.at(), sheaf.topics, sheaf.client_ids, sheaf.time_sources)
        for place, (device_id, row, at, topic, client_id, time_source, number) in enumerate(
            zip(*columns, sheaf.numbers, strict=True)
        ):
            strip, shape = strips.get(device_id), shapes[number]
            if (
                strip is None
                or shape is None
                or not strip.take_packed(shape, row, at, topic, client_id, time_source, log_id)
            ):
                self._absorb_unlike(sheaf.report(place, row), log_id, now)
            elif strip.extra_cells:
                self._weigh_packed(strip)

    def _weigh_packed(self, strip: Strip) -> None:
        self._pressing_cells += strip.extra_cells
        strip.target.extra_cells += strip.extra_cells

    def _absorb_unlike(self, report: Report, log_id: int, now: int) -> None:
        """Take a report that is not like those before it; the next one may be like this."""
        device = self.device(report.tenant_id, report.device_id)
        device.newest.strip.end()
        chunk = device.current
        if chunk is None or chunk.rows.day != report.at // DAY_MS:
            chunk = device.current = device.open.get(report.at // DAY_MS) or self._open(device, report, now)
        rows, limit = chunk.rows, self._seal_after_reports
        if rows.count >= limit or (rows.width > METRICS_LIMIT and not report.values.keys() <= rows.names):
            rows = chunk.continue_in_new_part()
            chunk.due_at = now
        rows.append(report, log_id)
        if rows.width > CELLS_PER_REPORT or rows.has_texts:
            self._pressing_cells += chunk.weigh(report)
        chunk.moments.note(report.at)
        device.newest.note(report)
        if chunk.lay_beside(report, limit):
            self._strips.setdefault(device.tenant_id, {})[device.device_id] = device.newest.strip

    def absorb_run(self, run: Run, now: int) -> bool:
        """Take reports of one device as `absorb` would, at once; False if it cannot, then none is taken.

        Reports that come later in the log may be taken before: those of other devices.
        """
        device = self.device(run.first.tenant_id, run.first.device_id)
        device.newest.strip.end()
        chunk = device.open.get(run.first.at // DAY_MS)
        if len(run.columns) > METRICS_LIMIT or len(run.at) > self._seal_after_reports:
            return False
        if chunk is None:
            chunk = self._open(device, run.first, now)
        elif not chunk.takes(run, self._seal_after_reports):
            return False
        rows = chunk.rows
        rows.extend(run)
        if rows.has_texts or len(rows.columns) > CELLS_PER_REPORT:
            self._pressing_cells += chunk.weigh_all(run)
        chunk.moments.note(run.at[0])
        chunk.moments.note(run.at[-1])
        device.newest.note_run(run)
        self.report_count += len(run.at)
        return True

    def note_log(self, log_id: int) -> None:
        """Say that everything up to this log record was taken."""
        self.last_log_id = max(self.last_log_id, log_id)

    def device(self, tenant_id: int, device_id: str) -> OpenDevice:
        """What memory holds of a device; nothing yet if it was not heard of before."""
        device = self._devices.get((tenant_id, device_id))
        if device is None:
            # Under the very name that reports have which are like those before them: it need not be compared then.
            device_id = intern(device_id)
            device = self._devices[tenant_id, device_id] = OpenDevice(tenant_id, device_id)
            device.newest.strip.expected_at = self._expected_at.pop((tenant_id, device_id), NEVER)
            self._by_name.pop(tenant_id, None)
            self.tenants.add(tenant_id)
        return device

    def forget(self, tenant_id: int, device_id: str) -> None:
        """Let go of everything that memory holds of a device."""
        device = self._devices.pop((tenant_id, device_id), None)
        if device is not None:
            self._by_name.pop(tenant_id, None)
            self._strips.get(tenant_id, _NO_STRIPS).pop(device_id, None)
            self.sealing = [chunk for chunk in self.sealing if chunk.device is not device]
            self.report_count -= sum(part.count for part in device.parts())
            expected_at, newest_at = device.newest.strip.expected_at, device.newest.at
            if newest_at is None or expected_at > newest_at:
                # It is on its way still.
                self._expected_at[tenant_id, device_id] = expected_at

    def newest(self, tenant_id: int, device_id: str) -> Newest | None:
        """The newest values of a device; None when it was never heard of."""
        device = self._devices.get((tenant_id, device_id))
        return device.newest if device else None

    def latest_of_all(self, tenant_id: int) -> dict[str, dict[str, Latest]]:
        """The newest reading of every metric of every device of a tenant."""
        return {
            device.device_id: device.newest.latest()
            for device in self._devices.values()
            if device.tenant_id == tenant_id
        }

    def newest_of_all(self, tenant_id: int) -> Sequence[tuple[str, Newest]]:
        """The newest values of every device of a tenant, in the order of their names."""
        known = self._by_name.get(tenant_id)
        if known is None:
            found = [(name, device.newest) for (tenant, name), device in self._devices.items() if tenant == tenant_id]
            known = self._by_name[tenant_id] = sorted(found, key=itemgetter(0))
        return known

    def recent(self, tenant_id: int, device_id: str, metric: str, count: int) -> list[tuple[int, float]]:
        """The newest numbers of a metric that memory holds, oldest first."""
        device = self._devices.get((tenant_id, device_id))
        return device.newest.recent(metric, count, device.parts()) if device else []

    def copied_parts(self, tenant_id: int, device_id: str, start: int, end: int) -> list[Rows]:
        """The reports of a device on the days of a range, for another thread to read.

        What grows no more is given as it is, for a device may have thousands of parts.
        """
        device = self._devices.get((tenant_id, device_id))
        if device is None:
            return []
        days = range(start // DAY_MS, (end - 1) // DAY_MS + 1)
        growing = {id(chunk.rows) for chunk in device.open.values()}
        return [part.copy() if id(part) in growing else part for part in device.parts() if part.day in days]

    def arrived(self, tenant_id: int, device_id: str, start: int, end: int) -> list[Rows]:
        """The reports of a device that may have arrived in a span, for another thread to read."""
        device = self._devices.get((tenant_id, device_id))
        parts = device.parts() if device else ()
        return [
            part.copy() for part in parts if part.count and min(part.arrived_at) < end and max(part.arrived_at) >= start
        ]

    def newest_unstamped(self, tenant_id: int, device_id: str, start: int, end: int, count: int) -> list[Identity]:
        """What tells the newest reports of a device from all others, of those filed under an arrival in a span.

        As many as are wanted, or as a look at the last `LOOKED_AT` finds.
        """
        device = self._devices.get((tenant_id, device_id))
        parts = [*device.parts()] if device else []
        last = ((part, row) for part in reversed(parts) for row in range(part.count - 1, -1, -1))
        found = (
            part.identity(row)
            for part, row in islice(last, LOOKED_AT)
            if start <= part.arrived_at[row] < end and part.time_sources.at(row) is not TimeSource.DEVICE
        )
        return list(islice(found, count))

    def expect(self, tenant_id: int, device_id: str, at: int) -> bool:
        """Whether a moment is later than all that memory holds of its device, and than all that was expected before.

        From now on it is expected: a report of that moment was decided about, and is on its way.
        """
        key, device = (tenant_id, device_id), self._devices.get((tenant_id, device_id))
        if device is None:
            is_later = at > self._expected_at.get(key, NEVER)
            if is_later:
                self._expected_at[key] = at
            return is_later
        strip, newest_at = device.newest.strip, device.newest.at
        if at <= strip.expected_at:
            return False
        strip.expected_at = at
        return newest_at is None or at > newest_at

    def expect_all(self, sheaf: Sheaf) -> int:
        """Expect reports of a sheaf, from the first on, as long as they are later; give how many these are.

        It may end before one that a strip would not take: `expect` tells about any.
        """
        strips, count = self._strips.get(sheaf.tenant_id, _NO_STRIPS), 0
        for device_id, at in zip(sheaf.device_ids, sheaf.at(), strict=True):
            strip = strips.get(device_id)
            if strip is None or not (strip.expected_at < at < strip.ends_at and strip.newest_at < at):
                break
            strip.expected_at = at
            count += 1
        return count

    def identities_at(self, tenant_id: int, device_id: str, at: int) -> list[Identity]:
        """What tells the reports of a device and moment from all others, as far as memory holds them.

        In the order of the log; of very many the first.
        """
        device = self._devices.get((tenant_id, device_id))
        if device is None or device.newest.at is None or at > device.newest.at:
            return []
        device.newest.strip.settle()
        day = at // DAY_MS
        chunks = [chunk for chunk in device.sealing if chunk.day == day]
        if day in device.open:
            chunks.append(device.open[day])
        rows = [place for chunk in chunks for place in chunk.moments.rows_at(at, IDENTITIES_LIMIT)]
        return [part.identity(row) for part, row in rows[:IDENTITIES_LIMIT]]

    def hours(self, tenant_id: int, device_id: str) -> set[int]:
        """The hours, counted since 1970, of which memory holds reports of a device."""
        device = self._devices.get((tenant_id, device_id))
        return hours_of(device.parts()) if device else set()

    def oldest_needed_by_day(self) -> dict[int, int]:
        """By day: the oldest log id of what memory holds of it."""
        oldest: dict[int, int] = {}
        for chunk in [*self.sealing, *(chunk for device in self._devices.values() for chunk in device.open.values())]:
            oldest[chunk.day] = min(chunk.first_log_id, oldest.get(chunk.day, chunk.first_log_id))
        return oldest

    def begin_sealing(self, now: int) -> None:
        """Let go of the chunks that are due, and of the oldest ones while memory holds too much."""
        self._pressing_cells = 0
        every = [chunk for device in self._devices.values() for chunk in device.open.values()]
        open_chunks = [chunk for chunk in every if chunk.day not in self.held]
        waiting = [chunk.weight for chunk in (*every, *self.sealing) if chunk.day in self.held]
        self.is_crowded = sum(waiting) > self._memory_limit_reports // 2
        # A clock that was set back must not keep a chunk open: what was opened later than now is due.
        full = self._seal_after_reports
        due = [each for each in open_chunks if not each.opened_at <= now < each.due_at or each.rows.count >= full]
        held = self.report_count + sum([chunk.surcharge for chunk in (*every, *self.sealing)])
        excess = held - sum([chunk.weight for chunk in due]) - self._memory_limit_reports
        due += list(oldest(open_chunks, due, excess))
        for chunk in due:
            chunk.device.sealed_at = now
        self._seal(due)

    def begin_sealing_all(self) -> None:
        """Let go of every open chunk."""
        self._seal([chunk for device in self._devices.values() for chunk in device.open.values()])

    def finish_sealing(self, chunks: Sequence[OpenChunk]) -> None:
        """Forget chunks that are in their day file now, whichever of those being sealed they are."""
        done = set(map(id, chunks))
        self.sealing = [chunk for chunk in self.sealing if id(chunk) not in done]
        for chunk in chunks:
            chunk.device.sealing.remove(chunk)
            chunk.device.newest.remember(chunk.last_numbers())
            self.report_count -= chunk.report_count

    def oldest_needed(self) -> int:
        """The oldest log id that must stay: every record before it is sealed whole."""
        needed = [chunk.first_log_id for device in self._devices.values() for chunk in device.open.values()]
        needed += [chunk.first_log_id for chunk in self.sealing]
        return min(needed, default=self.last_log_id + 1)

    @property
    def look_interval_ms(self) -> int:
        """How often chunks that are due should be looked for. Each time some pages are written half full."""
        return min(LOOK_INTERVAL_MS, max(1, self._seal_after_ms // LOOKS))

    @property
    def is_pressing(self) -> bool:
        """Whether so much came since sealing last began that it should not be waited for."""
        return self._pressing_cells >= PRESSING_CELLS

    @property
    def open_count(self) -> int:
        """How many chunks are open."""
        return sum(len(device.open) for device in self._devices.values())

    def _open(self, device: OpenDevice, report: Report, now: int) -> OpenChunk:
        turn = turn_at(device.rank, device.sealed_at, now, self._seal_after_ms)
        rows = Rows(device.tenant_id, device.device_id, report.at // DAY_MS)
        return device.open.setdefault(rows.day, OpenChunk(device, rows, now, turn))

    def _seal(self, chunks: list[OpenChunk]) -> None:
        chunks = sorted([chunk for chunk in chunks if chunk.day not in self.held], key=attrgetter("day", "age"))
        for chunk in chunks:
            # From here on others may look, each in a thread of its own.
            chunk.device.newest.strip.end()
            del chunk.device.open[chunk.day]
            chunk.device.current = None
            chunk.device.sealing.append(chunk)
            chunk.closed = chunk.device.newest.closed(self.last_log_id)
        self.sealing += chunks


def hours_of(parts: Iterable[Part]) -> set[int]:
    """The hours, counted since 1970, in which reports lie."""
    hours: set[int] = set()
    for at in (part.at for part in parts if part.at):
        first, last = min(at) // HOUR_MS, max(at) // HOUR_MS
        # Mostly it is one hour, or two: then there is no need to look at each report.
        hours.update((first, last) if last - first <= 1 else {moment // HOUR_MS for moment in at})
    return hours
