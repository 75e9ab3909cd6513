"""Reports as the rows of a table and as JSON. What every column and key means is in docs/reference/export.md."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from math import isfinite

import msgspec

from appliance.instant import to_text
from appliance.registry.catalogue.table import escaped
from appliance.telemetry.model import Report, Value
from appliance.telemetry.tables import cell, handed
from appliance.telemetry.tables.handed import NO_UNITS, Units

COLUMNS_LIMIT = 1_000
"""Metrics beyond so many stand together in the column `more`."""

DEVICE, AT, SEQUENCE, MORE, METRIC, VALUE = "device_id", "at", "sequence", "more", "metric", "value"
UNIT = "unit"
"""A column beside `metric` and `value` alone: elsewhere a metric may have this name."""
DETAILS = ("arrived_at", "time_source", "topic", "client_id")
MOMENTS = (AT, "time", "timestamp")
"""The names that the column with the moment may have."""
RESERVED = frozenset((DEVICE, SEQUENCE, MORE, METRIC, VALUE, *DETAILS, *MOMENTS))


class Form(StrEnum):
    """How readings are written."""

    CSV = "csv"
    """A row for each report, a column for each metric."""
    LONG = "long"
    """CSV with a row for each reading."""
    JSON = "json"
    """One array."""
    LINES = "jsonl"
    """A line of JSON for each report."""
    PARQUET = "parquet"
    """A row for each reading, written by a program beside the gateway: what is made here is what it is handed."""


class Layout(msgspec.Struct, frozen=True):
    """What is written of each report."""

    form: Form
    metrics: tuple[str, ...]
    """The metrics that have columns, in this order; others stand in the column `more`."""
    is_detailed: bool
    """Whether arrival, topic and client identifier are told too."""
    units: Units = {}
    """By device and metric, as far as they are known and the form tells them."""


def tells_units(form: Form, *, is_detailed: bool) -> bool:
    """Whether readings that are written so have their units beside them."""
    return form in {Form.LONG, Form.PARQUET} or (is_detailed and form in {Form.JSON, Form.LINES})


def columns_for(metrics: Iterable[str]) -> tuple[str, ...]:
    """Those metrics that can have a column of their own: their names can be told from the fixed columns."""
    return tuple([name for name in sorted(set(metrics)) if _is_plain(name)][:COLUMNS_LIMIT])


def heading(layout: Layout) -> str:
    """What stands before the first report."""
    if layout.form is Form.JSON:
        return "["
    if layout.form is Form.LINES:
        return ""
    if layout.form is Form.PARQUET:
        return handed.heading(handed.OfReadings(layout.is_detailed))
    fixed = [DEVICE, AT, SEQUENCE, *(DETAILS if layout.is_detailed else ())]
    if layout.form is Form.LONG:
        return _csv([[*fixed, METRIC, VALUE, UNIT]])
    return _csv([[*fixed, *map(escaped, layout.metrics), MORE]])


def body(layout: Layout, reports: Sequence[Report], *, is_first: bool) -> str:
    """Some reports; `is_first` says whether none was written before."""
    match layout.form:
        case Form.CSV:
            return _csv(_row(layout, report) for report in reports)
        case Form.LONG:
            return _csv(
                [*_fixed(layout, report), cell.written(metric), cell.written(value), _unit(units, metric)]
                for report in reports
                for units in (layout.units.get(report.device_id, NO_UNITS),)
                for metric, value in report.values.items()
            )
        case Form.LINES:
            return "".join(_object(layout, report) + "\n" for report in reports)
        case Form.JSON:
            objects = ",\n".join(_object(layout, report) for report in reports)
            return objects if is_first or not objects else f",\n{objects}"
        case Form.PARQUET:
            return handed.reports(reports, layout.units, is_detailed=layout.is_detailed)


def ending(layout: Layout) -> str:
    """What stands after the last report."""
    return ending_of(layout.form)


def ending_of(form: Form) -> str:
    """What stands at the very end."""
    if form is Form.PARQUET:
        return handed.END
    return "]\n" if form is Form.JSON else ""


def as_json(value: Value) -> Value:
    """The value as JSON can say it: what has no digits becomes a word."""
    return cell.special(value) if isinstance(value, float) and not isfinite(value) else value


def _row(layout: Layout, report: Report) -> list[str]:
    values = report.values
    cells = [cell.written(values[metric]) if metric in values else "" for metric in layout.metrics]
    rest = {} if len(values) == sum(map(bool, cells)) else _rest(layout.metrics, values)
    return [*_fixed(layout, report), *cells, json.dumps(rest) if rest else ""]


def _rest(metrics: Sequence[str], values: Mapping[str, Value]) -> dict[str, Value]:
    known = set(metrics)
    return {metric: value for metric, value in values.items() if metric not in known}


def _fixed(layout: Layout, report: Report) -> list[str]:
    sequence = "" if report.sequence is None else str(report.sequence)
    found = [escaped(report.device_id), to_text(report.at), sequence]
    if layout.is_detailed:
        source = report.time_source.name.lower()
        found += [to_text(report.arrived_at), source, cell.written(report.topic), cell.written(report.client_id)]
    return found


def _unit(units: Mapping[str, str], metric: str) -> str:
    return cell.written(units[metric]) if metric in units else ""


def _object(layout: Layout, report: Report) -> str:
    told: dict[str, object] = {DEVICE: report.device_id, AT: to_text(report.at)}
    if report.sequence is not None:
        told[SEQUENCE] = report.sequence
    if layout.is_detailed:
        told["arrived_at"] = to_text(report.arrived_at)
        told["time_source"] = report.time_source.name.lower()
        told["topic"], told["client_id"] = report.topic, report.client_id
    told["values"] = {metric: as_json(value) for metric, value in report.values.items()}
    units = layout.units.get(report.device_id, NO_UNITS)
    if units and (known := {metric: units[metric] for metric in report.values if metric in units}):
        told["units"] = known
    # Not msgspec: text may hold half of a character of UTF-16, which only escapes can say.
    return json.dumps(told, separators=(",", ":"))


def _csv(rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue()


def _is_plain(name: str) -> bool:
    is_clear = name.isprintable() and name == name.strip() and not name.startswith('"')
    return is_clear and bool(name) and name.lower() not in RESERVED
