"""The segments of the journal as files of a folder: written to at the end, read, written anew, and unlinked.

Only their owner may read them. Everything here is called in a thread.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from appliance.telemetry.journal import frames
from appliance.telemetry.journal.model import BrokenOffError, Kept, RawMessage, Segment
from appliance.telemetry.keeping.sealed_day import sync
from appliance.telemetry.packing import ChunkError

SUFFIX = ".raw"
_UNFINISHED = ".part"
_MODE = 0o600
_FOLDER_MODE = 0o700
_PIECE_BYTES = 1 << 20
"""About so many bytes of payloads are in one block."""


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


def blocks_of(messages: Sequence[RawMessage]) -> Iterator[tuple[bytes, Sequence[RawMessage]]]:
    """Messages as blocks that are not too large."""
    first = size = 0
    for place, message in enumerate(messages, 1):
        size += len(message.payload)
        if size >= _PIECE_BYTES or place == len(messages):
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


def without(folder: Path, segment: Segment, is_left_out: Callable[[RawMessage], bool]) -> Segment | None:
    """Write a segment anew without some messages, if it has any of them or anything that cannot be read.

    What cannot be read may be what is to be left out, so it goes. None when the whole segment went.
    """
    path = path_of(folder, segment.number)
    try:
        with path.open("rb") as source:
            messages = [message for block in frames.blocks(source) for message in block.messages()]
    except FileNotFoundError:
        return None
    except ChunkError:
        messages = []
    left = [message for message in messages if not is_left_out(message)]
    is_whole = segment.kept.whole_until is not None and len(messages) == segment.kept.message_count
    if is_whole and len(left) == len(messages):
        return segment
    try:
        return _written_anew(path, segment, left, is_whole=is_whole)
    except OSError:
        # The promise to erase outweighs the journal.
        unlink(folder, [segment.number])
        return None


def unlink(folder: Path, numbers: Sequence[int]) -> None:
    """Remove segments; no power cut brings them back."""
    for number in numbers:
        path_of(folder, number).unlink(missing_ok=True)
    if numbers:
        sync(folder)


def _written_anew(path: Path, segment: Segment, messages: Sequence[RawMessage], *, is_whole: bool) -> Segment:
    before = segment.kept
    content = [frames.head(before.begun_at, is_continued=before.is_continued)]
    content += [block for block, _ in blocks_of(messages)]
    kept = before._replace(message_count=len(messages))
    if is_whole:
        content.append(frames.end(kept))
    else:
        moments = [message.arrived_at for message in messages] or [before.begun_at]
        kept = kept._replace(whole_until=None, first_at=min(moments), last_at=max(moments))
    unfinished = path.with_suffix(_UNFINISHED)
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
    with open(descriptor, "wb") as target:  # noqa: PTH123  a descriptor, for the mode
        target.writelines(content)
        target.flush()
        os.fsync(target.fileno())
    unfinished.rename(path)
    sync(path.parent)
    return Segment(segment.number, sum(map(len, content)), kept)
