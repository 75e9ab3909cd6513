"""A sealed day as a file: written once, found under its name only when it is whole, and checked page by page."""

import contextlib
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from appliance.instant import to_text
from appliance.telemetry import chunk
from appliance.telemetry.keeping import layout
from appliance.telemetry.keeping.layout import PAGE_BYTES, DeviceEntry, Extent, Head, Index, padded
from appliance.telemetry.packing import ChunkError

SUFFIX = ".sealed"
UNFINISHED = ".tmp"
"""What stands behind the name of a file that is being written."""

_PAGES_AT_ONCE = 256


def at_once() -> None:
    """What is called between two pieces of work when nobody waits for a pause."""


class Piece(NamedTuple):
    """A chunk on its way into a sealed day."""

    report_count: int
    first_at: int
    last_at: int
    last_log_id: int
    blob: bytes


class KeptDevice(NamedTuple):
    """What a day is to hold of one device."""

    tenant_id: int
    device_id: str
    last_log_id: int
    latest_log_id: int
    last_seen_at: int
    latest: bytes
    pieces: Sequence[Piece]


class Damage(NamedTuple):
    """A page that is not what was written, and what that costs."""

    page: int
    """From 0."""
    page_count: int
    lost: str

    def told(self, name: str) -> str:
        """The damage in words."""
        return f"{name} page {self.page} of {self.page_count}: {self.lost}"


class Written(NamedTuple):
    """A sealed day beside its place."""

    unfinished: Path
    report_count: int


def sealed_path(day_path: Path) -> Path:
    """Where the sealed part of a day lies, from where its open part does."""
    return day_path.with_suffix(SUFFIX)


class SealedDay:
    """A sealed day while its file is open. Made by `opened`; several threads may use it at once."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.name = name
        self._descriptor = file.fileno()
        self._size = os.fstat(self._descriptor).st_size
        self.head = self._head()
        self._foot_at, self.index = self._index()

    @property
    def taken(self) -> int:
        """The identity of the open file that was taken in."""
        return self.head.taken

    def find(self, tenant_id: int, device_id: str) -> DeviceEntry | None:
        """What is there of a device. Raises `ChunkError` when its entry was damaged in both places."""
        for number in self.index.entries_of(layout.key_of(tenant_id, device_id)):
            entry = self._entry(number)
            if (entry.tenant_id, entry.device_id) == (tenant_id, device_id):
                return entry
        return None

    def has(self, tenant_id: int, device_id: str) -> bool:
        """Whether there is anything of a device, as its number of 64 bits tells: its entry is not looked at."""
        return next(iter(self.index.entries_of(layout.key_of(tenant_id, device_id))), None) is not None

    def entries(self) -> Iterator[DeviceEntry]:
        """Every device. Raises `ChunkError` at one whose entry was damaged in both places."""
        return (self._entry(number) for number in range(len(self.index.keys)))

    def readable_entries(self) -> Iterator[DeviceEntry]:
        """Every device but those whose entry was damaged in both places."""
        for number in range(len(self.index.keys)):
            with contextlib.suppress(ChunkError):
                yield self._entry(number)

    def blob(self, extent: Extent) -> bytes:
        """A chunk as it lies there: it carries its own checksum."""
        return self._read(extent.offset, extent.length)

    def latest(self, entry: DeviceEntry) -> bytes:
        """The newest values of a device as they were then. Raises `ChunkError` when they were damaged."""
        record = self._read(entry.latest_offset, entry.latest_length)
        if zlib.crc32(record) != entry.latest_check:
            raise ChunkError(f"{self.name}: the newest values of {entry.device_id} do not match their checksum")
        return record

    def damages(self, breathe: Callable[[], None] = at_once) -> list[Damage]:
        """Every page that is not what was written. Reads the whole file; `breathe` is called now and then."""
        count = self._size // PAGE_BYTES
        found = []
        bad = [page for page in (0, count - 1) if self._page(page) != layout.put_head(self.head)]
        found += [Damage(page, count, "nothing is lost, what it says stands elsewhere once more") for page in bad]
        for page in self._bad_foot_pages():
            found.append(Damage(page, count, "nothing is lost, the directory lies there twice"))
        for page in self._bad_body_pages(breathe):
            found.append(Damage(page, count, self._lost_on(page)))
            breathe()
        return sorted(found)

    def unreadable(self) -> Iterator[str]:
        """The chunks that do not match their own checksum, in words."""
        for entry in self.entries():
            for extent in entry.extents:
                if not _is_good(self.blob(extent)):
                    yield _lost(entry, extent)

    def _read(self, offset: int, length: int) -> bytes:
        try:
            found = os.pread(self._descriptor, length, offset)
        except OSError as error:
            # A disk that fails answers so.
            raise ChunkError(f"{self.name} cannot be read: {error}") from error
        if len(found) != length:
            raise ChunkError(f"{self.name} ends at {self._size}, {length} bytes were expected at {offset}")
        return found

    def _page(self, number: int) -> bytes:
        return self._read(number * PAGE_BYTES, PAGE_BYTES)

    def _head(self) -> Head:
        pages = max(self._size // PAGE_BYTES, 1)
        for number in (0, pages - 1):
            try:
                head = layout.take_head(self._page(number))
            except ChunkError:
                continue
            if head.file_bytes == self._size:
                return head
        raise ChunkError(f"{self.name} is not a sealed day, or was damaged at both its ends")

    def _index(self) -> tuple[int, Index]:
        for place in self.head.foot_places:
            try:
                entries, pages = layout.take_counts(self._read(place, layout.FOOT_HEAD_BYTES))
                end = layout.index_bytes(entries, pages)
                if end <= self.head.foot_bytes:
                    return place, layout.take_index(self._read(place, end))
            except ChunkError:
                continue
        raise ChunkError(f"{self.name}: the directory was damaged in both places")

    def _entry(self, number: int) -> DeviceEntry:
        start, end = self.index.places[number], self.index.places[number + 1]
        for place in self.head.foot_places:
            try:
                return layout.take_entry(self._read(place + start, end - start))
            except ChunkError:
                continue
        raise ChunkError(f"{self.name}: entry {number} of the directory was damaged in both places")

    def _bad_foot_pages(self) -> list[int]:
        size = self.head.foot_bytes
        places = self.head.foot_places
        feet = [self._read(place, padded(size)) for place in places]
        good = [foot for foot in feet if zlib.crc32(foot[:size]) == self.head.foot_check and not any(foot[size:])]
        if not good:
            # Both are damaged: pages that differ are all that can be told.
            good = [feet[1]]
        return [
            (place + offset) // PAGE_BYTES
            for place, foot in zip(places, feet, strict=True)
            for offset in range(0, padded(size), PAGE_BYTES)
            if foot[offset : offset + PAGE_BYTES] != good[0][offset : offset + PAGE_BYTES]
        ]

    def _bad_body_pages(self, breathe: Callable[[], None]) -> list[int]:
        bad = []
        checks = self.index.page_checks
        for first in range(0, len(checks), _PAGES_AT_ONCE):
            breathe()
            some = checks[first : first + _PAGES_AT_ONCE]
            pages = memoryview(self._read(PAGE_BYTES * (1 + first), PAGE_BYTES * len(some)))
            for number, check in enumerate(some):
                if zlib.crc32(pages[number * PAGE_BYTES : (number + 1) * PAGE_BYTES]) != check:
                    bad.append(1 + first + number)
        return bad

    def _lost_on(self, page: int) -> str:
        start, end = page * PAGE_BYTES, (page + 1) * PAGE_BYTES
        lost = []
        for entry in self.entries():
            on_page = [each for each in entry.extents if each.offset < end and each.offset + each.length > start]
            lost += [_lost(entry, each) for each in on_page if not _is_good(self.blob(each))]
            if entry.latest_offset < end and entry.latest_offset + entry.latest_length > start:
                lost += _latest_lost(self, entry)
        return "; ".join(lost) or "nothing is lost, no chunk lies there"


@contextlib.contextmanager
def opened(path: Path) -> Iterator[SealedDay]:
    """Open a sealed day. Raises `ChunkError` when nothing of it can be read."""
    try:
        file = path.open("rb", buffering=0)
    except OSError as error:
        raise ChunkError(f"{path.name} cannot be read: {error}") from error
    with file:
        yield SealedDay(file, path.name)


@contextlib.contextmanager
def opened_if_there(path: Path) -> Iterator[SealedDay | None]:
    """Open a sealed day; None when there is none. Raises `ChunkError` when nothing of it can be read."""
    if not path.exists():
        yield None
        return
    with opened(path) as sealed:
        yield sealed


def write(path: Path, day: int, taken: int, devices: Iterable[KeptDevice]) -> Written:
    """Write a sealed day beside its place and put it on the disk.

    Raises `OSError` when there is no room; nothing of the file stays then, whatever was raised.
    """
    unfinished = path.with_name(path.name + UNFINISHED)
    try:
        return Written(unfinished, _written(unfinished, day, taken, devices))
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def require_whole(written: Written, breathe: Callable[[], None] = at_once) -> Path:
    """Check what was written, and give the file for `settle`. `breathe` is called now and then.

    Raises `ChunkError` when what was written is not what is there; nothing of the file stays then, whatever was
    raised.
    """
    unfinished = written.unfinished
    try:
        _require_there(unfinished, written.report_count, breathe)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    return unfinished


def settle(unfinished: Path, path: Path) -> None:
    """Let a whole file take the place of the one before it: whoever has that one open may read on."""
    unfinished.rename(path)
    sync(path.parent)


def sync(folder: Path) -> None:
    """Put the names in a folder on the disk: what was removed or renamed stays so."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _written(unfinished: Path, day: int, taken: int, devices: Iterable[KeptDevice]) -> int:
    """Write a day and put it on the disk; give how many reports that were."""
    with unfinished.open("wb") as file:
        body = _Body(file)
        entries = []
        expected = 0
        for device in devices:
            entries.append(body.put(device))
            expected += sum(piece.report_count for piece in device.pieces)
        body.end()
        foot = layout.put_foot(entries, body.checks)
        head = layout.put_head(Head(day, taken, body.size, len(foot), zlib.crc32(foot)))
        copy = foot.ljust(padded(len(foot)), b"\0")
        file.write(copy + copy + head)
        file.seek(0)
        file.write(head)
        file.flush()
        os.fsync(file.fileno())
    return expected


def _require_there(unfinished: Path, expected: int, breathe: Callable[[], None]) -> None:
    with opened(unfinished) as written:
        damages = written.damages(breathe)
        there = sum(extent.report_count for entry in written.entries() for extent in entry.extents)
    if damages or there != expected:
        raise ChunkError(f"{unfinished.name} has {there} reports, {expected} were written; damages: {damages}")


class _Body:
    """Chunks and newest values as they are written, with a checksum of each page."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._waiting = bytearray()
        self.checks: list[int] = []
        self.size = 0
        file.write(bytes(PAGE_BYTES))

    def put(self, device: KeptDevice) -> DeviceEntry:
        """Write what a device has, and give where that lies."""
        extents = tuple(Extent(self._put(piece.blob), len(piece.blob), *piece[:4]) for piece in device.pieces)
        latest_at = self._put(device.latest)
        return DeviceEntry(*device[:5], latest_at, len(device.latest), zlib.crc32(device.latest), extents)

    def end(self) -> None:
        """Fill the last page."""
        self._waiting += bytes(padded(self.size) - self.size)
        self._flush()

    def _put(self, blob: bytes) -> int:
        offset = PAGE_BYTES + self.size
        self._waiting += blob
        self.size += len(blob)
        self._flush()
        return offset

    def _flush(self) -> None:
        whole = len(self._waiting) // PAGE_BYTES * PAGE_BYTES
        for start in range(0, whole, PAGE_BYTES):
            self.checks.append(zlib.crc32(memoryview(self._waiting)[start : start + PAGE_BYTES]))
        self._file.write(self._waiting[:whole])
        del self._waiting[:whole]


def _is_good(blob: bytes) -> bool:
    try:
        chunk.header(blob)
    except ChunkError:
        return False
    return True


def _lost(entry: DeviceEntry, extent: Extent) -> str:
    span = f"{to_text(extent.first_at)} to {to_text(extent.last_at)}"
    return f"{extent.report_count} reports of {entry.device_id} from {span} cannot be read"


def _latest_lost(day: SealedDay, entry: DeviceEntry) -> list[str]:
    try:
        day.latest(entry)
    except ChunkError:
        return [f"the newest values of {entry.device_id} of that day cannot be read"]
    return []
