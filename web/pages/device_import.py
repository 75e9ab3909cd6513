"""Devices by the table: choose a file, say what its columns are, see what would happen, then have it happen."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from litestar import Request, get, post
from litestar.datastructures import State, UploadFile
from litestar.di import NamedDependency
from litestar.response import Stream, Template

from appliance.accounts.model import User
from appliance.errors import ApplianceError
from appliance.gateway import Gateway
from appliance.registry.catalogue import table
from appliance.registry.catalogue.model import Fate, InvalidTableError, Plan, PlannedRow
from web.auth import Caller
from web.errors import status_of
from web.protection import BODY_LIMIT
from web.shell import Frame
from web.tables import TABLE_LIMIT_BYTES, bundles_download

ROWS_SHOWN = 200
FIELD_WORDS = {
    "device_id": "Device id",
    "name": "Name",
    "type": "Type",
    "zone": "Zone",
    "serial_number": "Serial number",
    "state": "State",
    "groups": "Groups, with | in between",
    "notes": "Notes",
}
_COLUMN = "column-"
_FATES = (Fate.REFUSED, Fate.CHANGED, Fate.NEW, Fate.UNCHANGED)


class Column(msgspec.Struct, frozen=True):
    """A column of the table, and what it is taken for."""

    name: str
    field_name: str
    example: str
    chosen: str
    choices: tuple[tuple[str, str], ...]


class ImportView(msgspec.Struct, frozen=True):
    """What the page shows of a table."""

    content: str
    columns: tuple[Column, ...]
    rows: tuple[PlannedRow, ...]
    row_count: int
    counts: Mapping[str, int]
    is_done: bool


class _Told(msgspec.Struct, frozen=True):
    """What the form told."""

    content: bytes
    chosen: Mapping[int, str]
    is_import: bool
    with_certificates: bool
    with_programs: bool


@get("/device-import", include_in_schema=False)
async def show_import(frame: NamedDependency[Frame]) -> Template:
    """The form that a file is chosen in."""
    return _page(frame, None, "")


@post(
    "/device-import",
    include_in_schema=False,
    status_code=200,
    opt={BODY_LIMIT: TABLE_LIMIT_BYTES},
    request_max_body_size=TABLE_LIMIT_BYTES,
)
async def import_devices(
    request: Request[User, Caller, State], gateway: NamedDependency[Gateway], frame: NamedDependency[Frame]
) -> Template | Stream:
    """Show what the table would do, or do it; with certificates the answer is a zip file with the keys."""
    told = await _told(request)
    tenant_id = frame.user.tenant_id
    try:
        read = table.read(told.content)
        mapping = _mapping(read, told.chosen)
        if not told.is_import:
            plan = await gateway.catalogue.plan(tenant_id, told.content, mapping)
            return _page(frame, _view(told.content, read, mapping, plan, is_done=False), "")
        imported = await gateway.catalogue.import_table(
            tenant_id, told.content, mapping, with_certificates=told.with_certificates
        )
    except ApplianceError as error:
        return _refused(frame, told, error)
    if imported.bundles:
        return bundles_download(gateway, imported, has_programs=told.with_programs)
    return _page(frame, _view(told.content, read, mapping, imported.plan, is_done=True), "")


async def _told(request: Request[User, Caller, State]) -> _Told:
    form: Any = await request.form()
    content = str(form.get("content", "")).encode()
    chosen = {}
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            content = await value.read() or content
            await value.close()
        elif name.startswith(_COLUMN) and name.removeprefix(_COLUMN).isdecimal():
            chosen[int(name.removeprefix(_COLUMN))] = str(value)
    return _Told(
        content,
        chosen,
        form.get("step") == "import",
        form.get("certificates") == "yes",
        form.get("programs") == "yes",
    )


def _mapping(read: table.Table, chosen: Mapping[int, str]) -> dict[str, str]:
    if not chosen:
        return table.guessed(read.columns)
    return {column: chosen.get(number, table.IGNORED) for number, column in enumerate(read.columns)}


def _refused(frame: Frame, told: _Told, error: ApplianceError) -> Template:
    view = None
    try:
        read = table.read(told.content)
        view = _view(told.content, read, _mapping(read, told.chosen), Plan(()), is_done=False)
    except InvalidTableError:
        # The file itself is no table: there is nothing to show but the complaint.
        view = None
    page = _page(frame, view, str(error))
    page.status_code = status_of(error)
    return page


def _view(content: bytes, read: table.Table, mapping: Mapping[str, str], plan: Plan, *, is_done: bool) -> ImportView:
    first = read.rows[0][1] if read.rows else ()
    rows = sorted(plan.rows, key=lambda row: _FATES.index(row.fate))
    return ImportView(
        content=content.decode("utf-8-sig"),
        columns=tuple(
            Column(
                name=column,
                field_name=f"{_COLUMN}{number}",
                example=first[number] if number < len(first) else "",
                chosen=mapping.get(column, table.IGNORED),
                choices=_choices(column, mapping.get(column, table.IGNORED)),
            )
            for number, column in enumerate(read.columns)
        ),
        rows=tuple(rows[:ROWS_SHOWN]),
        row_count=len(rows),
        counts={fate.value: plan.count(fate) for fate in Fate},
        is_done=is_done,
    )


def _choices(column: str, chosen: str) -> tuple[tuple[str, str], ...]:
    key = re.sub(r"[^A-Za-z0-9._-]+", "_", column.removeprefix(table.ATTRIBUTE)).strip("_")[:64]
    attributes = dict.fromkeys(
        field for field in (f"{table.ATTRIBUTE}{key}" if key else "", chosen) if field.startswith(table.ATTRIBUTE)
    )
    return (
        (table.IGNORED, "leave out"),
        *FIELD_WORDS.items(),
        *((field, f"Attribute {field.removeprefix(table.ATTRIBUTE)}") for field in attributes),
    )


def _page(frame: Frame, view: ImportView | None, complaint: str) -> Template:
    context = {"frame": frame, "now": frame.now, "view": view, "complaint": complaint, "pills": PILLS}
    return Template("pages/device_import.html", context=context)


PILLS: Mapping[str, str] = {"new": "ok", "changed": "info", "unchanged": "", "refused": "crit"}
"""The colour of each outcome."""

HANDLERS: Sequence[Any] = (show_import, import_devices)
