"""Day files as they are read: chunks out of them, unpacked, and whatever of them was damaged.

Everything here but `note_damage` and `damages` is called in a thread.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.instant import DAY_MS
from appliance.store.folder import DatabaseFolder
from appliance.telemetry import chunk, queries
from appliance.telemetry.merge import Readings, merge
from appliance.telemetry.packing import ChunkError
from appliance.telemetry.queries import DamagedDayError, DayDevice, StoredChunk
from appliance.telemetry.rows import Rows

log = logging.getLogger(__name__)


Covered = dict[tuple[int, str, int], int]
"""By tenant, device and day: the log id up to which everything is in the day file."""


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


class Days:
    """The day files of a folder. Days are counted since 1970, in UTC."""

    def __init__(self, files: DatabaseFolder) -> None:
        self._files = files
        self.damages: set[str] = set()
        """What was damaged, in words."""
        self.touched: set[int] = set()
        """Days of which something was read."""
        self.erased: dict[tuple[int, str], int] = {}
        """By tenant and device: the log id up to which nothing is given any more."""

    def path(self, day: int) -> Path:
        """Where the file of a day lies, whether or not it exists."""
        return self._files.path(queries.day_name(day))

    def numbers(self) -> list[int]:
        """The days that have a file, newest first."""
        return [queries.day_number(path) for path in queries.day_paths(self._files.folder)]

    def between(self, start: int, end: int, memory: Sequence[Rows]) -> list[int]:
        """The days of a range that hold anything, newest first."""
        days = {part.day for part in memory} | set(self.numbers())
        return sorted((day for day in days if day * DAY_MS < end and (day + 1) * DAY_MS > start), reverse=True)

    def readings(
        self, device: tuple[int, str], day: int, metrics: Sequence[str], span: tuple[int, int], memory: Sequence[Rows]
    ) -> dict[str, Readings]:
        """The readings of a device on one day within a span, those in memory too."""
        path = self.path(day)
        blobs = self._blobs(device, day, span)
        sealed = self._decoded(blobs, metrics, path)
        return merge([*sealed, *memory], metrics, *span, lambda: [*self._decoded(blobs, None, path), *memory])

    def rows(self, device: tuple[int, str], day: int, span: tuple[int, int]) -> list[Rows]:
        """The chunks of a day that may hold readings of a device within a span, unpacked whole."""
        return self._decoded(self._blobs(device, day, span), None, self.path(day))

    def last_log_ids(self, day: int) -> dict[tuple[int, str], int]:
        """Of each device of a day: the log id up to which everything is in its chunks. Raises `ChunkError`."""
        found: dict[tuple[int, str], int] = {}
        for each in queries.read_devices(self.path(day)):
            device = (each.tenant_id, each.device_id)
            found[device] = max(each.last_log_id, found.get(device, 0))
        return found

    def note_damage(self, what: str) -> None:
        """Tell of damage, once."""
        if what not in self.damages:
            self.damages.add(what)
            log.error("stored readings were damaged where=%s", what)

    def _blobs(self, device: tuple[int, str], day: int, span: tuple[int, int]) -> list[StoredChunk]:
        path = self.path(day)
        self.touched.add(day)
        if not queries.has_day(path):
            return []
        try:
            return queries.read_chunks(path, *device, *span)
        except DamagedDayError as error:
            self.note_damage(str(error))
            return error.chunks

    def _decoded(self, blobs: Sequence[StoredChunk], metrics: Sequence[str] | None, path: Path) -> list[Rows]:
        decoded = []
        for chunk_id, blob in blobs:
            try:
                decoded.append(chunk.decode(blob, metrics))
            except ChunkError as error:
                self.note_damage(f"{queries.place_of(path, chunk_id)}: {error}")
        return [rows for rows in decoded if rows.last_log_id > self.erased.get((rows.tenant_id, rows.device_id), 0)]


def surveyed(paths: Sequence[Path], oldest_log_id: int | None) -> Survey:
    """What the day files know: how far they cover the log, and the newest values. Runs in a thread."""
    survey = Survey({}, {}, [], 0, {})
    for path in paths:
        try:
            devices = queries.read_devices(path)
        except ChunkError as error:
            survey.damages.append(str(error))
            continue
        day = queries.day_number(path)
        survey.last_log_ids[day] = max((device.last_log_id for device in devices), default=0)
        for device in devices:
            survey.highest_log_id = max(survey.highest_log_id, device.latest_log_id)
            if oldest_log_id is not None and device.last_log_id >= oldest_log_id:
                key = device.tenant_id, device.device_id, day
                survey.covered[key] = max(survey.covered.get(key, 0), device.last_log_id)
            known = survey.latest.get((device.tenant_id, device.device_id))
            if known is None or device.latest_log_id > known.latest_log_id:
                survey.latest[device.tenant_id, device.device_id] = device
    return survey
