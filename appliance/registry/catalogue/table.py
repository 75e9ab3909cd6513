"""Devices as CSV: reading what others wrote, writing what others can open, planning what an import would do.

Rules: a table that was written here and is read again changes nothing. A cell never begins with what a
spreadsheet takes for a formula: an apostrophe is put before it, and taken away again when it is read.
"""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from appliance.errors import ApplianceError
from appliance.registry.catalogue.lifecycle import move_refusal
from appliance.registry.catalogue.model import Fate, InvalidTableError, Plan, PlannedRow
from appliance.registry.model import (
    GROUP_SEPARATOR,
    Device,
    DeviceState,
    NewDevice,
    check_new_device,
)

ROWS_LIMIT = 100_000
COLUMNS_LIMIT = 200
ATTRIBUTE = "attribute."
TEXT_FIELDS = ("device_id", "name", "type", "zone", "serial_number", "state", "groups", "notes")
"""The columns of an export, before the attributes; what a column of another's table can be."""
IGNORED = ""
"""What a column is that an import does not look at."""

_SEPARATORS = (",", ";", "\t")
_FORMULA = re.compile(r"'*[=+\-@\t\r\n\uff0b\uff0d\uff1d\uff20]")
_HEADINGS = {
    **{field.replace("_", ""): field for field in TEXT_FIELDS},
    "id": "device_id",
    "device": "device_id",
    "clientid": "device_id",
    "thingname": "device_id",
    "serial": "serial_number",
    "serialno": "serial_number",
    "model": "type",
    "devicetype": "type",
    "location": "zone",
    "group": "groups",
    "tags": "groups",
    "note": "notes",
    "comment": "notes",
    "status": "state",
}


class Table(msgspec.Struct, frozen=True):
    """A file as rows of cells, each with the line it begins on."""

    columns: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...]


def read(content: bytes) -> Table:
    """Read a file: UTF-8, with commas, semicolons or tabs between the cells. Raises `InvalidTableError`."""
    text = _text(content)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator_of(text), strict=True)
    try:
        columns = _columns(next(reader, []))
        rows = []
        begins = reader.line_num + 1
        for cells in reader:
            if any(cells):
                rows.append((begins, tuple(map(_unescaped, cells))))
            begins = reader.line_num + 1
            if len(rows) > ROWS_LIMIT:
                raise InvalidTableError(f"the table has more than {ROWS_LIMIT:,} rows: import it in parts")
    except csv.Error as error:
        raise InvalidTableError(f"line {reader.line_num} cannot be read: {error}") from None
    return Table(columns, tuple(rows))


def separator_of(text: str) -> str:
    """What stands between the cells: of comma, semicolon and tab the one that the first line has most of."""
    heading = re.sub(r'"[^"]*"', "", text.lstrip("\r\n").split("\n", 1)[0])
    return max(_SEPARATORS, key=heading.count)


def guessed(columns: Sequence[str]) -> dict[str, str]:
    """Which field each column seems to be; each field at most once, the others are ignored."""
    mapping: dict[str, str] = {}
    for column in columns:
        plain = column.strip()
        field = plain if plain in TEXT_FIELDS or plain.startswith(ATTRIBUTE) else ""
        field = field or _HEADINGS.get(re.sub(r"[^a-z]", "", plain.casefold()), IGNORED)
        mapping[column] = IGNORED if field in mapping.values() else field
    return mapping


def plan(table: Table, mapping: Mapping[str, str], known: Mapping[str, Device]) -> Plan:
    """What an import would do, row by row. `known` are the devices that are there, by their device id.

    Raises `InvalidTableError` when the mapping names no column for the device id, or names one twice.
    """
    places = _places(table.columns, mapping)
    seen: dict[str, int] = {}
    rows = []
    for line, cells in table.rows:
        row = _planned(line, _told(places, cells), known)
        if row.device_id in seen and row.fate is not Fate.REFUSED:
            reason = f"{row.device_id} stands on line {seen[row.device_id]} already"
            row = PlannedRow(line, row.device_id, Fate.REFUSED, reason)
        seen.setdefault(row.device_id, line)
        rows.append(row)
    return Plan(tuple(rows))


def written(devices: Iterable[Device], keys: Sequence[str]) -> str:
    """The devices as CSV (RFC 4180), with a column for each of these keys of attributes."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow([*TEXT_FIELDS, *(ATTRIBUTE + key for key in keys)])
    for device in devices:
        cells = (
            device.device_id,
            device.name,
            device.type,
            device.zone,
            device.serial_number,
            device.state.value,
            GROUP_SEPARATOR.join(device.groups),
            device.notes,
            *(device.attributes.get(key, "") for key in keys),
        )
        writer.writerow(list(map(escaped, cells)))
    return text.getvalue()


def report(made: Plan) -> str:
    """What became of each row, as CSV."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(("line", "device_id", "outcome", "reason"))
    writer.writerows((row.line, escaped(row.device_id), row.fate.value, escaped(row.reason)) for row in made.rows)
    return text.getvalue()


def attribute_keys(devices: Iterable[Device]) -> list[str]:
    """Every key of an attribute that one of the devices has, sorted."""
    return sorted({key for device in devices for key in device.attributes})


def escaped(text: str) -> str:
    """A cell that no spreadsheet takes for a formula; `read` gives the text back."""
    return f"'{text}" if _FORMULA.match(text) else text


def _unescaped(cell: str) -> str:
    text = cell.replace("\r\n", "\n")
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def _text(content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InvalidTableError("the file is UTF-16: save it as CSV in UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InvalidTableError(f"line {line} is not UTF-8: save the file as CSV in UTF-8") from None
    if "\0" in text:
        raise InvalidTableError("the file holds bytes that no text has: it is not CSV")
    return text


def _columns(cells: Sequence[str]) -> tuple[str, ...]:
    columns = tuple(map(_unescaped, cells))
    if not any(column.strip() for column in columns):
        raise InvalidTableError("the first line names no columns")
    if len(columns) > COLUMNS_LIMIT:
        raise InvalidTableError(f"the table has {len(columns)} columns; at most {COLUMNS_LIMIT} are read")
    twice = next((column for column in columns if column.strip() and columns.count(column) > 1), None)
    if twice is not None:
        raise InvalidTableError(f"two columns are named {twice[:80]!r}: give each a name of its own")
    return columns


def _places(columns: Sequence[str], mapping: Mapping[str, str]) -> dict[str, int]:
    unknown = next((column for column in mapping if column not in columns), None)
    if unknown is not None:
        raise InvalidTableError(f"the table has no column {unknown[:80]!r}")
    places: dict[str, int] = {}
    for place, column in enumerate(columns):
        field = mapping.get(column, IGNORED)
        if field == IGNORED:
            continue
        if field not in TEXT_FIELDS and not (field.startswith(ATTRIBUTE) and len(field) > len(ATTRIBUTE)):
            raise InvalidTableError(
                f"a column cannot be {field[:80]!r}: it is one of {', '.join(TEXT_FIELDS)} or {ATTRIBUTE}KEY"
            )
        if field in places:
            raise InvalidTableError(f"two columns are taken for {field}: choose one")
        places[field] = place
    if "device_id" not in places:
        raise InvalidTableError("no column is taken for device_id: say which one names the devices")
    return places


def _told(places: Mapping[str, int], cells: Sequence[str]) -> dict[str, str]:
    return {field: cells[place] if place < len(cells) else "" for field, place in places.items()}


def _planned(line: int, told: Mapping[str, str], known: Mapping[str, Device]) -> PlannedRow:
    device_id = told["device_id"].strip()
    device = known.get(device_id)
    try:
        wanted = check_new_device(_wanted(device_id, told, device))
    except ApplianceError as error:
        return PlannedRow(line, device_id[:140], Fate.REFUSED, str(error))
    if device is None:
        if wanted.state is DeviceState.RETIRED:
            return PlannedRow(line, device_id, Fate.REFUSED, "a device cannot begin its life retired")
        return PlannedRow(line, device_id, Fate.NEW, wanted=wanted)
    refusal = move_refusal(device_id, device.state, wanted.state)
    if refusal is None and wanted.state is DeviceState.RETIRED is not device.state:
        refusal = f"{device_id} is retired on its own page, not by a table: that cannot be undone"
    if refusal is not None:
        return PlannedRow(line, device_id, Fate.REFUSED, refusal)
    changed = changed_fields(device, wanted)
    if not changed:
        return PlannedRow(line, device_id, Fate.UNCHANGED, wanted=wanted, before=device)
    return PlannedRow(line, device_id, Fate.CHANGED, ", ".join(changed), wanted, device)


def as_new(device: Device) -> NewDevice:
    """What would have to be told of a device to have it as it is."""
    return NewDevice(
        device.device_id,
        device.name,
        device.type,
        device.zone,
        device.serial_number,
        device.groups,
        device.attributes,
        device.notes,
        device.state,
    )


def changed_fields(device: Device, wanted: NewDevice) -> list[str]:
    """The names of the fields in which a device is not as it is to be."""
    now = as_new(device)
    fields = [field for field in TEXT_FIELDS if getattr(now, field) != getattr(wanted, field)]
    keys = sorted({*now.attributes, *wanted.attributes})
    return fields + [ATTRIBUTE + key for key in keys if now.attributes.get(key) != wanted.attributes.get(key)]


def _wanted(device_id: str, told: Mapping[str, str], device: Device | None) -> NewDevice:
    before = as_new(device) if device is not None else NewDevice(device_id)
    attributes = dict(before.attributes)
    for field, text in told.items():
        if field.startswith(ATTRIBUTE):
            attributes[field.removeprefix(ATTRIBUTE)] = text
    groups = told.get("groups")
    return NewDevice(
        device_id=device_id,
        name=told.get("name", before.name),
        type=told.get("type", before.type),
        zone=told.get("zone", before.zone),
        serial_number=told.get("serial_number", before.serial_number),
        groups=before.groups if groups is None else split_groups(groups),
        attributes={key: text for key, text in sorted(attributes.items()) if text},
        notes=told.get("notes", before.notes),
        state=_state(told.get("state", ""), before.state),
    )


def split_groups(text: str) -> tuple[str, ...]:
    """The groups that are named in one cell, sorted, each once."""
    return tuple(sorted({group.strip() for group in text.split(GROUP_SEPARATOR)} - {""}))


def _state(told: str, before: DeviceState) -> DeviceState:
    word = told.strip().casefold()
    if not word:
        return before
    if word not in list(DeviceState):
        raise InvalidTableError(f"{told[:40]!r} is no state: it is one of {', '.join(DeviceState)}")
    return DeviceState(word)
