"""The first message of a TLS client, as far as it has come: what the client asks for before anything is decided.

The bytes are looked at, never taken: whoever makes the handshake reads them again, from the first one.
"""

import msgspec

_RECORD_HEADER_BYTES = 5
_MESSAGE_HEADER_BYTES = 4
_RECORD_BYTES = 16_384
_HANDSHAKE, _CLIENT_HELLO, _VERSION_3 = 22, 1, b"\x03"
_RANDOM_BYTES = 32
_SERVER_NAME, _ALPN, _SUPPORTED_VERSIONS = 0, 16, 43
_HOST_NAME = 0
_MQTT_CONNECT = 0x10
_DAMAGED = "the client's first TLS message is damaged"
_HTTP = (b"GET ", b"POST", b"PUT ", b"HEAD", b"OPTI", b"DELE", b"PATC", b"CONN", b"TRAC", b"PRI ")


class ClientHello(msgspec.Struct, frozen=True):
    """What a client asks for (RFC 8446 section 4.1.2)."""

    server_name: str
    """The host it wants to reach, in lower case; empty when it names none (devices that know an address only)."""
    alpn: tuple[str, ...]
    """The protocols that it would speak, the one it likes best first."""
    supported_versions: tuple[int, ...]
    """Versions of TLS as on the wire: 0x0304 is 1.3."""
    size: int
    """Bytes from the start of the connection to the end of the message."""


class Incomplete(msgspec.Struct, frozen=True):
    """More has to come. With fewer than `needed_bytes` from the start there is nothing new to see."""

    needed_bytes: int


class Foreign(msgspec.Struct, frozen=True):
    """This is no ClientHello, and will not become one."""

    reason: str


def read_client_hello(data: bytes, largest_bytes: int) -> ClientHello | Incomplete | Foreign:
    """Read the start of a connection; the message may span several TLS records (RFC 8446 section 5.1).

    One that needs more than `largest_bytes` is foreign.
    """
    try:
        found = _read(data)
    except _ForeignError as error:
        return Foreign(str(error))
    size = found.size if isinstance(found, ClientHello) else found.needed_bytes
    return found if size <= largest_bytes else Foreign(f"the client's first TLS message exceeds {largest_bytes} bytes")


class _ForeignError(Exception):
    pass


def _read(data: bytes) -> ClientHello | Incomplete:
    message = bytearray()
    whole = _MESSAGE_HEADER_BYTES
    at = 0
    while at < len(data):
        body = at + _RECORD_HEADER_BYTES
        length = _record_length(data, at)
        if length is None:
            break
        message += data[body : body + length]
        at = body + length
        whole = _message_bytes(message)
        if len(message) >= whole:
            return _parsed(message[_MESSAGE_HEADER_BYTES:whole], min(at, len(data)) - (len(message) - whole))
    absent, coming = whole - len(message), max(0, at - len(data))
    # What does not come in the record under way comes behind another header.
    needed = len(data) + absent if absent <= coming else min(len(data), at) + _RECORD_HEADER_BYTES + absent
    return Incomplete(needed)


def _record_length(data: bytes, at: int) -> int | None:
    """The length of the record that begins there; None while its header has not come."""
    if data[at] != _HANDSHAKE:
        raise _ForeignError(_what_it_speaks(data) if at == 0 else _DAMAGED)
    header = data[at : at + _RECORD_HEADER_BYTES]
    if header[1:2] not in {b"", _VERSION_3}:
        raise _ForeignError(_DAMAGED)
    if len(header) < _RECORD_HEADER_BYTES:
        return None
    length = int.from_bytes(header[3:], "big")
    if not 0 < length <= _RECORD_BYTES:
        raise _ForeignError(_DAMAGED)
    return length


def _message_bytes(message: bytearray) -> int:
    """How long the message is, its header included: at least that, while the header has not come."""
    if message and message[0] != _CLIENT_HELLO:
        raise _ForeignError(_DAMAGED)
    if len(message) < _MESSAGE_HEADER_BYTES:
        return _MESSAGE_HEADER_BYTES
    return _MESSAGE_HEADER_BYTES + int.from_bytes(message[1:_MESSAGE_HEADER_BYTES], "big")


class _Fields:
    """Fields of a message, one after the other."""

    def __init__(self, data: bytes | bytearray) -> None:
        self._data = bytes(data)
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def take(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._data):
            raise _ForeignError(_DAMAGED)
        taken, self._at = self._data[self._at : end], end
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def vector(self, size: int) -> "_Fields":
        """What stands behind its length of `size` bytes."""
        return _Fields(self.take(self.number(size)))

    def rest(self) -> bytes:
        return self.take(len(self._data) - self._at)


def _parsed(body: bytearray, size: int) -> ClientHello:
    fields = _Fields(body)
    legacy_version = fields.number(2)
    fields.take(_RANDOM_BYTES)
    fields.vector(1)  # session identifier
    fields.vector(2)  # cipher suites
    fields.vector(1)  # compression methods
    extensions: dict[int, _Fields] = {}
    listed = fields.vector(2) if fields else _Fields(b"")
    while listed:
        kind = listed.number(2)
        extensions[kind] = listed.vector(2)
    versions = _supported_versions(extensions.get(_SUPPORTED_VERSIONS))
    return ClientHello(
        _server_name(extensions.get(_SERVER_NAME)),
        _protocols(extensions.get(_ALPN)),
        versions or (legacy_version,),
        size,
    )


def _server_name(extension: _Fields | None) -> str:
    """RFC 6066 section 3."""
    names = extension.vector(2) if extension else _Fields(b"")
    while names:
        kind, name = names.number(1), names.vector(2)
        if kind == _HOST_NAME:
            return name.rest().decode("ascii", "backslashreplace").lower()
    return ""


def _protocols(extension: _Fields | None) -> tuple[str, ...]:
    """RFC 7301 section 3.1."""
    listed = extension.vector(2) if extension else _Fields(b"")
    found = []
    while listed:
        found.append(listed.vector(1).rest().decode("utf-8", "backslashreplace"))
    return tuple(found)


def _supported_versions(extension: _Fields | None) -> tuple[int, ...]:
    """RFC 8446 section 4.2.1."""
    listed = extension.vector(1) if extension else _Fields(b"")
    found = []
    while listed:
        found.append(listed.number(2))
    return tuple(found)


def _what_it_speaks(data: bytes) -> str:
    if data.startswith(_HTTP):
        return "the client speaks HTTP, not TLS: its address should begin with https://"
    if data[0] == _MQTT_CONNECT:
        return "the client speaks MQTT without TLS: this port takes it with TLS only"
    if len(data) > 2 and data[0] & 0x80 and data[2] == _CLIENT_HELLO:  # noqa: PLR2004 (RFC 5246 appendix E.2)
        return "the client speaks an outdated version of TLS"
    return "the client speaks something other than TLS"
