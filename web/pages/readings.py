"""Readings by the table: have what devices sent written, or take what stands in a table."""

from typing import Any

import msgspec
from litestar import Request, get, post
from litestar.datastructures import State, UploadFile
from litestar.di import NamedDependency
from litestar.params import FromQuery
from litestar.response import Template

from appliance.accounts.model import User
from appliance.errors import ApplianceError
from appliance.gateway import Gateway
from appliance.ingestion.importing.model import InvalidReadingsError, Tally
from appliance.instant import DAY_MS, to_text
from web.auth import Caller
from web.errors import status_of
from web.protection import BODY_LIMIT
from web.shell import Frame
from web.tables import TABLE_LIMIT_BYTES

_MINUTES = len("2026-01-31T10:30")


class Given(msgspec.Struct, frozen=True):
    """What the form of a table told."""

    content: str = ""
    device_id: str = ""
    is_import: bool = False


@get("/readings", include_in_schema=False)
async def show_readings(
    gateway: NamedDependency[Gateway], frame: NamedDependency[Frame], device: FromQuery[str] = ""
) -> Template:
    """Both forms; `device` is the one that they begin with."""
    return _page(gateway, frame, Given(device_id=device))


@post(
    "/readings/import",
    include_in_schema=False,
    status_code=200,
    opt={BODY_LIMIT: TABLE_LIMIT_BYTES},
    request_max_body_size=TABLE_LIMIT_BYTES,
)
async def import_readings(
    request: Request[User, Caller, State], gateway: NamedDependency[Gateway], frame: NamedDependency[Frame]
) -> Template:
    """Show what would be taken from a table, or take it."""
    given = Given()
    try:
        given = await _given(request)
        tally = await gateway.importing.table(
            frame.user.tenant_id, given.content, device_id=given.device_id, is_dry_run=not given.is_import
        )
    except ApplianceError as error:
        page = _page(gateway, frame, given, complaint=str(error))
        page.status_code = status_of(error)
        return page
    return _page(gateway, frame, given, tally)


async def _given(request: Request[User, Caller, State]) -> Given:
    form: Any = await request.form()
    content = str(form.get("content", "")).encode()
    for _, value in form.multi_items():
        if isinstance(value, UploadFile):
            content = await value.read() or content
            await value.close()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidReadingsError("the file is not UTF-8: save it as CSV in UTF-8") from None
    return Given(text, str(form.get("device_id", "")).strip(), form.get("step") == "import")


def _page(gateway: Gateway, frame: Frame, given: Given, tally: Tally | None = None, complaint: str = "") -> Template:
    context = {
        "frame": frame,
        "now": frame.now,
        "given": given,
        "tally": tally,
        "complaint": complaint,
        "has_parquet": gateway.exporting.has_parquet,
        "start": to_text(frame.now - DAY_MS)[:_MINUTES],
        "end": to_text(frame.now)[:_MINUTES],
    }
    return Template("pages/readings.html", context=context)


HANDLERS = (show_readings, import_readings)
