"""The segments of the journal as files of a folder: written to at the end, read, written anew, and unlinked.

Only their owner may read them. Everything here is called in a thread.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from appliance.telemetry.journal import frames
from appliance.telemetry.journal.frames import Block
from appliance.telemetry.journal.model import BrokenOffError, Kept, RawMessage, Segment, Span, Standing, StandingMessage
from appliance.telemetry.keeping.model import StoppedError
from appliance.telemetry.keeping.sealed_day import sync
from appliance.telemetry.packing import ChunkError, inflate

SUFFIX = ".raw"
_UNFINISHED = ".part"
_MODE = 0o600
_FOLDER_MODE = 0o700
MESSAGE_BYTES = 200
"""What a message takes in memory without its payload, about."""


def _whatever(_content: bytes) -> bool:
    """Anything may be in any bytes."""
    return True


class Survey(NamedTuple):
    """What lies in the folder."""

    segments: list[Segment]
    damages: list[str]


class Writer:
    """A segment while it is written. Raises `OSError` when the disk does not take it: then it is as it was before."""

    def __init__(self, folder: Path, number: int, begun_at: int, *, is_continued: bool) -> None:
        """Make the file, and the folder if it is missing."""
        folder.mkdir(mode=_FOLDER_MODE, exist_ok=True)
        self.path = path_of(folder, number)
        self.number = number
        self.begun_at = begun_at
        self.is_continued = is_continued
        self.size_bytes = self.message_count = 0
        self.first_at = self.last_at = begun_at
        self._descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
        try:
            self._append(frames.head(begun_at, is_continued=is_continued))
            sync(folder)
        except OSError:
            self.close()
            self.path.unlink()
            raise

    @property
    def segment(self) -> Segment:
        """What it holds by now; not ended."""
        kept = Kept(self.begun_at, self.is_continued, None, self.first_at, self.last_at, self.message_count)
        return Segment(self.number, self.size_bytes, kept)

    def append(self, block: bytes, messages: Sequence[RawMessage]) -> None:
        """Write messages as a block. They are not on the disk yet when this returns, but with the system."""
        self._append(block)
        first_at = min(message.arrived_at for message in messages)
        self.first_at = min(self.first_at, first_at) if self.message_count else first_at
        self.last_at = max(self.last_at, *(message.arrived_at for message in messages))
        self.message_count += len(messages)

    def finish(self, whole_until: int) -> Segment:
        """End the segment: nothing that arrived before is missing. It is on the disk when this returns."""
        kept = self.segment.kept._replace(whole_until=whole_until)
        try:
            self._append(frames.end(kept))
            os.fsync(self._descriptor)
        finally:
            self.close()
        return Segment(self.number, self.size_bytes, kept)

    def close(self) -> None:
        """Write no more, and leave it without an end."""
        os.close(self._descriptor)

    def _append(self, content: bytes) -> None:
        written = 0
        try:
            while written < len(content):
                written += os.write(self._descriptor, content[written:])
        except OSError:
            # A piece of a frame would hide whatever came after it.
            os.ftruncate(self._descriptor, self.size_bytes)
            os.lseek(self._descriptor, self.size_bytes, os.SEEK_SET)
            raise
        self.size_bytes += written


def path_of(folder: Path, number: int) -> Path:
    """Where a segment lies."""
    return folder / f"{number:010d}{SUFFIX}"


def blocks_of(messages: Sequence[RawMessage], piece_bytes: int) -> Iterator[tuple[bytes, Sequence[RawMessage]]]:
    """Messages as blocks of about so many bytes before they are packed, if no single message has more."""
    first = size = 0
    for place, message in enumerate(messages, 1):
        size += len(message.payload) + MESSAGE_BYTES
        if size >= piece_bytes or place == len(messages):
            some = messages[first:place]
            yield frames.block(some), some
            first, size = place, 0


def survey(folder: Path) -> Survey:
    """Look at what there is, and remove what was not finished."""
    found = Survey([], [])
    for path in folder.glob(f"*{_UNFINISHED}"):
        with contextlib.suppress(OSError):
            path.unlink()
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        if not path.stem.isdecimal():
            continue
        size_bytes = path.stat().st_size
        try:
            with path.open("rb") as source:
                kept = frames.kept(source, size_bytes)
        except (ChunkError, OSError) as error:
            found.damages.append(f"{path.name}: {error}")
            # It counts and goes as others do; nothing is read of it.
            moment = int(path.stat().st_mtime * 1_000)
            kept = Kept(moment, is_continued=False, whole_until=None, first_at=moment, last_at=moment, message_count=0)
        found.segments.append(Segment(int(path.stem), size_bytes, kept))
    return found


def within(block: Block, first: Standing, tenant_id: int, span: Span) -> list[StandingMessage]:
    """The messages of a tenant in a block that arrived within a span; `first` is where its first message stands.

    Raises `ChunkError`.
    """
    if block.first_at >= span.end or block.last_at < span.start:
        return []
    return [
        StandingMessage(Standing(first.segment, number), message)
        for number, message in enumerate(block.messages(), first.number)
        if message.tenant_id == tenant_id and span.start <= message.arrived_at < span.end
    ]


def arrival_of(folder: Path, standing: Standing) -> int | None:
    """When the message arrived that stands somewhere; None when none does."""
    with contextlib.suppress(ChunkError, OSError), path_of(folder, standing.segment).open("rb") as source:
        left = standing.number
        for block in frames.blocks(source):
            if left <= block.message_count:
                return block.messages()[left - 1].arrived_at
            left -= block.message_count
    return None


def opened(folder: Path, segment: Segment) -> tuple[BinaryIO, int]:
    """A segment to read its blocks, and how many messages they have. Raises `BrokenOffError` when it is gone."""
    try:
        source = path_of(folder, segment.number).open("rb")
    except FileNotFoundError as error:
        raise BrokenOffError(f"segment {segment.number} of the journal went while it was read") from error
    if segment.kept.whole_until is None:
        return source, segment.kept.message_count
    try:
        count = frames.kept(source, os.fstat(source.fileno()).st_size).message_count
        source.seek(0)
    except ChunkError as error:
        source.close()
        raise BrokenOffError(f"segment {segment.number} of the journal was damaged: {error}") from error
    return source, count


def without(
    folder: Path,
    segment: Segment,
    is_left_out: Callable[[RawMessage], bool],
    is_stopping: Callable[[], bool],
    may_hold: Callable[[bytes], bool] = _whatever,
) -> Segment | None:
    """Write a segment anew beside itself without some messages, and give what it is once that is `put_in_place`.

    It is the same segment when it has none of them and can be read: then nothing is written. What cannot be read may
    be what is to be left out, so it goes; None when the whole segment is to go. Memory holds one block of it at a
    time. `may_hold` is a quick look at the bytes of a block: only where it says so each message is looked at. Raises
    `StoppedError` between two blocks.
    """
    path = path_of(folder, segment.number)
    sieve = _Sieve(is_left_out, may_hold)
    try:
        source = path.open("rb")
    except FileNotFoundError:
        return None
    with source:
        same_count = _same_count(source, segment, sieve, is_stopping)
        if same_count is None:
            return segment
        source.seek(0)
        left = (
            _Sifted(block.message_count, block) if place < same_count else _sifted(block, sieve)
            for place, block in enumerate(_blocks(source, is_stopping))
        )
        try:
            return _written_beside(path, segment, left)
        except OSError:
            # The promise to erase outweighs the journal.
            return None


def put_in_place(folder: Path, number: int) -> None:
    """Let what was written beside a segment be the segment."""
    path = path_of(folder, number)
    path.with_suffix(_UNFINISHED).rename(path)
    sync(folder)


def remove_unfinished(folder: Path, number: int) -> None:
    """Remove what was written beside a segment."""
    path_of(folder, number).with_suffix(_UNFINISHED).unlink(missing_ok=True)


def unlink(folder: Path, numbers: Sequence[int]) -> None:
    """Remove segments; no power cut brings them back."""
    for number in numbers:
        path_of(folder, number).unlink(missing_ok=True)
    if numbers:
        sync(folder)


class _Sieve(NamedTuple):
    """What is to be left out."""

    has: Callable[[RawMessage], bool]
    may_be_in: Callable[[bytes], bool]


class _Sifted(NamedTuple):
    """What is left of a block."""

    read_count: int
    """How many messages of it could be read."""
    left: Block | None


def _blocks(source: BinaryIO, is_stopping: Callable[[], bool]) -> Iterator[Block]:
    with contextlib.suppress(ChunkError):
        for block in frames.blocks(source):
            if is_stopping():
                raise StoppedError
            yield block


def _same_count(source: BinaryIO, segment: Segment, sieve: _Sieve, is_stopping: Callable[[], bool]) -> int | None:
    """How many blocks at the beginning stay as they are; None when all of the segment does."""
    place = message_count = 0
    read_until = frames.HEAD_BYTES
    for block in _blocks(source, is_stopping):
        if _sifted(block, sieve).left is not block:
            return place
        place += 1
        message_count += block.message_count
        read_until = source.tell()
    if segment.kept.whole_until is None:
        is_same = read_until == os.fstat(source.fileno()).st_size
    else:
        is_same = message_count == segment.kept.message_count
    return None if is_same else place


def _sifted(block: Block, sieve: _Sieve) -> _Sifted:
    try:
        if not sieve.may_be_in(inflate(block.packed)):
            return _Sifted(block.message_count, block)
        messages = block.messages()
    except ChunkError:
        return _Sifted(0, None)
    left = [message for message in messages if not sieve.has(message)]
    if len(left) == len(messages):
        return _Sifted(len(messages), block)
    return _Sifted(len(messages), frames.packed(left) if left else None)


def _written_beside(path: Path, segment: Segment, blocks: Iterator[_Sifted]) -> Segment:
    before, read_count = segment.kept, 0
    left: list[Block] = []
    unfinished = path.with_suffix(_UNFINISHED)
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
    try:
        with open(descriptor, "wb") as target:  # noqa: PTH123  a descriptor, for the mode
            target.write(frames.head(before.begun_at, is_continued=before.is_continued))
            for each in blocks:
                read_count += each.read_count
                if each.left is not None:
                    target.write(frames.framed(each.left))
                    left.append(each.left._replace(packed=b""))
            kept = _kept_of(
                before, left, is_whole=before.whole_until is not None and read_count == before.message_count
            )
            if kept.whole_until is not None:
                target.write(frames.end(kept))
            target.flush()
            os.fsync(target.fileno())
            return Segment(segment.number, target.tell(), kept)
    except BaseException:
        unfinished.unlink()
        raise


def _kept_of(before: Kept, blocks: Sequence[Block], *, is_whole: bool) -> Kept:
    kept = before._replace(message_count=sum(block.message_count for block in blocks))
    if is_whole:
        return kept
    first_at = min((block.first_at for block in blocks), default=before.begun_at)
    last_at = max((block.last_at for block in blocks), default=before.begun_at)
    return kept._replace(whole_until=None, first_at=first_at, last_at=last_at)
