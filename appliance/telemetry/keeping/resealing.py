"""What a day is to hold once it is sealed anew: what its open part and its sealed part have, in larger chunks."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from appliance.telemetry import chunk, latest_record, log_record
from appliance.telemetry.keeping.joining import joined
from appliance.telemetry.keeping.layout import DeviceEntry
from appliance.telemetry.keeping.sealed_day import KeptDevice, Piece, SealedDay
from appliance.telemetry.packing import ChunkError
from appliance.telemetry.rows import Rows

SEALED_REPORTS = 1_440
"""How many reports a chunk of a sealed day holds at most: beyond two hours at one in 5 s, little more is won."""

GROUP_BYTES = 32 * 1024 * 1024
"""How much of an open day is in memory at a time. Each group reads the file from front to back."""

EVERYTHING = (1 << 63) - 1

LeftOut = Mapping[tuple[int, str], int]
"""By tenant and device: the log id up to which nothing is kept; `EVERYTHING` keeps nothing."""


class OpenDevice(NamedTuple):
    """What an open day says of one device."""

    number: int
    tenant_id: int
    device_id: str
    last_log_id: int
    latest_log_id: int
    last_seen_at: int
    latest: bytes
    """A log record with the newest reading of each metric, or the chunk whose last report they are."""


class OpenChunkRow(NamedTuple):
    """A chunk of an open day."""

    number: int
    """Of its device."""
    report_count: int
    first_at: int
    last_at: int
    blob: bytes


class OpenPart(Protocol):
    """The open part of a day, in which nothing changes meanwhile."""

    size_bytes: int

    def devices(self) -> Sequence[OpenDevice]:
        """Every device, by its number."""

    def chunks(self, first: int, last: int) -> Sequence[OpenChunkRow]:
        """The chunks of the devices with numbers from `first` to `last`, in the order of their keys."""


class Parts(NamedTuple):
    """What there is of a day."""

    open: OpenPart | None
    sealed: SealedDay | None
    is_damaged: bool = False
    """What cannot be read of the sealed part is left out: the file is kept under another name."""


def kept_devices(parts: Parts, left_out: LeftOut, breathe: Callable[[], None]) -> Iterator[KeptDevice]:
    """Every device of a day with its chunks, without what is left out. `breathe` is called after each.

    A chunk that was damaged stays as it is: it is named for as long as its day is kept. Raises `ChunkError` when
    it cannot be told what there is.
    """
    sealed = parts.sealed
    known = {(entry.tenant_id, entry.device_id): entry for entry in _entries(parts)}
    for device, late in _open_devices(parts.open):
        entry = known.pop((device.tenant_id, device.device_id), None)
        latest, pieces = latest_record.as_record(device.latest, device.tenant_id), late
        if entry is not None and sealed is not None:
            pieces = [*_pieces(sealed, entry), *late]
            if entry.latest_log_id > device.latest_log_id:
                latest = _latest(sealed, entry)
        whole = KeptDevice(
            device.tenant_id,
            device.device_id,
            max(device.last_log_id, entry.last_log_id if entry else 0),
            max(device.latest_log_id, entry.latest_log_id if entry else 0),
            max(device.last_seen_at, entry.last_seen_at if entry else 0),
            latest,
            _larger(_without(pieces, left_out.get((device.tenant_id, device.device_id), 0))),
        )
        yield from _kept(whole, left_out)
        breathe()
    for entry in known.values():
        if sealed is not None:
            pieces = _without(_pieces(sealed, entry), left_out.get((entry.tenant_id, entry.device_id), 0))
            yield from _kept(KeptDevice(*entry[:5], _latest(sealed, entry), pieces), left_out)
            breathe()


def _entries(parts: Parts) -> Iterable[DeviceEntry]:
    if parts.sealed is None:
        return ()
    return parts.sealed.readable_entries() if parts.is_damaged else parts.sealed.entries()


def _open_devices(part: OpenPart | None) -> Iterator[tuple[OpenDevice, list[Piece]]]:
    """The devices of the open part with their chunks, some at a time."""
    devices = part.devices() if part else ()
    if part is None or not devices:
        return
    at_once = max(1, GROUP_BYTES * len(devices) // max(part.size_bytes, 1))
    for start in range(0, len(devices), at_once):
        group = devices[start : start + at_once]
        pieces: dict[int, list[Piece]] = defaultdict(list)
        for row in part.chunks(group[0].number, group[-1].number):
            pieces[row.number].append(Piece(*row[1:4], _last_log_id(row.blob), row.blob))
        for device in group:
            yield device, pieces.pop(device.number, [])


def _pieces(sealed: SealedDay, entry: DeviceEntry) -> list[Piece]:
    return [Piece(*extent[2:], sealed.blob(extent)) for extent in entry.extents]


def _latest(sealed: SealedDay, entry: DeviceEntry) -> bytes:
    """The newest values; none when they were damaged: another day or the log has newer ones."""
    try:
        return sealed.latest(entry)
    except ChunkError:
        return log_record.encode(())


def _last_log_id(blob: bytes) -> int:
    try:
        return chunk.header(blob).last_log_id
    except ChunkError:
        return 0


def _without(pieces: Sequence[Piece], through_log_id: int) -> list[Piece]:
    return [piece for piece in pieces if piece.last_log_id > through_log_id or not through_log_id]


def _larger(pieces: Sequence[Piece]) -> list[Piece]:
    """The same reports in fewer chunks, in the order in which they were received."""
    parts: list[Rows] = []
    kept = []
    for piece in pieces:
        try:
            parts.append(chunk.decode(piece.blob))
        except ChunkError:
            kept.append(piece)
    parts.sort(key=lambda part: part.last_log_id)
    larger = joined(parts, SEALED_REPORTS)
    kept += [Piece(rows.count, min(rows.at), max(rows.at), rows.last_log_id, chunk.encode(rows)) for rows in larger]
    return kept


def _kept(device: KeptDevice, left_out: LeftOut) -> Iterator[KeptDevice]:
    """The device, if anything of it is left; the newest values go with what was left out."""
    through = left_out.get((device.tenant_id, device.device_id), 0)
    if through and device.latest_log_id <= through:
        device = device._replace(latest=log_record.encode(()), last_seen_at=0)
    if device.pieces or not through:
        yield device
