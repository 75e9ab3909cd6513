"""A zip file that is handed out piece by piece while it is made, of many small files as they are.

The library's writer takes several times as long for each file and remembers ten times as much of it. Numbers in
comments are sections of PKWARE's APPNOTE 6.3.10.
"""

import struct
import zlib
from datetime import UTC, datetime, timedelta

_LOCAL_HEADER = struct.Struct("<4s5H3L2H")  # 4.3.7
_CENTRAL_HEADER = struct.Struct("<4s6H3L5H2L")  # 4.3.12
_END_64 = struct.Struct("<4sQ2H2L4Q")  # 4.3.14
_LOCATOR_64 = struct.Struct("<4sLQL")  # 4.3.15
_END = struct.Struct("<4s4H2LH")  # 4.3.16

_VERSION, _VERSION_64 = 20, 45
_MADE_ON_UNIX = 3 << 8
_NAMES_ARE_UTF_8 = 1 << 11
_STORED = 0
_PRIVATE_FILE = 0o100600 << 16
_COUNT_LIMIT = 0xFFFF
"""So many files are counted without the larger fields of 4.3.14."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIME_BEGINS = datetime(1980, 1, 1, tzinfo=UTC)


class Archive:
    """A zip file of up to 4 GB whose files only their owner may read once they are unpacked."""

    def __init__(self, now: int) -> None:
        """`now` is the moment that the files bear, UTC milliseconds."""
        moment = max(_EPOCH + timedelta(milliseconds=now), _TIME_BEGINS)
        date = (moment.year - _TIME_BEGINS.year) << 9 | moment.month << 5 | moment.day  # 4.4.6
        self._made = (moment.hour << 11 | moment.minute << 5 | moment.second // 2, date)
        self._directory = bytearray()
        self._count = 0
        self._size = 0

    def added(self, name: str, content: bytes) -> bytes:
        """The next piece: one more file."""
        path = name.encode()
        size = len(content)
        same = (_NAMES_ARE_UTF_8, _STORED, *self._made, zlib.crc32(content), size, size, len(path), 0)
        self._directory += _CENTRAL_HEADER.pack(
            b"PK\1\2", _MADE_ON_UNIX | _VERSION, _VERSION, *same, 0, 0, 0, _PRIVATE_FILE, self._size
        )
        self._directory += path
        piece = _LOCAL_HEADER.pack(b"PK\3\4", _VERSION, *same) + path + content
        self._count += 1
        self._size += len(piece)
        return piece

    def ended(self) -> bytes:
        """The last piece: what is in the archive, and where."""
        size, offset = len(self._directory), self._size
        larger = b""
        if self._count >= _COUNT_LIMIT:
            # What follows the first two fields is 44 bytes long.
            versions = (_MADE_ON_UNIX | _VERSION_64, _VERSION_64)
            larger = _END_64.pack(b"PK\6\6", 44, *versions, 0, 0, self._count, self._count, size, offset)
            larger += _LOCATOR_64.pack(b"PK\6\7", 0, offset + size, 1)
        count = min(self._count, _COUNT_LIMIT)
        return bytes(self._directory) + larger + _END.pack(b"PK\5\6", 0, 0, count, count, size, offset, 0)
