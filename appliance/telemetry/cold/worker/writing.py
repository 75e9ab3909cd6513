"""How a day becomes a Parquet file: whole and on the disk beside its place, or not at all.

Each device is written for itself, so what lies in memory does not grow with the day.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec

from appliance.instant import DAY_MS
from appliance.telemetry import chunk
from appliance.telemetry.cold import table
from appliance.telemetry.cold.shelf import files
from appliance.telemetry.cold.worker.model import Device, Export, Without, Written
from appliance.telemetry.cold.worker.parquet import DAMAGED, EVER, File, Origin, Writer, hours_of
from appliance.telemetry.keeping import sealed_day
from appliance.telemetry.keeping.layout import DeviceEntry
from appliance.telemetry.keeping.sealed_day import SealedDay
from appliance.telemetry.model import Report
from appliance.telemetry.packing import ChunkError

MANY_REPORTS = 50_000
"""A device that has more on one day is written hour by hour."""

Breathe = Callable[[], None]
"""Called after each piece of work."""


def export(request: Export, breathe: Breathe) -> Written:
    """Write the Parquet file of a sealed day. Raises `ChunkError`, `OSError`, `ValueError`."""
    target = Path(request.target)
    with ExitStack() as stack:
        sealed = _Sealed(stack.enter_context(sealed_day.opened(Path(request.sealed))))
        older = _older(stack, request)
        kept = set(older.devices()) - set(request.left_out) if older else set()
        writer = stack.enter_context(Writer(target))
        extra_count = 0
        for device in sorted({*sealed.entries, *kept}):
            number = 0
            has_many = sealed.count(device) > MANY_REPORTS
            windows = sealed.hours() if has_many else older.windows(device) if older and device in kept else [EVER]
            for start, end in windows:
                new = table.distinct(sealed.reports(device, start, end))
                whole = new
                if older and device in kept:
                    # What was received first comes first, and of two deliveries the first counts.
                    whole = table.distinct([*older.reports(device, start, end), *new])
                extra_count += len(whole) - len(new)
                number = writer.add(whole, number)
                breathe()
            writer.end_device()
        writer.origin = Origin(request.source, request.erasure_number, extra_count)
    told = _finished(target, writer.reading_count, sealed.unreadable_count)
    lost_count = older.lost_count if older else int(request.older is not None)
    return msgspec.structs.replace(told, lost_count=lost_count)


def without(request: Without, breathe: Breathe) -> Written:
    """Write a Parquet file anew without some devices. Raises `OSError`, `ValueError`."""
    path, target = Path(request.path), Path(request.target)
    try:
        older = File(path, is_doubted=request.is_doubted)
    except DAMAGED as error:
        if not request.is_doubted or is_of_the_disk(error):
            raise
        # Nothing of it can be read, and nobody can say that what is to go is not in it.
        return Written(0, lost_count=1)
    with older:
        if not request.is_doubted and set(older.devices()).isdisjoint(request.left_out):
            return Written(0, is_unchanged=True)
        return _rest(older, request, target, breathe)


def _rest(older: File, request: Without, target: Path, breathe: Breathe) -> Written:
    with Writer(target) as writer:
        for device in older.devices():
            if device in request.left_out:
                continue
            number = 0
            for start, end in older.windows(device):
                number = writer.add(older.reports(device, start, end), number)
                breathe()
            writer.end_device()
        writer.origin = older.origin._replace(erasure_number=request.erasure_number)
    return msgspec.structs.replace(_finished(target, writer.reading_count, 0), lost_count=older.lost_count)


def described(path: Path) -> Written:
    """What a file holds."""
    with File(path) as file:
        return Written(
            file.reading_count,
            path.stat().st_size,
            files.sha256_of(path),
            extra_count=file.origin.extra_count,
            source=file.origin.source,
            erasure_number=file.origin.erasure_number,
            arrivals=file.arrivals() if file.reading_count else (0, 0),
        )


def is_of_the_disk(error: Exception) -> bool:
    """Whether the system said that something cannot be done, and not the library that something is damaged."""
    return getattr(error, "errno", None) is not None


def _older(stack: ExitStack, request: Export) -> File | None:
    """The older file, if there is one of which anything can be read."""
    if request.older is None:
        return None
    try:
        return stack.enter_context(File(Path(request.older), is_doubted=request.is_doubted))
    except DAMAGED as error:
        if not request.is_doubted or is_of_the_disk(error):
            raise
        return None


class _Sealed:
    """A sealed day, by its devices."""

    def __init__(self, day: SealedDay) -> None:
        self._day = day
        self.unreadable_count = 0
        self.entries: dict[Device, DeviceEntry] = {(each.tenant_id, each.device_id): each for each in day.entries()}

    def count(self, device: Device) -> int:
        """How many reports a device has, redeliveries counted."""
        entry = self.entries.get(device)
        return sum(extent.report_count for extent in entry.extents) if entry else 0

    def hours(self) -> list[tuple[int, int]]:
        """The hours of the day."""
        return hours_of(self._day.head.day * DAY_MS)

    def reports(self, device: Device, start: int, end: int) -> list[Report]:
        """The reports of a device with `start <= at < end`, in the order in which they were received."""
        entry = self.entries.get(device)
        return [report for report in self._all(entry, start, end) if start <= report.at < end] if entry else []

    def _all(self, entry: DeviceEntry, start: int, end: int) -> Iterator[Report]:
        wanted = (each for each in entry.extents if each.first_at < end and each.last_at >= start)
        for extent in sorted(wanted, key=lambda each: each.last_log_id):
            try:
                rows = chunk.decode(self._day.blob(extent))
            except ChunkError:
                # Whoever checks the sealed day names it.
                self.unreadable_count += 1
                continue
            yield from rows.reports()


def _finished(target: Path, reading_count: int, unreadable_count: int) -> Written:
    if not reading_count:
        target.unlink()
        return Written(0, unreadable_count=unreadable_count)
    with target.open("rb") as file:
        os.fsync(file.fileno())
    told = described(target)
    if told.reading_count != reading_count:
        raise ChunkError(f"{target.name} has {told.reading_count} readings, {reading_count} were written")
    return msgspec.structs.replace(told, unreadable_count=unreadable_count)
