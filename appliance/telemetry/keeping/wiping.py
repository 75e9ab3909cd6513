"""Bytes of an SQLite file that belong to nothing, made zero.

SQLite overwrites what is deleted (`secure_delete`), but not the copies of rows that it moved to another page before:
they stay on the page they came from, until something else needs the room. The format is that of
sqlite.org/fileformat2.html.

Rules:
- The file is whole, not being written, and its write-ahead log is empty.
- Only bytes that nothing refers to are written, so a power cut in between does no harm.
"""

import os
import struct
from collections.abc import Callable, Iterable, Iterator
from io import FileIO
from typing import NamedTuple

from appliance.telemetry.packing import ChunkError

_FILE_HEAD_BYTES = 100
_PAGE_SIZE_AT = 16
_PAGE_HEAD = struct.Struct(">BHHHB")
_POINTER = struct.Struct(">H")
_PAGE_NUMBER = struct.Struct(">I")
_BLOCK = struct.Struct(">HH")

_INTERIOR = frozenset({2, 5})
_LEAVES = frozenset({10, 13})
_LARGEST_PAGE = 65_536
"""The one size that does not fit its field, which says 1 or 0 then."""


class _Page(NamedTuple):
    content: bytes
    head_at: int
    kind: int
    first_block: int
    pointers_end: int
    content_from: int
    children: tuple[int, ...]


def wipe(file: FileIO, roots: Iterable[int], breathe: Callable[[], None]) -> int:
    """Make zero what belongs to no row in the tables and indexes with these roots; give how many bytes were not.

    They are on the disk when this returns. `breathe` is called after each page. Raises `ChunkError` when a page is
    none of SQLite's, `OSError` when the disk does not take them.
    """
    file.seek(_PAGE_SIZE_AT)
    (size,) = _POINTER.unpack(file.read(_POINTER.size))
    page_bytes = _LARGEST_PAGE if size == 1 else size
    waiting, seen, wiped = list(roots), set[int](), 0
    while waiting:
        number = waiting.pop()
        if number in seen:
            raise ChunkError(f"page {number} belongs to two places")
        seen.add(number)
        offset = (number - 1) * page_bytes
        file.seek(offset)
        page = _taken(file.read(page_bytes), number)
        for start, end in _unused(page):
            if any(page.content[start:end]):
                file.seek(offset + start)
                file.write(bytes(end - start))
                wiped += end - start
        waiting += page.children
        breathe()
    # Also when nothing was left to wipe: who did it before may have died before it was on the disk.
    os.fsync(file)
    return wiped


def _taken(content: bytes, number: int) -> _Page:
    """A page of a table or an index. Raises `ChunkError` when it is none."""
    head_at = _FILE_HEAD_BYTES if number == 1 else 0
    try:
        kind, first_block, cell_count, content_from, _ = _PAGE_HEAD.unpack_from(content, head_at)
        pointers_at = head_at + _PAGE_HEAD.size + (_PAGE_NUMBER.size if kind in _INTERIOR else 0)
        pointers = [_POINTER.unpack_from(content, pointers_at + 2 * each)[0] for each in range(cell_count)]
        children: tuple[int, ...] = ()
        if kind in _INTERIOR:
            places = (head_at + _PAGE_HEAD.size, *pointers)
            children = tuple(_PAGE_NUMBER.unpack_from(content, place)[0] for place in places)
    except struct.error as error:
        raise ChunkError(f"page {number} ends too soon") from error
    pointers_end = pointers_at + 2 * cell_count
    content_from = content_from or _LARGEST_PAGE
    if kind not in _INTERIOR | _LEAVES or not pointers_end <= content_from <= len(content):
        raise ChunkError(f"page {number} is no page of a table")
    if any(pointer < content_from for pointer in pointers) or 0 in children:
        raise ChunkError(f"page {number} has a row outside of its rows")
    return _Page(content, head_at, kind, first_block, pointers_end, content_from, children)


def _unused(page: _Page) -> Iterator[tuple[int, int]]:
    """Where the bytes begin and end that belong to nothing: before the rows, and in the list of free blocks."""
    yield page.pointers_end, page.content_from
    block, last = page.first_block, 0
    while block:
        # Rising, or the list would never end.
        if block <= last or not page.content_from <= block <= len(page.content) - _BLOCK.size:
            raise ChunkError("the free blocks of a page lie where none can be")
        following, length = _BLOCK.unpack_from(page.content, block)
        if length < _BLOCK.size or block + length > len(page.content):
            raise ChunkError("a free block of a page is longer than the page")
        yield block + _BLOCK.size, block + length
        block, last = following, block
