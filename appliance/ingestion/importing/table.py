"""Rows of a table of readings: which column is what, and what each row tells.

A table has a column for each metric, or the columns `metric` and `value`: see docs/reference/export.md.
"""

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from appliance.ingestion.fault import PayloadError
from appliance.ingestion.gathered import Gathered
from appliance.ingestion.importing.model import InvalidReadingsError, Refusal, Told
from appliance.instant import from_text
from appliance.registry.catalogue.table import separator_of
from appliance.telemetry.asking.model import LATEST
from appliance.telemetry.model import TimeSource, Value
from appliance.telemetry.tables import cell
from appliance.telemetry.tables.layout import DETAILS, DEVICE, METRIC, MOMENTS, MORE, RESERVED, SEQUENCE, UNIT, VALUE

METRICS_LIMIT = 256
"""The most readings of one report, as of a message."""
COLUMNS_LIMIT = 2_000

_NUMBER = re.compile(r"-?\d{1,15}(\.\d{1,9})?", re.ASCII)
_SECONDS_END = 100_000_000_000
"""A number below this is a moment in seconds, from here on in milliseconds; as in messages."""
_INT64_END = 2**63
_SOURCES = {source.name.lower(): source for source in TimeSource}

Cells = tuple[int, list[str]]
"""The line on which a row begins, and its cells."""


def rows(lines: Iterable[str], separator: str, first_line: int = 1) -> Iterator[Cells]:
    """The rows that are not empty. Raises `InvalidReadingsError` where the file is no CSV any more."""
    reader = csv.reader(lines, delimiter=separator, strict=True)
    begins = first_line
    try:
        for cells in reader:
            if any(cells):
                yield begins, cells
            begins = first_line + reader.line_num
    except csv.Error as error:
        raise InvalidReadingsError(f"line {first_line - 1 + reader.line_num} cannot be read: {error}") from None


def separator(heading: str) -> str:
    """What stands between the cells, by the first line."""
    return separator_of(heading)


class Table:
    """What the columns of a table are."""

    def __init__(self, heading: Sequence[str], device_id: str = "") -> None:
        """`device_id` is whose readings they are where no column says so. Raises `InvalidReadingsError`."""
        names = [cell.unescaped(name) for name in heading]
        if names:
            names[0] = names[0].removeprefix("\ufeff")
        if len(names) > COLUMNS_LIMIT:
            raise InvalidReadingsError(f"the table has {len(names):,} columns, at most {COLUMNS_LIMIT:,} are read")
        self._device_id = device_id
        self._fixed: dict[str, int] = {}
        self._metrics: dict[str, int] = {}
        for place, name in enumerate(names):
            self._take_column(place, name)
        self.is_long = METRIC in self._fixed
        """Whether each row is one reading."""
        if self.is_long:
            # It is told for those who read a table: values are kept as they stand.
            self._metrics = {name: at for name, at in self._metrics.items() if name.strip().lower() != UNIT}
        self._check()

    def told(self, row: Cells) -> Told | Refusal | None:
        """What a row tells; None when it has no reading."""
        line, cells = row
        try:
            values = self._values(cells)
            if not values:
                return None
            told = Told(
                line,
                self._device(cells),
                self._moment(cells),
                _sequence(self._cell(cells, SEQUENCE)),
                values,
                *self._details(cells),
            )
            _require_characters(told)
        except PayloadError as error:
            return Refusal(line, error.reason)
        except ValueError as error:
            return Refusal(line, str(error))
        return told

    def reports(self, told: Iterable[Told]) -> Iterator[Told]:
        """What rows that follow each other tell, report by report: where each row is one reading, several are one."""
        return _joined(told) if self.is_long else iter(told)

    def _take_column(self, place: int, name: str) -> None:
        plain = name.strip().lower()
        fixed = "at" if plain in MOMENTS else plain
        if not plain:
            return
        known: dict[str, int] = self._fixed if fixed in RESERVED else self._metrics
        key = fixed if fixed in RESERVED else name
        if key in known:
            raise InvalidReadingsError(f"two columns are {key[:80]!r}: leave one out")
        known[key] = place

    def _check(self) -> None:
        if "at" not in self._fixed:
            raise InvalidReadingsError("no column says when: name one time, at or timestamp in the first line")
        if DEVICE not in self._fixed and not self._device_id:
            raise InvalidReadingsError("no column is named device_id: say which device it is")
        if (METRIC in self._fixed) is not (VALUE in self._fixed):
            raise InvalidReadingsError("the columns metric and value go together: one of them is missing")
        if self.is_long and self._metrics:
            name = next(iter(self._metrics))
            raise InvalidReadingsError(f"beside metric and value there is a column {name[:80]!r}: leave it out")
        if not self.is_long and not self._metrics and MORE not in self._fixed:
            raise InvalidReadingsError("no column is a metric")

    def _cell(self, cells: Sequence[str], name: str) -> str:
        place = self._fixed.get(name, len(cells))
        return cells[place] if place < len(cells) else ""

    def _device(self, cells: Sequence[str]) -> str:
        device_id = cell.unescaped(self._cell(cells, DEVICE)).strip() or self._device_id
        if not device_id:
            raise ValueError("device_id is empty")
        return device_id

    def _moment(self, cells: Sequence[str]) -> int:
        return moment_of(self._cell(cells, "at"))

    def _details(self, cells: Sequence[str]) -> tuple[int | None, TimeSource | None, str | None, str | None]:
        arrived, source, topic, client = (self._cell(cells, name) for name in DETAILS)
        word = source.strip().lower()
        if word and word not in _SOURCES:
            raise ValueError(f"time_source is {word[:40]!r}, expected one of {', '.join(_SOURCES)}")
        return (
            moment_of(arrived) if arrived else None,
            _SOURCES.get(word),
            _text(topic) if topic else None,
            _text(client) if client else None,
        )

    def _values(self, cells: Sequence[str]) -> Mapping[str, Value]:
        found: dict[str, Value] = {}
        if self.is_long:
            value = self._cell(cells, VALUE)
            if value:
                found[_text(self._cell(cells, METRIC))] = cell.read(value)
        else:
            found |= _more(self._cell(cells, MORE))
            for metric, place in self._metrics.items():
                if place < len(cells) and cells[place].strip():
                    found[metric] = cell.read(cells[place])
        if len(found) > METRICS_LIMIT:
            raise ValueError(f"{len(found):,} metrics in one row, at most {METRICS_LIMIT} are taken")
        # The same is taken as from messages.
        gathered = Gathered()
        gathered.take(found)
        return gathered.values


def _joined(told: Iterable[Told]) -> Iterator[Told]:
    last: Told | None = None
    values: dict[str, Value] = {}
    for each in told:
        is_more = last is not None and _about(last) == _about(each) and len(values) < METRICS_LIMIT
        if is_more and values.keys().isdisjoint(each.values):
            values.update(each.values)
            continue
        if last is not None:
            yield msgspec.structs.replace(last, values=values)
        last, values = each, dict(each.values)
    if last is not None:
        yield msgspec.structs.replace(last, values=values)


def moment_of(text: str) -> int:
    """A moment: RFC 3339, or seconds or milliseconds since 1970. Raises `ValueError`."""
    plain = text.strip()
    if not plain:
        raise ValueError("the row does not say when")
    if _NUMBER.fullmatch(plain):
        whole, _, part = plain.partition(".")
        at = (
            int(whole)
            if abs(int(whole)) >= _SECONDS_END
            else round(float(plain) * 1_000)
            if part
            else int(whole) * 1_000
        )
    else:
        try:
            at = from_text(plain)
        except ValueError:
            raise ValueError(f"{plain[:40]!r} is no moment: expected for example 2026-01-31T10:30:00Z") from None
    if not 0 <= at < LATEST:
        raise ValueError(f"{plain[:40]} lies before 1970 or after the year 9000")
    return at


def _about(told: Told) -> tuple[object, ...]:
    """All but the values, and the line."""
    return told.device_id, told.at, told.sequence, told.arrived_at, told.time_source, told.topic, told.client_id


def _sequence(text: str) -> int | None:
    plain = text.strip()
    if not plain:
        return None
    if not plain.isascii() or not plain.isdigit() or len(plain) > len(str(_INT64_END)) or int(plain) >= _INT64_END:
        raise ValueError(f"sequence is {plain[:40]!r}, expected a whole number from 0")
    return int(plain)


def _text(content: str) -> str:
    value = cell.read(content)
    # A name such as 12 is quoted where we wrote it, and not where others did.
    return value if isinstance(value, str) else content.strip()


def _require_characters(told: Told) -> None:
    """Refuse halves of characters, which JSON can name and nothing can write. Raises `ValueError`."""
    texts = [told.device_id, told.topic or "", told.client_id or "", *told.values]
    for text in [*texts, *(value for value in told.values.values() if isinstance(value, str))]:
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{text[:40]!a} holds half of a character") from None


def _more(text: str) -> dict[str, Value]:
    if not text.strip():
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ValueError("more is not a JSON object")  # noqa: TRY004  the author's fault, not the caller's
    return found
