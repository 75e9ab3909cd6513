"""The part of CBOR (RFC 8949) that telemetry and provisioning need, in both directions.

Rules: numbers of tags 2 and 3 (large integers) and 4 (decimal fractions) are numbers; every other tag is read
over. Nothing that comes from outside is believed. Depth and the number of values are bounded, a length
is compared with the bytes that are there before anything is made of it, and bytes after the value are a fault.
"""

import math
import struct
from collections.abc import Iterator
from typing import Any, NoReturn

from appliance.errors import InvalidInputError

DEPTH_LIMIT = 16
ITEMS_LIMIT = 4_096
"""How many values one message may hold, whatever their kind."""

Value = None | bool | int | float | str | bytes | list["Value"] | dict[str, "Value"]

_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP, _TAG, _SIMPLE = range(8)
_INDEFINITE = 31
_BREAK = 0xFF
_DIRECT = 24
"""Below it, the five low bits of a head are the number itself."""
_WIDTHS = {24: 1, 25: 2, 26: 4, 27: 8}
_SIMPLE_VALUES: dict[int, Value] = {20: False, 21: True, 22: None, 23: None}
_FLOATS = {25: ">e", 26: ">f", 27: ">d"}
_HIGHEST = 2**64
_TEXT_KEYS: frozenset[type] = frozenset((str,))
_LABELS: frozenset[type] = frozenset((str, int))
_BIGNUM, _NEGATIVE_BIGNUM, _DECIMAL = 2, 3, 4
_BIGNUM_BYTES = 128
"""Beyond it, no number is a finite double."""
_EXPONENT_LIMIT = 400


class InvalidCborError(InvalidInputError):
    """The bytes are no CBOR, or CBOR that nobody here needs."""

    code = "invalid_cbor"


def decode(data: bytes) -> Value:
    """The one value that these bytes are; the keys of maps are texts. Raises `InvalidCborError`."""
    value: Value = _Reader(data, ITEMS_LIMIT, _TEXT_KEYS).whole()
    return value


def decode_labelled(data: bytes, items_limit: int) -> Any:
    """The same with at most so many values, where keys may also be whole numbers. Raises `InvalidCborError`."""
    return _Reader(data, items_limit, _LABELS).whole()


def encode(value: Value) -> bytes:
    """The value as CBOR, with definite lengths and the shortest heads. Raises `InvalidCborError` for a huge integer."""
    return b"".join(_pieces(value))


class _Reader:
    """Walks along the bytes of one message."""

    def __init__(self, data: bytes, items_limit: int, key_kinds: frozenset[type]) -> None:
        self._data = data
        self._items_limit = items_limit
        self._key_kinds = key_kinds
        self._position = 0
        self._item_count = 0

    def whole(self) -> Any:
        value = self.value(0)
        if self._position != len(self._data):
            raise InvalidCborError("there are bytes after the end of the value")
        return value

    def value(self, depth: int) -> Any:
        self._count(depth)
        head = self._take(1)[0]
        kind, detail = head >> 5, head & 0x1F
        if kind == _SIMPLE:
            return self._simple(detail)
        if kind == _TAG:
            return _tagged(self._number(detail), self.value(depth + 1))
        if kind in (_UNSIGNED, _NEGATIVE):
            number = self._number(detail)
            return number if kind == _UNSIGNED else -1 - number
        if kind in (_BYTES, _TEXT):
            return self._string(kind, detail)
        return self._array(detail, depth) if kind == _ARRAY else self._map(detail, depth)

    def _count(self, depth: int) -> None:
        self._item_count += 1
        if depth > DEPTH_LIMIT:
            raise InvalidCborError(f"it is nested deeper than {DEPTH_LIMIT} levels")
        if self._item_count > self._items_limit:
            raise InvalidCborError(f"it holds more than {self._items_limit} values")

    def _simple(self, detail: int) -> Value:
        if detail in _SIMPLE_VALUES:
            return _SIMPLE_VALUES[detail]
        layout = _FLOATS.get(detail)
        if layout is None:
            _refuse(f"a simple value of the kind {detail}")
        [number] = struct.unpack(layout, self._take(_WIDTHS[detail]))
        return float(number)

    def _string(self, kind: int, detail: int) -> str | bytes:
        if detail == _INDEFINITE:
            pieces = []
            while not self._ends():
                self._count(0)
                head = self._take(1)[0]
                if head >> 5 != kind or head & 0x1F == _INDEFINITE:
                    _refuse("a piece of another kind inside of a string")
                pieces.append(self._piece(kind, head & 0x1F))
            return b"".join(pieces) if kind == _BYTES else "".join(map(_text, pieces))
        piece = self._piece(kind, detail)
        return piece if kind == _BYTES else _text(piece)

    def _piece(self, kind: int, detail: int) -> bytes:
        if detail == _INDEFINITE:
            _refuse(f"a string without a length inside of one of the kind {kind}")
        return self._take(self._number(detail))

    def _array(self, detail: int, depth: int) -> list[Any]:
        return [self.value(depth + 1) for _ in self._each(detail)]

    def _map(self, detail: int, depth: int) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        for _ in self._each(detail):
            key = self.value(depth + 1)
            if type(key) not in self._key_kinds:
                raise InvalidCborError("the key of a map is no text")
            if key in found:
                raise InvalidCborError(f"the key {str(key)[:40]!r} is there twice")
            found[key] = self.value(depth + 1)
        return found

    def _each(self, detail: int) -> Iterator[None]:
        """One step for every element of an array or map."""
        if detail == _INDEFINITE:
            while not self._ends():
                yield
            return
        for _ in range(self._number(detail)):
            yield

    def _ends(self) -> bool:
        """Whether the mark is next that ends what has no length; it is taken then."""
        if self._position >= len(self._data):
            raise InvalidCborError("it breaks off")
        if self._data[self._position] != _BREAK:
            return False
        self._position += 1
        return True

    def _number(self, detail: int) -> int:
        if detail < _DIRECT:
            return detail
        if detail not in _WIDTHS:
            _refuse(f"a length of the kind {detail}")
        return int.from_bytes(self._take(_WIDTHS[detail]), "big")

    def _take(self, count: int) -> bytes:
        end = self._position + count
        if end > len(self._data):
            raise InvalidCborError("it breaks off")
        taken = self._data[self._position : end]
        self._position = end
        return taken


def _tagged(tag: int, value: Any) -> Any:
    """What a value means under its tag."""
    if tag in (_BIGNUM, _NEGATIVE_BIGNUM) and isinstance(value, bytes):
        if len(value) > _BIGNUM_BYTES:
            raise InvalidCborError("an integer in it is larger than any number that can be kept")
        number = int.from_bytes(value, "big")
        return number if tag == _BIGNUM else -1 - number
    if tag == _DECIMAL and isinstance(value, list) and list(map(type, value)) == [int, int]:
        exponent, mantissa = value
        if abs(exponent) > _EXPONENT_LIMIT:
            raise InvalidCborError(
                "a decimal fraction in it has an exponent beyond that of any number that can be kept"
            )
        return mantissa * 10**exponent if exponent >= 0 else float(f"{mantissa}e{exponent}")
    return value


def _refuse(what: str) -> NoReturn:
    raise InvalidCborError(f"it has {what}, which is not understood")


def _text(piece: bytes) -> str:
    try:
        return piece.decode()
    except UnicodeDecodeError as error:
        raise InvalidCborError("a text in it is not UTF-8") from error


def _pieces(value: Value) -> Iterator[bytes]:
    match value:
        case bool() | None:
            yield bytes([_SIMPLE << 5 | {False: 20, True: 21, None: 22}[value]])
        case int():
            yield _head(_UNSIGNED, value) if value >= 0 else _head(_NEGATIVE, -1 - value)
        case float():
            yield b"\xfb" + struct.pack(">d", math.nan if math.isnan(value) else value)
        case str():
            data = value.encode()
            yield _head(_TEXT, len(data)) + data
        case bytes():
            yield _head(_BYTES, len(value)) + value
        case list():
            yield _head(_ARRAY, len(value))
            for element in value:
                yield from _pieces(element)
        case dict():
            yield _head(_MAP, len(value))
            for key, element in value.items():
                yield from _pieces(key)
                yield from _pieces(element)


def _head(kind: int, number: int) -> bytes:
    if number < _DIRECT:
        return bytes([kind << 5 | number])
    for detail, width in _WIDTHS.items():
        if number < 1 << 8 * width:
            return bytes([kind << 5 | detail]) + number.to_bytes(width, "big")
    raise InvalidCborError(f"an integer does not fit: its size is beyond {_HIGHEST - 1}")
