"""The bytes of a sealed day: a head, chunks, newest values, a directory twice, and the head once more.

Rules:
- Every page is checked by a checksum that does not lie in it, and whatever leads to chunks lies there twice: a
  damaged page costs what lies in it and nothing else.
- A file is written once and never changed. The format is in docs/reference/chunks.md.
"""

import struct
import zlib
from bisect import bisect_left
from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

from appliance.telemetry.packing import ChunkError, Reader, put_signed, put_text, put_varint

VERSION = 1
PAGE_BYTES = 4_096
"""What a disk loses at once is seldom smaller, and a small day stays small."""

_MAGIC = b"HWDAY\r\n\x1a"
_HEAD = struct.Struct("<8sHiqQQI")
_CHECK = struct.Struct("<I")
_FOOT = struct.Struct("<III")
_KEY = struct.Struct("<Q")
_PLACE = struct.Struct("<I")


class Head(NamedTuple):
    """What a sealed day says of itself, on its first page and on its last."""

    day: int
    taken: int
    """The identity of the open file that was taken into this one; 0 for none."""
    body_bytes: int
    """Chunks and newest values, from the second page on."""
    foot_bytes: int
    foot_check: int

    @property
    def foot_places(self) -> tuple[int, int]:
        """Where the directory lies, and where its copy does."""
        first = PAGE_BYTES + padded(self.body_bytes)
        return first, first + padded(self.foot_bytes)

    @property
    def file_bytes(self) -> int:
        """How long the file is."""
        return self.foot_places[1] + padded(self.foot_bytes) + PAGE_BYTES


class Extent(NamedTuple):
    """A chunk in a sealed day."""

    offset: int
    """From the start of the file."""
    length: int
    report_count: int
    first_at: int
    last_at: int
    last_log_id: int


class DeviceEntry(NamedTuple):
    """What the directory says of one device."""

    tenant_id: int
    device_id: str
    last_log_id: int
    latest_log_id: int
    last_seen_at: int
    latest_offset: int
    latest_length: int
    latest_check: int
    extents: tuple[Extent, ...]


class Index(NamedTuple):
    """The beginning of the directory: enough to find the entry of a device."""

    keys: Sequence[int]
    """Rising."""
    places: Sequence[int]
    """Where each entry begins in the directory, and where the last one ends."""
    page_checks: Sequence[int]
    """The checksum of each page of chunks and newest values."""

    def entries_of(self, key: int) -> list[int]:
        """The numbers of the entries with a key: nearly always one or none."""
        first = bisect_left(self.keys, key)
        found = []
        while first < len(self.keys) and self.keys[first] == key:
            found.append(first)
            first += 1
        return found


def padded(size: int) -> int:
    """A size in whole pages."""
    return -(-size // PAGE_BYTES) * PAGE_BYTES


def key_of(tenant_id: int, device_id: str) -> int:
    """The number under which the directory holds a device."""
    name = f"{tenant_id}\0{device_id}".encode("utf-8", "surrogatepass")
    (key,) = _KEY.unpack(blake2b(name, digest_size=_KEY.size).digest())
    return int(key)


def put_head(head: Head) -> bytes:
    """The head as a page."""
    packed = _HEAD.pack(_MAGIC, VERSION, *head)
    return (packed + _CHECK.pack(zlib.crc32(packed))).ljust(PAGE_BYTES, b"\0")


def take_head(page: bytes) -> Head:
    """The head on a page. Raises `ChunkError` when the page was damaged or holds none."""
    packed = page[: _HEAD.size]
    if len(page) != PAGE_BYTES or page[_HEAD.size :] != _CHECK.pack(zlib.crc32(packed)).ljust(
        PAGE_BYTES - _HEAD.size, b"\0"
    ):
        raise ChunkError("the head of a sealed day does not match its checksum")
    magic, version, *fields = _HEAD.unpack(packed)
    if magic != _MAGIC or version != VERSION:
        raise ChunkError(f"a sealed day of version {version} is not known, expected {VERSION}")
    return Head(*fields)


def put_foot(entries: Sequence[DeviceEntry], page_checks: Sequence[int]) -> bytes:
    """The directory."""
    keyed = sorted((key_of(entry.tenant_id, entry.device_id), entry) for entry in entries)
    records = [_put_entry(entry) for _, entry in keyed]
    begin = index_bytes(len(entries), len(page_checks))
    places = [begin]
    for record in records:
        places.append(places[-1] + len(record))
    index = (
        struct.pack(f"<{len(keyed)}Q", *(key for key, _ in keyed))
        + struct.pack(f"<{len(places)}I", *places)
        + struct.pack(f"<{len(page_checks)}I", *page_checks)
    )
    return _FOOT.pack(len(entries), len(page_checks), zlib.crc32(index)) + index + b"".join(records)


FOOT_HEAD_BYTES = _FOOT.size


def index_bytes(entry_count: int, page_count: int) -> int:
    """How long the beginning of the directory is."""
    return _FOOT.size + _KEY.size * entry_count + _PLACE.size * (entry_count + 1 + page_count)


def take_counts(foot: bytes) -> tuple[int, int]:
    """How many entries and page checksums a directory has, from its first bytes."""
    if len(foot) < _FOOT.size:
        raise ChunkError("the directory of a sealed day ends too soon")
    entries, pages, _ = _FOOT.unpack_from(foot)
    return entries, pages


def take_index(foot: bytes) -> Index:
    """The beginning of a directory. Raises `ChunkError` when it was damaged."""
    entries, pages = take_counts(foot)
    end = index_bytes(entries, pages)
    if len(foot) < end or zlib.crc32(memoryview(foot)[_FOOT.size : end]) != _FOOT.unpack_from(foot)[2]:
        raise ChunkError("the directory of a sealed day does not match its checksum")
    places_from = _FOOT.size + _KEY.size * entries
    checks_from = places_from + _PLACE.size * (entries + 1)
    # As they lie there: whoever asks for one device needs few of these thousands of numbers.
    view = memoryview(foot)
    return Index(
        view[_FOOT.size : places_from].cast("Q"),
        view[places_from:checks_from].cast("I"),
        view[checks_from : checks_from + _PLACE.size * pages].cast("I"),
    )


def take_entry(record: bytes) -> DeviceEntry:
    """An entry of a directory. Raises `ChunkError` when it was damaged."""
    if len(record) < _CHECK.size or zlib.crc32(memoryview(record)[_CHECK.size :]) != _CHECK.unpack_from(record)[0]:
        raise ChunkError("an entry of a sealed day does not match its checksum")
    reader = Reader(record[_CHECK.size :])
    tenant_id, device_id = reader.signed(), reader.text()
    log_ids = reader.varint(), reader.varint()
    last_seen_at = reader.signed()
    latest = reader.varint(), reader.varint(), reader.varint()
    extents = tuple(_take_extent(reader) for _ in range(reader.varint()))
    reader.end()
    return DeviceEntry(tenant_id, device_id, *log_ids, last_seen_at, *latest, extents)


def _put_entry(entry: DeviceEntry) -> bytes:
    out = bytearray()
    put_signed(out, entry.tenant_id)
    put_text(out, entry.device_id)
    put_varint(out, entry.last_log_id)
    put_varint(out, entry.latest_log_id)
    put_signed(out, entry.last_seen_at)
    for number in (entry.latest_offset, entry.latest_length, entry.latest_check, len(entry.extents)):
        put_varint(out, number)
    for extent in entry.extents:
        put_varint(out, extent.offset)
        put_varint(out, extent.length)
        put_varint(out, extent.report_count)
        put_signed(out, extent.first_at)
        put_varint(out, extent.last_at - extent.first_at)
        put_varint(out, extent.last_log_id)
    return _CHECK.pack(zlib.crc32(out)) + bytes(out)


def _take_extent(reader: Reader) -> Extent:
    offset, length, report_count = reader.varint(), reader.varint(), reader.varint()
    first_at = reader.signed()
    return Extent(offset, length, report_count, first_at, first_at + reader.varint(), reader.varint())
