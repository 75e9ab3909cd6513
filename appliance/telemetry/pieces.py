"""Bytes cut into many pieces of one size."""

import struct
from array import array
from collections.abc import Iterator
from functools import lru_cache
from itertools import chain

_AT_ONCE = 16


def pieces(joined: "bytes | array[int]", size: int) -> Iterator[bytes]:
    """Bytes in pieces of one size, of which they are a multiple."""
    view = memoryview(joined).cast("B")
    whole = len(view) // (size * _AT_ONCE) * size * _AT_ONCE
    many, one = _cutters(size)
    return chain.from_iterable(chain(many.iter_unpack(view[:whole]), one.iter_unpack(view[whole:])))


@lru_cache(maxsize=64)
def _cutters(size: int) -> tuple[struct.Struct, struct.Struct]:
    """What takes many pieces at once, which is quicker, and one."""
    return struct.Struct(f"{size}s" * _AT_ONCE), struct.Struct(f"{size}s")
