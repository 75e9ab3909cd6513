"""Rows of bins as a table, as JSON, and as what the program that writes Parquet is handed."""

import csv
import io
import json
from collections.abc import Iterable, Sequence

import msgspec

from appliance.instant import to_text
from appliance.registry.catalogue.table import escaped
from appliance.telemetry.asking.model import Row
from appliance.telemetry.tables import cell, handed
from appliance.telemetry.tables.layout import AT, Form, as_json, ending_of


class BinnedLayout(msgspec.Struct, frozen=True):
    """How rows are written."""

    form: Form
    key: str
    """The name of the column that says what a row is of; empty when there is none."""
    columns: tuple[str, ...]
    units: tuple[str | None, ...] = ()
    """Of each column, where one is told."""


def heading(layout: BinnedLayout) -> str:
    """What stands before the first row."""
    if layout.form is Form.CSV:
        return _csv([list(map(escaped, _names(layout)))])
    if layout.form is Form.PARQUET:
        return handed.heading(handed.OfBins(layout.key, layout.columns, layout.units))
    return "[" if layout.form is Form.JSON else ""


def body(layout: BinnedLayout, rows: Sequence[Row], *, is_first: bool) -> str:
    """Some rows; `is_first` says whether none was written before. A bin without numbers is an empty cell, or null."""
    if layout.form is Form.CSV:
        return _csv([*_fixed(layout, row), *map(_cell, row.values)] for row in rows)
    if layout.form is Form.PARQUET:
        return handed.rows(rows)
    objects = [_object(layout, row) for row in rows]
    if layout.form is Form.LINES:
        return "".join(each + "\n" for each in objects)
    text = ",\n".join(objects)
    return text if is_first or not text else f",\n{text}"


def ending(layout: BinnedLayout) -> str:
    """What stands after the last row."""
    return ending_of(layout.form)


def _names(layout: BinnedLayout) -> list[str]:
    return [AT, *([layout.key] if layout.key else []), *layout.columns]


def _fixed(layout: BinnedLayout, row: Row) -> list[str]:
    return [to_text(row.place.at), *([escaped(row.place.key)] if layout.key else [])]


def _cell(value: object) -> str:
    return cell.written(value) if isinstance(value, int | float) else ""


def _object(layout: BinnedLayout, row: Row) -> str:
    key = [row.place.key] if layout.key else []
    told = dict(zip(_names(layout), [to_text(row.place.at), *key, *map(as_json, row.values)], strict=True))
    return json.dumps(told, separators=(",", ":"))


def _csv(rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue()
