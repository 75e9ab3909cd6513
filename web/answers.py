"""Answers to questions about readings, as JSON and as CSV. Both are written in a thread: they may be long."""

import csv
import io
from collections.abc import Sequence

import msgspec

from appliance.instant import to_text
from appliance.registry.catalogue.table import escaped
from appliance.telemetry.asking.model import Row
from appliance.telemetry.model import Value


class RowsOut(msgspec.Struct, frozen=True):
    """Rows, each with a value for every column. `next_cursor` asks for the page after this one; null on the last."""

    columns: list[str]
    rows: list[list[Value]]
    next_cursor: str | None


def table_of(rows: Sequence[Row], *, is_keyed: bool) -> list[list[Value]]:
    """Each row as its moment, its key if rows have one, and its values."""
    return [[to_text(row.place.at), *([row.place.key] if is_keyed else []), *row.values] for row in rows]


def as_json(columns: Sequence[str], rows: Sequence[Row], next_cursor: str | None, *, is_keyed: bool) -> bytes:
    """The answer as JSON. Numbers that JSON has no word for are null."""
    return msgspec.json.encode(RowsOut(list(columns), table_of(rows, is_keyed=is_keyed), next_cursor))


def as_csv(columns: Sequence[str], rows: Sequence[Row], *, is_keyed: bool) -> bytes:
    """The answer as CSV (RFC 4180) with a heading. Nothing stands for null, and text can be no formula."""
    written = io.StringIO()
    writer = csv.writer(written)
    writer.writerow([escaped(column) for column in columns])
    writer.writerows([_cell(value) for value in row] for row in table_of(rows, is_keyed=is_keyed))
    return written.getvalue().encode("utf-8", "replace")


def _cell(value: Value) -> str | int | float:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return escaped(value) if isinstance(value, str) else value
