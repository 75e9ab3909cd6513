"""Day files as they are read: chunks out of them, unpacked, and whatever of them was damaged.

Everything here but `note_damage` and `damages` is called in a thread.
"""

import logging
from collections.abc import Callable, Collection, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from appliance.instant import DAY_MS
from appliance.store.folder import DatabaseFolder
from appliance.telemetry import queries
from appliance.telemetry.chunk import Header, header
from appliance.telemetry.day_file import DamagedDayError, DayDevice, StoredChunk, day_number
from appliance.telemetry.days.missing import Missing
from appliance.telemetry.days.queries import read_chunks_of_many, read_devices, read_order
from appliance.telemetry.days.recent import RecentGlances
from appliance.telemetry.glance import Glance
from appliance.telemetry.keeping.model import Listed
from appliance.telemetry.merge import Part, Readings, merge, newest
from appliance.telemetry.model import Report, Series
from appliance.telemetry.packing import ChunkError
from appliance.telemetry.rows import Rows
from appliance.telemetry.wanted import Check

T = TypeVar("T")
SeenOfChunk = TypeVar("SeenOfChunk", Glance, Header)

RECENT_BYTES = 24 * 1024 * 1024
"""Of what was asked for lately: enough for a day of one series of twenty devices."""
_FEW_DAYS = 8


class _EveryMetric(Container[str]):
    """All there are, whatever they are called."""

    def __contains__(self, _metric: object) -> bool:
        return True


_EVERY_METRIC = _EveryMetric()

log = logging.getLogger(__name__)


Covered = dict[tuple[int, str, int], int]
"""By tenant, device and day: the log id up to which everything is in the day file."""


class Seen(NamedTuple, Generic[SeenOfChunk]):
    """What is seen of a device in its chunks of a day."""

    device: tuple[int, str]
    chunks: list[SeenOfChunk]
    is_whole: bool
    """The day is there, and all of its chunks that were asked for could be read."""


@dataclass
class Survey:
    """What the day files know."""

    covered: Covered
    latest: dict[tuple[int, str], DayDevice]
    """By tenant and device: whatever was written last of it."""
    damages: list[str]
    highest_log_id: int
    last_log_ids: dict[int, int]
    """By day: the newest log id of which anything is in its chunks."""
    returned: set[tuple[int, str]]
    """Devices that were erased and of which a file still has something, as a copy from a backup does."""


class Days:
    """The day files of a folder. Days are counted since 1970, in UTC."""

    def __init__(self, files: DatabaseFolder) -> None:
        self._files = files
        self.damages: set[str] = set()
        """What was damaged, in words."""
        self.missing = Missing()
        """The days whose answers may lack something for it."""
        self.touched: set[int] = set()
        """Days of which something was read."""
        self._recent = RecentGlances(RECENT_BYTES)
        self.erased: dict[tuple[int, str], int] = {}
        """By tenant and device: the log id up to which nothing is given any more."""
        self.erased_before: tuple[Listed, ...] = ()
        """What was erased once and is here again, out of a backup: it is to be erased again."""

    def path(self, day: int) -> Path:
        """Where the file of a day lies, whether or not it exists."""
        return self._files.path(queries.day_name(day))

    def numbers(self) -> list[int]:
        """The days that have a file, newest first."""
        return [day_number(path) for path in queries.day_paths(self._files.folder)]

    def between(self, _check: Check, start: int, end: int, memory: Sequence[Rows]) -> list[int]:
        """The days of a range that hold anything, newest first."""
        days = {part.day for part in memory}
        asked = range(start // DAY_MS, (end - 1) // DAY_MS + 1)
        if len(asked) <= _FEW_DAYS:
            # To look for a few names takes less than to read all there are.
            days.update(day for day in asked if queries.has_day(self.path(day)))
        else:
            days.update(self.numbers())
        return sorted((day for day in days if day * DAY_MS < end and (day + 1) * DAY_MS > start), reverse=True)

    def series(
        self,
        check: Check,
        device: tuple[int, str],
        metrics: Sequence[str],
        span: tuple[int, int],
        limit: int,
        memory: Sequence[Rows],
    ) -> list[Series]:
        """The newest readings of a device within a span, those in memory too, at most so many of each metric."""
        days: list[dict[str, Readings]] = []
        for day in self.between(check, *span, memory):
            parts = [part for part in memory if part.day == day]
            days.append(self.readings(check, device, day, metrics, span, parts))
            if all(sum(len(read[metric].at) for read in days) > limit for metric in metrics):
                break
        check()
        return [newest(metric, [read[metric] for read in reversed(days)], limit) for metric in metrics]

    def readings(
        self,
        check: Check,
        device: tuple[int, str],
        day: int,
        metrics: Sequence[str],
        span: tuple[int, int],
        memory: Sequence[Rows],
    ) -> dict[str, Readings]:
        """The readings of a device on one day within a span, those in memory too."""
        [sealed] = self._looked_at(check, [device], day, span, lambda blob: self._recent.look(blob, metrics))
        return merge([*sealed.chunks, *memory], metrics, *span, check)

    def looked_at(
        self,
        check: Check,
        device: tuple[int, str],
        day: int,
        span: tuple[int, int],
        memory: Sequence[Rows],
        look: Callable[[Check, Sequence[Part]], T],
    ) -> T:
        """What a function makes of whatever may hold reports of a device within a span of a day, that in memory too.

        Of chunks the moments are unpacked, and the rest of those that it asks for.
        """
        [sealed] = self._looked_at(check, [device], day, span, lambda blob: Glance(blob, ()))
        return look(check, [*sealed.chunks, *memory])

    def in_order(self, _check: Check, day: int, devices: Collection[tuple[int, str]]) -> list[tuple[int, str]]:
        """Devices in the order in which their chunks lie on a day: those side by side are quickly read together."""
        return read_order(self.path(day), devices)

    def glances(
        self, check: Check, devices: Collection[tuple[int, str]], day: int, span: tuple[int, int]
    ) -> Iterator[Seen[Glance]]:
        """Of each of many devices what is seen of every metric in its chunks of a day that reach into a span."""
        return self._looked_at(check, devices, day, span, lambda blob: Glance(blob, _EVERY_METRIC))

    def headers(
        self, check: Check, devices: Collection[tuple[int, str]], day: int, span: tuple[int, int]
    ) -> Iterator[Seen[Header]]:
        """What the same chunks say of themselves: nothing of them is unpacked."""
        return self._looked_at(check, devices, day, span, header)

    def last_log_ids(self, day: int) -> dict[tuple[int, str], int]:
        """Of each device of a day: the log id up to which everything is in its chunks. Raises `ChunkError`."""
        found: dict[tuple[int, str], int] = {}
        for each in read_devices(self.path(day)):
            device = (each.tenant_id, each.device_id)
            found[device] = max(each.newest_log_id, found.get(device, 0))
        return found

    def is_erased(self, report: Report, log_id: int) -> bool:
        """Whether a report of a log record is not given any more."""
        return log_id <= self.erased.get((report.tenant_id, report.device_id), 0)

    def erase(self, device: tuple[int, str], through_log_id: int) -> None:
        """Give nothing any more of what was received of a device up to a log id."""
        self.erased[device] = through_log_id
        self._recent.forget()

    def note_damage(self, what: str, day: int | None = None, device: tuple[int, str] | None = None) -> None:
        """Tell of damage, once; of a day, or of one device of it, whose readings are missing for it."""
        if day is not None:
            self.missing.note(day, device)
        if what not in self.damages:
            self.damages.add(what)
            log.error("stored readings were damaged where=%s", what)

    def _looked_at(
        self,
        check: Check,
        devices: Collection[tuple[int, str]],
        day: int,
        span: tuple[int, int],
        look: Callable[[bytes], SeenOfChunk],
    ) -> Iterator[Seen[SeenOfChunk]]:
        """Devices with what is seen in their chunks, but for those that are damaged or being erased."""
        check()
        path = self.path(day)
        self.touched.add(day)
        found, is_day_whole = self._chunks(day, devices, span)
        for device, chunks in found.items():
            seen: list[SeenOfChunk] = []
            is_whole = is_day_whole
            erased_through = self.erased.get(device, 0)
            for chunk_id, blob in chunks:
                check()
                try:
                    each = look(blob)
                except ChunkError as error:
                    self.note_damage(f"{queries.place_of(path, chunk_id)}: {error}", day, device)
                    is_whole = False
                    continue
                if each.last_log_id > erased_through:
                    seen.append(each)
            yield Seen(device, seen, is_whole)

    def _chunks(
        self, day: int, devices: Collection[tuple[int, str]], span: tuple[int, int]
    ) -> tuple[Mapping[tuple[int, str], list[StoredChunk]], bool]:
        """The chunks of devices, and whether the day is there and these are all."""
        found: dict[tuple[int, str], list[StoredChunk]] = {device: [] for device in devices}
        path = self.path(day)
        if not queries.has_day(path):
            return found, False
        try:
            read_chunks_of_many(path, found, *span)
        except DamagedDayError as error:
            self.note_damage(str(error), day)
            return found, False
        return found, True


def surveyed(paths: Sequence[Path], oldest_log_id: int | None, erased: Mapping[tuple[int, str], Listed]) -> Survey:
    """What the day files know: how far they cover the log, and the newest values. Runs in a thread."""
    survey = Survey({}, {}, [], 0, {}, set())
    for path in paths:
        try:
            devices = read_devices(path)
        except ChunkError as error:
            survey.damages.append(str(error))
            continue
        day = day_number(path)
        survey.last_log_ids[day] = max((device.last_log_id for device in devices), default=0)
        for device in devices:
            survey.highest_log_id = max(survey.highest_log_id, device.latest_log_id)
            gone = erased.get((device.tenant_id, device.device_id))
            if gone is not None and device.last_log_id <= gone.through_log_id:
                survey.returned.add((device.tenant_id, device.device_id))
            if oldest_log_id is not None and device.last_log_id >= oldest_log_id:
                key = device.tenant_id, device.device_id, day
                survey.covered[key] = max(survey.covered.get(key, 0), device.last_log_id)
            known = survey.latest.get((device.tenant_id, device.device_id))
            if known is None or device.latest_log_id > known.latest_log_id:
                survey.latest[device.tenant_id, device.device_id] = device
    return survey
