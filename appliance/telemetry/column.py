"""One column of values as bytes, and back, exactly.

Whole and floating-point numbers are kept apart (1 and 1.0 come back as what they were); -0.0, infinities,
NaN, integers of any size, text, booleans, null and missing values all come back. Decimal fractions are
scaled to whole numbers when that loses nothing. The format is in docs/reference/chunks.md.
"""

from array import array
from collections.abc import Callable, Sequence
from enum import Enum, IntEnum
from itertools import accumulate, pairwise, repeat
from math import copysign, isfinite
from operator import truediv
from typing import Any, cast

from appliance.telemetry.model import TimeSource, Value
from appliance.telemetry.packing import (
    INTEGER_LIMIT,
    ChunkError,
    Reader,
    Wholes,
    as_text,
    float_array,
    put_doubles,
    put_integers,
    put_varint,
    put_wholes,
    take_doubles,
    take_integer_array,
    take_integer_sequence,
    take_integers,
    take_pieces,
)
from appliance.telemetry.tenths import take_tenths


class Missing(Enum):
    """Stands where a report does not name the metric at all, which is not the same as saying null."""

    MISSING = 0


MISSING = Missing.MISSING

Cell = Value | Missing
"""What stands in one row of a column."""

_PLACES_LIMIT = 9
SCALES = [10.0**places for places in range(_PLACES_LIMIT + 1)]
_EXACT_LIMIT = 1 << 53
_ROUNDED_LIMIT = float(1 << 51)
_ROUNDER = 3 * _ROUNDED_LIMIT
_SAMPLE_COUNT = 8
_KINDS: dict[str, type] = {"d": float, "q": int}
"""Of arrays."""
_TIME_SOURCES = {int(source): source for source in TimeSource}


class _Form(IntEnum):
    """How a column is stored; the number is its first byte."""

    MISSING = 0
    NULL = 1
    DECIMAL = 2
    DOUBLE = 3
    INTEGER = 4
    WIDE_INTEGER = 5
    BOOLEAN = 6
    TEXT = 7
    MIXED = 8


FRACTIONS, _CONSTANT = bytes((_Form.DECIMAL,)), bytes((_Form.INTEGER, 0))
"""How columns begin: of decimal fractions, before how many places these have; of one whole number over and over."""


def put_column(out: bytearray, cells: Sequence[Cell]) -> None:
    """Append a column; the count of its cells is the reader's to know."""
    if not cells:
        return
    if isinstance(cells, array):
        kinds: set[type] = {_KINDS[cells.typecode]}
        cells = cells.tolist()  # once, and not each time that it is gone through
    else:
        kinds = set(map(type, cells))
    if kinds == {float}:
        _put_floats(out, cast("Sequence[float]", cells))
    elif kinds == {int} and _is_packable(cast("Sequence[int]", cells)):
        out.append(_Form.INTEGER)
        put_integers(out, cast("Sequence[int]", cells))
    elif kinds == {type(None)}:
        out.append(_Form.NULL)
    elif kinds == {str}:
        out.append(_Form.TEXT)
        _put_texts(out, cast("Sequence[str]", cells))
    else:
        _put_any(out, cells)


def take_column(reader: Reader, count: int) -> list[Cell]:
    """Read a column of `count` cells. Raises `ChunkError` when the bytes are none."""
    return _take_cells(reader, reader.byte(), count) if count else []


def take_packed(reader: Reader, count: int) -> "array[int] | array[float] | list[Cell]":
    """Read a column, of numbers of one kind as an array if 64 bits hold them. Raises `ChunkError` as `take_column`."""
    if not count:
        return []
    match form := reader.byte():
        case _Form.INTEGER:
            return take_integer_array(reader, count)
        case _Form.DECIMAL:
            return _take_decimal_array(reader, count)
        case _Form.DOUBLE:
            return take_doubles(reader, count)
        case _:
            return _take_cells(reader, form, count)


def take_scale(reader: Reader) -> float | None:
    """What the whole numbers of a column are divided by; None, and nothing is read, of any other column."""
    return _take_scale(reader) if reader.skip(FRACTIONS) else None


def take_constant(reader: Reader, count: int) -> int | None:
    """Read a column of which all cells are one whole number; None, and nothing is read, where that is not plain."""
    return reader.signed() if count and reader.skip(_CONSTANT) else None


def take_names(reader: Reader, count: int) -> tuple[list[bytes], Sequence[int]]:
    """Read a column of text: its different texts in UTF-8, and for each cell the number of its text."""
    if not count:
        return [], []
    if reader.byte() != _Form.TEXT:
        raise ChunkError("a column holds values of another kind than it may")
    names, joined = take_pieces(reader)
    if not joined.isascii():
        for name in names:
            as_text(name)  # raises when it is none
    return names, _take_places(reader, count, len(names))


def _take_places(reader: Reader, count: int, name_count: int) -> Sequence[int]:
    """Which of so many texts each cell is: the range of all of them where each is another one, as it mostly is."""
    numbers = take_integer_sequence(reader, count)
    is_usual = numbers == range(name_count) or (name_count == 1 and numbers.count(0) == count)
    if not is_usual and (min(numbers) < 0 or max(numbers) >= name_count):
        raise ChunkError("a text is named that is not there")
    return numbers


def _take_cells(reader: Reader, form: int, count: int) -> list[Cell]:
    if form != _Form.MIXED:
        return _take_uniform(reader, form, count)
    forms = take_integers(reader, count)
    columns: dict[int, Callable[[], Cell]] = {}
    for kind in sorted(set(forms)):
        cells = _take_uniform(reader, reader.byte(), forms.count(kind))
        columns[kind] = iter(cells).__next__
    return [columns[kind]() for kind in forms]


def take_texts(reader: Reader, count: int) -> list[str]:
    """Read a column that holds nothing but text. Raises `ChunkError` when it holds anything else."""
    return cast("list[str]", _take_only(reader, count, _Form.TEXT, {str}))


def take_numbers(reader: Reader, count: int) -> list[int]:
    """Read a column that holds nothing but whole numbers. Raises `ChunkError` when it holds anything else."""
    return cast("list[int]", _take_only(reader, count, _Form.INTEGER, {int}))


def take_optional_numbers(reader: Reader, count: int) -> list[int | None]:
    """Read a column that holds nothing but whole numbers and nulls. Raises `ChunkError` otherwise."""
    return cast("list[int | None]", _take_only(reader, count, _Form.INTEGER, {int, type(None)}))


def take_time_sources(reader: Reader, count: int) -> list[TimeSource]:
    """Read a column that says where moments come from. Raises `ChunkError` when it holds anything else."""
    numbers = take_numbers(reader, count)
    if numbers.count(0) == count:
        return [TimeSource.DEVICE] * count
    try:
        return [_TIME_SOURCES[number] for number in numbers]
    except KeyError as error:
        raise ChunkError(f"a time source of {error} is not known") from error


def _take_only(reader: Reader, count: int, usual: _Form, kinds: set[type]) -> list[Cell]:
    form = reader.byte() if count else usual
    cells = _take_cells(reader, form, count) if count else []
    if form != usual and not kinds.issuperset(map(type, cells)):
        raise ChunkError("a column holds values of another kind than it may")
    return cells


def _is_packable(values: Sequence[int]) -> bool:
    return min(values) > -INTEGER_LIMIT and max(values) < INTEGER_LIMIT


def _put_floats(out: bytearray, values: Sequence[float]) -> None:
    # Of what is not finite no sum is: this takes less time than to look at each.
    is_finite = isfinite(sum(values)) or all(map(isfinite, values))
    if not is_finite or (0.0 in values and any(value == 0 and _is_special(value) for value in values)):
        _put_any(out, values)
        return
    _put_finite(out, values)


def _put_finite(out: bytearray, values: Sequence[float]) -> None:
    decimals = _as_decimals(values if isinstance(values, list) else list(values))
    if decimals is None:
        out.append(_Form.DOUBLE)
        put_doubles(out, values)
        return
    places, scaled = decimals
    out.append(_Form.DECIMAL)
    out.append(places)
    if isinstance(scaled, Wholes):
        put_wholes(out, scaled)
    else:
        put_integers(out, scaled)


def _as_decimals(values: list[float]) -> tuple[int, list[int] | Wholes] | None:
    """Whole numbers which, divided by the power of ten, give exactly the values; None when there are none."""
    sample = values[:_SAMPLE_COUNT]
    places = _places_of(sample, 0) if max(map(abs, sample)) <= _EXACT_LIMIT else None
    while places is not None:
        scale = SCALES[places]
        # Floating-point numbers of the size of this one are whole: what is added to it is rounded, as `round` does.
        scaled = [value * scale + _ROUNDER - _ROUNDER for value in values]
        back = [whole / scale for whole in scaled]
        lowest, highest = min(scaled), max(scaled)
        if back == values and lowest > -_ROUNDED_LIMIT and highest < _ROUNDED_LIMIT:
            return places, Wholes(scaled, lowest, highest)
        largest = max(map(abs, values))
        if largest * scale >= _ROUNDED_LIMIT - 1:
            return _as_great_decimals(values, places) if largest <= _EXACT_LIMIT else None
        wrong = next(value for value, told in zip(values, back, strict=True) if told != value)
        places = _places_of([wrong], places + 1)
    return None


def _as_great_decimals(values: list[float], least: int) -> tuple[int, list[int]] | None:
    places: int | None = least
    while places is not None:
        scale = SCALES[places]
        scaled = [round(value * scale) for value in values]
        wrong = next((value for value, whole in zip(values, scaled, strict=True) if whole / scale != value), None)
        if wrong is None:
            return (places, scaled) if min(scaled) >= -_EXACT_LIMIT and max(scaled) <= _EXACT_LIMIT else None
        places = _places_of([wrong], places + 1)
    return None


def _places_of(values: list[float], least: int) -> int | None:
    for places in range(least, _PLACES_LIMIT + 1):
        scale = SCALES[places]
        if [round(value * scale) / scale for value in values] == values:
            return places
    return None


def _put_any(out: bytearray, cells: Sequence[Cell]) -> None:
    forms = [_form_of(cell) for cell in cells]
    kinds = sorted(set(forms))
    if len(kinds) > 1:
        out.append(_Form.MIXED)
        put_integers(out, forms)
    for kind in kinds:
        _put_uniform(out, kind, [cell for cell, form in zip(cells, forms, strict=True) if form is kind])


def _form_of(cell: Cell) -> _Form:
    match cell:
        case Missing():
            return _Form.MISSING
        case None:
            return _Form.NULL
        case bool():
            return _Form.BOOLEAN
        case int():
            return _Form.INTEGER if -INTEGER_LIMIT < cell < INTEGER_LIMIT else _Form.WIDE_INTEGER
        case float():
            return _Form.DOUBLE if _is_special(cell) else _Form.DECIMAL
        case _:
            return _Form.TEXT


def _is_special(value: float) -> bool:
    """Whether no scaling to a whole number can bring it back: infinities, NaN and -0.0."""
    return not isfinite(value) or (value == 0 and copysign(1, value) < 0)


def _put_uniform(out: bytearray, form: _Form, cells: Sequence[Cell]) -> None:
    if form is _Form.DECIMAL:
        _put_finite(out, cast("Sequence[float]", cells))
        return
    out.append(form)
    match form:
        case _Form.DOUBLE:
            put_doubles(out, cast("Sequence[float]", cells))
        case _Form.INTEGER | _Form.BOOLEAN:
            put_integers(out, cast("Sequence[int]", cells))
        case _Form.WIDE_INTEGER:
            _put_wide(out, cast("Sequence[int]", cells))
        case _Form.TEXT:
            _put_texts(out, cast("Sequence[str]", cells))
        case _:
            pass  # missing, null: the form says it all


def _take_uniform(reader: Reader, form: int, count: int) -> list[Cell]:
    take = _TAKERS.get(form)
    if take is None:
        raise ChunkError(f"a column of form {form} is not known")
    return take(reader, count)


def _take_decimals(reader: Reader, count: int) -> list[float]:
    scale = _take_scale(reader)
    return list(map(truediv, take_integer_sequence(reader, count), repeat(scale)))


def _take_decimal_array(reader: Reader, count: int) -> "array[float]":
    scale = _take_scale(reader)
    tenths = take_tenths(reader, count, scale)
    if tenths is not None:
        return tenths
    return float_array(list(map(truediv, take_integer_sequence(reader, count), repeat(scale))))


def _take_scale(reader: Reader) -> float:
    places = reader.byte()
    if places > _PLACES_LIMIT:
        raise ChunkError(f"{places} decimal places are not known")
    return SCALES[places]


def _put_wide(out: bytearray, values: Sequence[int]) -> None:
    for value in values:
        size = value.bit_length() // 8 + 1
        put_varint(out, size)
        out += value.to_bytes(size, "little", signed=True)


def _take_wide(reader: Reader, count: int) -> list[int]:
    return [int.from_bytes(reader.piece(), "little", signed=True) for _ in range(count)]


def _put_texts(out: bytearray, texts: Sequence[str]) -> None:
    """Each different text once, then for each cell the number of its text."""
    different = list(dict.fromkeys(texts))
    put_varint(out, len(different))
    joined = "".join(different)
    if joined.isascii():
        # A character is a byte: nearly always so, and much quicker than text by text.
        put_integers(out, list(map(len, different)))
        out += joined.encode("ascii")
    else:
        encoded = [text.encode("utf-8", "surrogatepass") for text in different]
        put_integers(out, list(map(len, encoded)))
        out += b"".join(encoded)
    if len(different) == len(texts):
        put_integers(out, range(len(texts)))
    else:
        numbers = {text: number for number, text in enumerate(different)}
        put_integers(out, list(map(numbers.__getitem__, texts)))


def _take_texts(reader: Reader, count: int) -> list[str]:
    lengths = take_integers(reader, reader.count())
    if lengths and min(lengths) < 0:
        raise ChunkError("a text has a negative length")
    joined = reader.take(sum(lengths))
    ends = list(accumulate(lengths, initial=0))
    if joined.isascii():
        # A character is a byte: nearly always so, and much quicker than text by text.
        whole = as_text(joined)
        texts = [whole[start:end] for start, end in pairwise(ends)]
    else:
        texts = [as_text(joined[start:end]) for start, end in pairwise(ends)]
    numbers = _take_places(reader, count, len(texts))
    if len(texts) == 1:
        return texts * count
    return texts if numbers == range(len(texts)) else list(map(texts.__getitem__, numbers))


_TAKERS: dict[int, Callable[[Reader, int], list[Any]]] = {
    _Form.MISSING: lambda _, count: [MISSING] * count,
    _Form.NULL: lambda _, count: [None] * count,
    _Form.DECIMAL: _take_decimals,
    _Form.DOUBLE: lambda reader, count: take_doubles(reader, count).tolist(),
    _Form.INTEGER: take_integers,
    _Form.WIDE_INTEGER: _take_wide,
    _Form.BOOLEAN: lambda reader, count: list(map(bool, take_integers(reader, count))),
    _Form.TEXT: _take_texts,
}
