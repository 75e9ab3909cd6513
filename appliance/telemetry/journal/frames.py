"""A segment of the journal as bytes: frames, each with a checksum of its own, so that any cut leaves what came before.

The format is in docs/reference/journal.md. Everything is little-endian.
"""

import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import BinaryIO, NamedTuple

from appliance.telemetry.journal.model import Kept, RawMessage
from appliance.telemetry.packing import (
    SIZE_LIMIT,
    ChunkError,
    Reader,
    deflate,
    inflate,
    put_piece,
    put_signed,
    put_text,
    put_varint,
)

HEAD, MESSAGES, END = b"H", b"M", b"E"
MAGIC = b"headworks raw 1\n"

_FRAME = struct.Struct("<cII")
_HEAD = struct.Struct("<16sq?")
_BLOCK = struct.Struct("<Iqq")
_END = struct.Struct("<qqqQ")
HEAD_BYTES = _FRAME.size + _HEAD.size
END_BYTES = _FRAME.size + _END.size

_QOS_MASK = 0x03
_RETAIN = 0x04
_TYPED = 0x08


class Block(NamedTuple):
    """Some messages of a segment, and what can be told of them without unpacking."""

    message_count: int
    first_at: int
    last_at: int
    packed: bytes

    def messages(self) -> list[RawMessage]:
        """The messages in the order in which they were committed. Raises `ChunkError`."""
        reader = Reader(inflate(self.packed))
        found = [_taken(reader, self.first_at) for _ in range(self.message_count)]
        reader.end()
        return found


def head(begun_at: int, *, is_continued: bool) -> bytes:
    """What a segment begins with."""
    return _framed(HEAD, _HEAD.pack(MAGIC, begun_at, is_continued))


def block(messages: Sequence[RawMessage]) -> bytes:
    """Messages, of which there is one at least, as a frame."""
    return framed(packed(messages))


def framed(some: Block) -> bytes:
    """A block as a frame."""
    return _framed(MESSAGES, _BLOCK.pack(some.message_count, some.first_at, some.last_at) + some.packed)


def packed(messages: Sequence[RawMessage]) -> Block:
    """Messages, of which there is one at least, as a block."""
    first_at = min(message.arrived_at for message in messages)
    last_at = max(message.arrived_at for message in messages)
    out = bytearray()
    for message in messages:
        _put(out, message, first_at)
    return Block(len(messages), first_at, last_at, deflate(out))


def end(kept: Kept) -> bytes:
    """What a segment ends with when nothing was lost of it."""
    return _framed(END, _END.pack(kept.whole_until or 0, kept.first_at, kept.last_at, kept.message_count))


def blocks(source: BinaryIO) -> Iterator[Block]:
    """The blocks of a segment, read one by one, up to its end or to where it was cut or damaged."""
    for kind, body in _frames(source):
        if kind == MESSAGES:
            yield _block(body)


def kept(source: BinaryIO, size_bytes: int) -> Kept:
    """What a segment holds: by its end, or else by all there is of it. Raises `ChunkError` when it has no beginning."""
    first = next(_frames(source), None)
    if first is None or first[0] != HEAD or len(first[1]) != _HEAD.size:
        raise ChunkError("it does not begin as a segment does")
    magic, begun_at, is_continued = _HEAD.unpack(first[1])
    if magic != MAGIC:
        raise ChunkError("it was written by a later release")
    there = source.tell()
    if size_bytes >= there + END_BYTES:
        source.seek(size_bytes - END_BYTES)
        for kind, body in _frames(source):
            if kind == END and len(body) == _END.size:
                return Kept(begun_at, is_continued, *_END.unpack(body))
    source.seek(there)
    found = list(_spans(source))
    first_at = min((each.first_at for each in found), default=begun_at)
    last_at = max((each.last_at for each in found), default=begun_at)
    return Kept(begun_at, is_continued, None, first_at, last_at, sum(each.message_count for each in found))


def _spans(source: BinaryIO) -> Iterator[Block]:
    for each in blocks(source):
        yield each._replace(packed=b"")


def _frames(source: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """The frames from here on, up to the first that is not what was written."""
    while len(start := source.read(_FRAME.size)) == _FRAME.size:
        kind, size, checksum = _FRAME.unpack(start)
        if size > SIZE_LIMIT:
            return
        body = source.read(size)
        if len(body) < size or zlib.crc32(body, zlib.crc32(kind)) != checksum:
            return
        yield kind, body


def _framed(kind: bytes, body: bytes) -> bytes:
    return _FRAME.pack(kind, len(body), zlib.crc32(body, zlib.crc32(kind))) + body


def _block(body: bytes) -> Block:
    if len(body) < _BLOCK.size:
        raise ChunkError("a block is too short")
    message_count, first_at, last_at = _BLOCK.unpack_from(body)
    return Block(message_count, first_at, last_at, body[_BLOCK.size :])


def _put(out: bytearray, message: RawMessage, first_at: int) -> None:
    flags = message.qos | _RETAIN * message.retain | _TYPED * bool(message.content_type)
    out.append(flags)
    put_varint(out, message.tenant_id)
    put_text(out, message.principal)
    put_text(out, message.client_id)
    put_text(out, message.topic)
    if message.content_type:
        put_text(out, message.content_type)
    put_signed(out, message.arrived_at - first_at)
    put_varint(out, message.log_id)
    put_piece(out, message.payload)


def _taken(reader: Reader, first_at: int) -> RawMessage:
    flags = reader.byte()
    tenant_id = reader.varint()
    principal, client_id, topic = reader.text(), reader.text(), reader.text()
    content_type = reader.text() if flags & _TYPED else ""
    arrived_at, log_id = first_at + reader.signed(), reader.varint()
    payload = reader.piece()
    return RawMessage(
        tenant_id=tenant_id,
        principal=principal,
        client_id=client_id,
        topic=topic,
        payload=bytes(payload),
        content_type=content_type,
        qos=flags & _QOS_MASK,
        retain=bool(flags & _RETAIN),
        arrived_at=arrived_at,
        log_id=log_id,
    )
