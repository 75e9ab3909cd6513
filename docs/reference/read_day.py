"""Print every report of day files, sealed or open, and name whatever of them is damaged.

    python3 read_day.py 2026-01-31.sealed 2026-01-31.db

This file needs Python 3.11 or newer, and nothing else: no gateway, no package, no other file. So readings outlive what
stored them. It is written after docs/reference/chunks.md, which says what each byte means, and shares no code with the
gateway: what one of them does wrong, the other shows.

Rules:
- Each report is a line of JSON, as an export with details has it (docs/reference/export.md), with its tenant, and with
  `not_finite`, the metrics of which "NaN", "Infinity" or "-Infinity" is a number and no text.
- Files are only read. Whatever does not match its checksum is told on standard error, and the exit status is 1 then.
- Bytes that do not fit raise `DamagedError`, and nothing else.
"""

import argparse
import json
import os
import sqlite3
import struct
import sys
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import datetime, timedelta
from functools import partial
from itertools import accumulate, groupby, pairwise
from operator import attrgetter
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

CHUNK_VERSION = 1
SEALED_VERSION = 1
OPEN_VERSIONS = (1, 2)
PAGE_BYTES = 4_096
COUNT_LIMIT = 1 << 22
SIZE_LIMIT = 1 << 28
TIME_SOURCES = {0: "device", 1: "arrival_no_clock", 2: "arrival_clock_ahead", 3: "arrival_clock_behind"}

_MAGIC = b"HWDAY\r\n\x1a"
_SQLITE_MAGIC = b"SQLite format 3\0"
_HEAD = struct.Struct("<8sHiqQQII")
_DIRECTORY = struct.Struct("<III")
_CHUNK = struct.Struct("<BIIqqq")
_CHECKED_FROM = 5
_CODES = {1: "B", 2: "H", 4: "I", 8: "Q"}
_MISSING = object()
_MIXED = 8
_WORDS = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  every moment is in UTC

Device = tuple[int, str]
"""Tenant and device."""
Tell = Callable[[str], None]
"""Takes what is damaged, in words."""


class DamagedError(ValueError):
    """Bytes are not what was written, or a later release wrote them."""


class Header(NamedTuple):
    """What a chunk says of itself without being unpacked."""

    report_count: int
    first_at: int
    last_at: int
    last_log_id: int


class Report(NamedTuple):
    """What one message brought. Moments are milliseconds since 1970."""

    tenant_id: int
    device_id: str
    at: int
    sequence: int | None
    arrived_at: int
    time_source: str
    topic: str
    client_id: str
    values: dict[str, Any]


class Part(NamedTuple):
    """A day file: what is sealed of a day, or what is open."""

    name: str
    place: str
    """What the places of chunks are."""
    rank: int
    """Of chunks with the same last log id, those of the file with the lesser one come first."""
    read: Callable[[int, int], bytes]
    """Gives the chunk at a place, of so many bytes."""


class Piece(NamedTuple):
    """A chunk where it lies. There may be a million of them."""

    part: Part
    at: int
    size: int
    device: Device
    header: Header


class Source:
    """Takes numbers and texts off the front of some bytes."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._position = 0

    def take(self, size: int) -> bytes:
        """The next bytes."""
        end = self._position + size
        if size < 0 or end > len(self._content):
            raise DamagedError(f"{size} bytes were expected at {self._position}, there are {len(self._content)}")
        piece = self._content[self._position : end]
        self._position = end
        return piece

    def varint(self) -> int:
        """An unsigned number."""
        value = shift = 0
        while True:
            (byte,) = self.take(1)
            value |= (byte & 0x7F) << shift
            if byte < 0x80:  # noqa: PLR2004  the top bit says that more follows
                return value
            shift += 7
            if shift > 63:  # noqa: PLR2004  no number here has more than 64 bits
                raise DamagedError("a number has more than 64 bits")

    def signed(self) -> int:
        """A signed number."""
        value = self.varint()
        return -(value + 1) // 2 if value & 1 else value // 2

    def count(self) -> int:
        """A number of things that are in memory at once."""
        value = self.varint()
        if value > COUNT_LIMIT:
            raise DamagedError(f"a count of {value} cannot be")
        return value

    def piece(self) -> bytes:
        """Bytes with their length before them."""
        return self.take(self.varint())

    def text(self) -> str:
        """A text with its length before it."""
        return _text(self.piece())

    def end(self) -> None:
        """Say that nothing may follow."""
        if self._position != len(self._content):
            raise DamagedError(f"{len(self._content) - self._position} bytes were not expected")


# --- columns -------------------------------------------------------------------------------------


def integers(source: Source, count: int) -> list[int]:
    """So many whole numbers."""
    if not count:
        return []
    (form,) = source.take(1)
    width = form & 0x0F
    if form & ~0x1F or (width and width not in _CODES):
        raise DamagedError(f"integers of form {form} are not known")
    if not form & 0x10:
        lowest = source.signed()
        return [lowest + own for own in _planes(source, count, width)]
    first, lowest = source.signed(), source.signed()
    return list(accumulate((lowest + own for own in _planes(source, count - 1, width)), initial=first))


def column(source: Source, count: int) -> list[Any]:
    """So many values of any kind; `_MISSING` where a report does not name the metric."""
    if not count:
        return []
    (form,) = source.take(1)
    if form != _MIXED:
        return _of_one_kind(source, form, count)
    kinds = integers(source, count)
    found = {kind: iter(_of_one_kind(source, source.take(1)[0], kinds.count(kind))) for kind in sorted(set(kinds))}
    return [next(found[kind]) for kind in kinds]


def _of_one_kind(source: Source, form: int, count: int) -> list[Any]:
    take = _KINDS.get(form)
    if take is None:
        raise DamagedError(f"a column of form {form} is not known")
    return take(source, count)


def _decimals(source: Source, count: int) -> list[float]:
    (places,) = source.take(1)
    if places > 9:  # noqa: PLR2004  there are so many at most
        raise DamagedError(f"{places} decimal places are not known")
    return [whole / 10.0**places for whole in integers(source, count)]


def _texts(source: Source, count: int) -> list[str]:
    lengths = integers(source, source.count())
    if any(length < 0 for length in lengths):
        raise DamagedError("a text has a negative length")
    joined = source.take(sum(lengths))
    texts = [_text(joined[start:end]) for start, end in pairwise(accumulate(lengths, initial=0))]
    places = integers(source, count)
    if any(not 0 <= place < len(texts) for place in places):
        raise DamagedError("a text is named that is not there")
    return [texts[place] for place in places]


_KINDS: Mapping[int, Callable[[Source, int], list[Any]]] = {
    0: lambda _, count: [_MISSING] * count,
    1: lambda _, count: [None] * count,
    2: _decimals,
    3: lambda source, count: list(struct.unpack(f"<{count}d", _interleaved(source, count, 8))),
    4: integers,
    5: lambda source, count: [int.from_bytes(source.piece(), "little", signed=True) for _ in range(count)],
    6: lambda source, count: [number != 0 for number in integers(source, count)],
    7: _texts,
}


def _runs(source: Source, count: int) -> list[Any]:
    """The value of each row, of values that are stored where they change."""
    starts = integers(source, source.count())
    if not starts or starts[0] or starts[-1] >= count or any(one >= other for one, other in pairwise(starts)):
        raise DamagedError("runs of equal values do not cover the rows")
    values = column(source, len(starts))
    spans = pairwise([*starts, count])
    return [value for value, (start, end) in zip(values, spans, strict=True) for _ in range(start, end)]


def _names(source: Source, count: int, device_id: str) -> list[str]:
    return [_absolute(name, device_id) for name in _runs(source, count)]


def _absolute(name: str, device_id: str) -> str:
    before, found, after = name[1:].partition("\0")
    if name[:1] == "L":
        return name[1:]
    if name[:1] != "T" or not found:
        raise DamagedError(f"a name of kind {name[:1]!r} is not known")
    return before + device_id + after


def _planes(source: Source, count: int, width: int) -> Sequence[int]:
    return struct.unpack(f"<{count}{_CODES[width]}", _interleaved(source, count, width)) if width else bytes(count)


def _interleaved(source: Source, count: int, width: int) -> bytes:
    planes = source.take(count * width)
    content = bytearray(len(planes))
    for plane in range(width):
        content[plane::width] = planes[plane * count : (plane + 1) * count]
    return bytes(content)


def _text(content: bytes) -> str:
    return content.decode("utf-8", "surrogatepass")


# --- chunks --------------------------------------------------------------------------------------


def header(chunk: bytes) -> Header:
    """What a chunk says of itself."""
    if len(chunk) < _CHUNK.size:
        raise DamagedError(f"a chunk has {len(chunk)} bytes, expected at least {_CHUNK.size}")
    version, check, *fields = _CHUNK.unpack_from(chunk)
    if version != CHUNK_VERSION:
        raise DamagedError(f"a chunk of version {version} is not known, expected {CHUNK_VERSION}")
    if check != zlib.crc32(chunk[_CHECKED_FROM:]):
        raise DamagedError("a chunk does not match its checksum")
    if not 0 < fields[0] <= COUNT_LIMIT:
        raise DamagedError(f"a chunk of {fields[0]} reports cannot be")
    return Header(*fields)


def owner(chunk: bytes) -> Device:
    """Tenant and device of a chunk."""
    with _told_as_damage():
        source = Source(_inflated(chunk[_CHUNK.size :]))
        return source.signed(), source.text()


def decoded(chunk: bytes) -> list[Report]:
    """The reports of a chunk, in the order in which they were received."""
    count = header(chunk).report_count
    with _told_as_damage():
        source = Source(_inflated(chunk[_CHUNK.size :]))
        tenant_id, device_id = source.signed(), source.text()
        moments = integers(source, count)
        delays = integers(source, count)
        sequences = column(source, count)
        sources = [TIME_SOURCES[number] for number in _runs(source, count)]
        topics = _names(source, count, device_id)
        client_ids = _names(source, count, device_id)
        metrics = {source.text(): _cells(source.piece(), count) for _ in range(source.count())}
        source.end()
    return [
        Report(
            tenant_id,
            device_id,
            moments[row],
            sequences[row],
            moments[row] + delays[row],
            sources[row],
            topics[row],
            client_ids[row],
            {name: cells[row] for name, cells in metrics.items() if cells[row] is not _MISSING},
        )
        for row in range(count)
    ]


def _cells(content: bytes, count: int) -> list[Any]:
    source = Source(content)
    cells = column(source, count)
    source.end()
    return cells


def _inflated(content: bytes) -> bytes:
    stream = zlib.decompressobj()
    found = stream.decompress(content, SIZE_LIMIT)
    if not stream.eof or stream.unused_data:
        raise DamagedError("the compressed bytes end too early or too late")
    return found


@contextmanager
def _told_as_damage() -> Iterator[None]:
    try:
        yield
    except DamagedError:
        raise
    except (ValueError, LookupError, TypeError, OverflowError, struct.error, zlib.error, sqlite3.Error) as error:
        raise DamagedError(str(error)) from error


# --- files ---------------------------------------------------------------------------------------


def sealed_pieces(name: str, file: BinaryIO, tell: Tell) -> tuple[int, list[Piece]]:
    """The identity of the open day that a sealed one took in, and its chunks. Every byte of it is checked."""
    taken, body_bytes, foot_bytes, foot_check = _head(name, file, tell)
    first = PAGE_BYTES + _padded(body_bytes)
    feet = [_at(file, place, _padded(foot_bytes)) for place in (first, first + _padded(foot_bytes))]
    for number, foot in enumerate(feet):
        if zlib.crc32(foot[:foot_bytes]) != foot_check or any(foot[foot_bytes:]):
            page = (first + number * _padded(foot_bytes)) // PAGE_BYTES
            tell(f"{name}: the copy of the directory that begins on page {page} does not match its checksum")
    places, checks = _index(feet)
    for number, check in enumerate(checks, 1):
        if zlib.crc32(_at(file, number * PAGE_BYTES, PAGE_BYTES)) != check:
            tell(f"{name}: page {number} does not match its checksum")
    part = Part(name, "byte", 0, partial(_at, file))
    pieces = []
    for number, (start, end) in enumerate(pairwise(places)):
        try:
            pieces += _pieces_of_entry(part, _entry([foot[start:end] for foot in feet]), tell)
        except DamagedError as error:
            tell(f"{name}: entry {number} of the directory cannot be read: {error}")
    return taken, pieces


def _head(name: str, file: BinaryIO, tell: Tell) -> list[int]:
    size = file.seek(0, os.SEEK_END)
    found = []
    for page in (0, max(size // PAGE_BYTES - 1, 0)):
        content = _at(file, page * PAGE_BYTES, PAGE_BYTES).ljust(PAGE_BYTES, b"\xff")
        magic, version, _, *fields, check = _HEAD.unpack_from(content)
        if magic != _MAGIC or check != zlib.crc32(content[: _HEAD.size - 4]) or any(content[_HEAD.size :]):
            tell(f"{name}: page {page}, a head, does not match its checksum")
        elif version != SEALED_VERSION:
            raise DamagedError(f"a sealed day of version {version} is not known, expected {SEALED_VERSION}")
        else:
            found.append(fields)
    if not found:
        raise DamagedError("this is no sealed day, or both its heads were damaged")
    expected = 2 * PAGE_BYTES + _padded(found[0][1]) + 2 * _padded(found[0][2])
    if size != expected:
        tell(f"{name}: {size} bytes are there, {expected} were written")
    return list(found[0])


def _index(feet: Iterable[bytes]) -> tuple[Sequence[int], Sequence[int]]:
    """Where entries begin in the directory and the last one ends, and the checksums of pages, out of either copy."""
    for foot in feet:
        devices, pages, check = _DIRECTORY.unpack_from(foot.ljust(_DIRECTORY.size, b"\0"))
        end = _DIRECTORY.size + 8 * devices + 4 * (devices + 1 + pages)
        if zlib.crc32(foot[_DIRECTORY.size : end]) == check and len(foot) >= end:
            numbers = struct.unpack_from(f"<{devices + 1 + pages}I", foot, _DIRECTORY.size + 8 * devices)
            return numbers[: devices + 1], numbers[devices + 1 :]
    raise DamagedError("both copies of the directory were damaged")


def _entry(copies: Iterable[bytes]) -> Source:
    for copy in copies:
        if copy[:4] == zlib.crc32(copy[4:]).to_bytes(4, "little"):
            return Source(copy[4:])
    raise DamagedError("neither copy matches its checksum")


def _pieces_of_entry(part: Part, entry: Source, tell: Tell) -> list[Piece]:
    with _told_as_damage():
        device = entry.signed(), entry.text()
        entry.varint(), entry.varint(), entry.signed()
        offset, size, check = entry.varint(), entry.varint(), entry.varint()
        if zlib.crc32(part.read(offset, size)) != check:
            tell(f"{part.name}: the newest values of {device[1]} do not match their checksum")
        return [_piece_of_entry(part, entry, device) for _ in range(entry.varint())]


def _piece_of_entry(part: Part, entry: Source, device: Device) -> Piece:
    offset, size, count, first_at = entry.varint(), entry.varint(), entry.varint(), entry.signed()
    return Piece(part, offset, size, device, Header(count, first_at, first_at + entry.varint(), entry.varint()))


def _at(file: BinaryIO, offset: int, size: int) -> bytes:
    """The bytes of a place. What a disk does not give back matches no checksum."""
    try:
        file.seek(offset)
        return file.read(size)
    except OSError:
        return b""


def _padded(size: int) -> int:
    return -(-size // PAGE_BYTES) * PAGE_BYTES


def open_pieces(name: str, database: sqlite3.Connection, tell: Tell) -> tuple[int, list[Piece]]:
    """The identity of an open day, and its chunks."""
    with _told_as_damage():
        (version,) = database.execute("PRAGMA user_version").fetchone()
        (identity,) = database.execute("PRAGMA application_id").fetchone()
        if version not in OPEN_VERSIONS:
            raise DamagedError(f"a day file of version {version} is not known, expected {OPEN_VERSIONS[-1]}")
    _check_pages(name, database, tell)
    devices: dict[int, Device] = {}
    try:
        rows = database.execute("SELECT device_number, tenant_id, device_id FROM device")
        devices = {number: (tenant_id, device_id) for number, tenant_id, device_id in rows}
    except sqlite3.Error as error:
        tell(f"{name}: the names of devices cannot be read, chunks have them once more: {error}")
    part = Part(name, "chunk", 1, partial(_record, database))
    pieces = []
    for chunk_id, *said, record in _rows(name, database, tell):
        try:
            # Nothing covers what the database says of a chunk: the chunk itself says it once more.
            found, device = header(record), owner(record)
        except (DamagedError, TypeError) as error:
            lost = _lost(devices.get(chunk_id >> 24 & 0xFFF_FFFF), said[1:])
            tell(f"{name} chunk {chunk_id}: {lost} cannot be read: {error}")
            continue
        if [device[0], *found[:3]] != said or (devices and devices.get(chunk_id >> 24 & 0xFFF_FFFF) != device):
            tell(f"{name} chunk {chunk_id} of {device[1]}: its row says something else than the chunk")
        pieces.append(Piece(part, chunk_id, len(record), device, found))
    return identity, pieces


def _check_pages(name: str, database: sqlite3.Connection, tell: Tell) -> None:
    """Pages of SQLite have no checksums: what can be told is which of them do not fit together."""
    try:
        for (line,) in database.execute("PRAGMA quick_check(20)"):
            if line != "ok":
                tell(f"{name}: {line}")
    except sqlite3.Error as error:
        tell(f"{name}: its pages do not fit together: {error}")


def _rows(name: str, database: sqlite3.Connection, tell: Tell) -> Iterator[tuple[Any, ...]]:
    """Every chunk, from both ends where there is something between them that cannot be read."""
    columns = "SELECT chunk_id, tenant_id, report_count, first_at, last_at, record FROM chunk"
    last, beyond = -1, "the last"
    try:
        for row in database.execute(f"{columns} ORDER BY chunk_id"):
            yield row
            last = row[0]
    except sqlite3.Error as error:
        with suppress(sqlite3.Error):
            for row in database.execute(f"{columns} WHERE chunk_id > ? ORDER BY chunk_id DESC", (last,)):
                yield row
                beyond = row[0]
        tell(f"{name}: what lies between chunk {last} and {beyond} cannot be read: {error}")


def _record(database: sqlite3.Connection, chunk_id: int, _size: int) -> bytes:
    (record,) = database.execute("SELECT record FROM chunk WHERE chunk_id = ?", (chunk_id,)).fetchone()
    return bytes(record)


# --- reports -------------------------------------------------------------------------------------


def read(paths: Iterable[Path], tell: Tell, is_wanted: Callable[[Device], bool] = lambda _: True) -> Iterator[Report]:
    """The reports in some files: device after device, each in the order of time, and what came twice once."""
    with ExitStack() as stack:
        taken = set()
        parts = []
        for path in paths:
            if path.name.endswith(("-wal", "-shm")):
                # These belong to the file beside them; a pattern such as 2026-01-31.* finds them, too.
                continue
            try:
                identity, pieces = _opened(stack, path, tell)
            except (DamagedError, OSError, sqlite3.Error) as error:
                tell(f"{path.name} cannot be read: {error}")
                continue
            if _is_sealed(path):
                taken.add(identity)
            parts.append((0 if _is_sealed(path) else identity, pieces))
        # An open day that a sealed one took in is in it as a whole.
        found = [piece for identity, pieces in parts if identity == 0 or identity not in taken for piece in pieces]
        wanted = sorted((piece for piece in found if is_wanted(piece.device)), key=_order)
        for _, same in groupby(wanted, attrgetter("device")):
            yield from _each_once(report for piece in same for report in _reports_of(piece, tell))


def _order(piece: Piece) -> tuple[Device, int, int, int]:
    """Of two deliveries of one report, the one in the chunk that comes first counts."""
    return piece.device, piece.header.last_log_id, piece.part.rank, piece.at


def _opened(stack: ExitStack, path: Path, tell: Tell) -> tuple[int, list[Piece]]:
    if _is_sealed(path):
        return sealed_pieces(path.name, stack.enter_context(path.open("rb")), tell)
    # What is newest lies in the log beside it. Without one, nothing is written, not even a lock.
    log = path.with_name(f"{path.name}-wal")
    mode = "mode=ro" if log.exists() and log.stat().st_size else "mode=ro&immutable=1"
    database = sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True)
    return open_pieces(path.name, stack.enter_context(closing(database)), tell)


def _is_sealed(path: Path) -> bool:
    """Whether a file is a sealed day. It need not have its name any more, and its first bytes may be damaged."""
    with path.open("rb") as file:
        return path.suffix != ".db" and not file.read(len(_SQLITE_MAGIC)).startswith(_SQLITE_MAGIC)


def _reports_of(piece: Piece, tell: Tell) -> list[Report]:
    try:
        return _expected(piece)
    except DamagedError as error:
        part, said = piece.part, piece.header
        tell(f"{part.name} {part.place} {piece.at}: {_lost(piece.device, said[:3])} cannot be read: {error}")
        return []


def _expected(piece: Piece) -> list[Report]:
    with _told_as_damage():
        chunk = piece.part.read(piece.at, piece.size)
        reports = decoded(chunk)
        if header(chunk) != piece.header or (reports[0].tenant_id, reports[0].device_id) != piece.device:
            raise DamagedError("another chunk lies there")
        return reports


def _lost(device: Device | None, said: Sequence[Any]) -> str:
    count, first_at, last_at = said
    name = device[1] if device else "some device"
    return f"{count} reports of {name} from {moment(first_at)} to {moment(last_at)}"


def _each_once(reports: Iterable[Report]) -> Iterator[Report]:
    """The reports of a device in the order of time; of those that say the same of one moment the first."""
    for _, same in groupby(sorted(reports, key=attrgetter("at")), attrgetter("at")):
        seen = set()
        for report in same:
            identity = report.sequence, tuple(sorted((name, repr(value)) for name, value in report.values.items()))
            if identity not in seen:
                seen.add(identity)
                yield report


def moment(at: int) -> str:
    """A moment as ISO 8601, or what stands there where no year has it."""
    try:
        return (_EPOCH + timedelta(milliseconds=at)).isoformat(timespec="milliseconds") + "Z"
    except (OverflowError, TypeError, ValueError):
        return str(at)


def line(report: Report) -> str:
    """A report as JSON, which has no words for what has no digits: these become texts, and `not_finite` names them."""
    told = report._asdict() | {"at": moment(report.at), "arrived_at": moment(report.arrived_at)}
    words = {name: _WORDS[repr(value)] for name, value in report.values.items() if repr(value) in _WORDS}
    told["values"] = report.values | words
    if report.sequence is None:
        del told["sequence"]
    if words:
        told["not_finite"] = list(words)
    return json.dumps(told, separators=(",", ":"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what was asked for; 1 when anything was damaged."""
    parser = argparse.ArgumentParser(description="Print the reports of day files as lines of JSON, and name damage.")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="both parts of a day together, or any days")
    parser.add_argument("--tenant", type=int, help="only of this tenant")
    parser.add_argument("--device", action="append", help="only of this device; may be given again")
    parser.add_argument("--metric", action="append", help="only this metric; may be given again")
    parser.add_argument("--check", action="store_true", help="print no reports, only name what is damaged")
    options = parser.parse_args(arguments)
    damages = 0

    def tell(what: str) -> None:
        nonlocal damages
        damages += 1
        print(what, file=sys.stderr)

    def is_wanted(device: Device) -> bool:
        return options.tenant in (None, device[0]) and (not options.device or device[1] in options.device)

    for report in read(options.files, tell, is_wanted):
        chosen = _only(report, options.metric)
        if not options.check and chosen:
            print(line(chosen))
    return 1 if damages else 0


def _only(report: Report, metrics: Collection[str] | None) -> Report | None:
    """The report with these metrics alone; None when it has none of them."""
    if metrics is None:
        return report
    values = {name: value for name, value in report.values.items() if name in metrics}
    return report._replace(values=values) if values else None


if __name__ == "__main__":
    try:
        status = main()
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read it wants no more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    sys.exit(status)
