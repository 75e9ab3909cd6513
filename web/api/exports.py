"""`/v1/telemetry/export` and `/v1/telemetry/imports`: readings out and in, as many as there are."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Annotated

import msgspec
from litestar import Request, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromQuery, JSONBody, QueryParameter, SkipValidation
from litestar.response import Stream

from appliance.accounts.model import User
from appliance.errors import InvalidInputError
from appliance.gateway import Gateway
from appliance.instant import DAY_MS
from appliance.registry.model import Device
from appliance.telemetry.coarse.model import Lacking
from appliance.telemetry.exporting.model import Asked, Wanted
from appliance.telemetry.exporting.request import name_of
from appliance.telemetry.tables.layout import Form
from web.api.telemetry import parsed
from web.auth import Caller
from web.lacking import headers
from web.leaving import while_wanted
from web.protection import BODY_LIMIT
from web.shell import moment
from web.tables import TABLE_LIMIT_BYTES

AnyRequest = Request[User, Caller, State]
Repeated = Annotated[list[str] | None, QueryParameter()]

MEDIA_TYPES = {
    Form.CSV: "text/csv; charset=utf-8; header=present",
    Form.LONG: "text/csv; charset=utf-8; header=present",
    Form.JSON: "application/json",
    Form.LINES: "application/jsonl",
    Form.PARQUET: "application/vnd.apache.parquet",
}
_PARAMETERS = {
    *("device", "group", "zone", "type", "q", "by"),
    *("select", "start", "end", "bin", "tz", "fill", "format", "details"),
}


class ReadingsIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of readings; `device_id` says whose they are where no column does."""

    csv: str
    device_id: str = ""


class RefusalOut(msgspec.Struct, frozen=True):
    """A row that was not taken, and why."""

    line: int
    reason: str


class TallyOut(msgspec.Struct, frozen=True):
    """What an import did, or would do. `refused` tells of the first 100 rows that are refused."""

    is_dry_run: bool
    row_count: int
    reading_count: int
    duplicate_count: int
    refused_count: int
    refused: list[RefusalOut]


def provide_devices(
    request: AnyRequest,
    gateway: NamedDependency[Gateway],
    device: Repeated = None,
    group: Repeated = None,
    zone: Repeated = None,
    kind: Annotated[list[str] | None, QueryParameter(name="type")] = None,
    q: FromQuery[str] = "",
) -> list[Device]:
    """The devices that every parameter that is given lets through. An empty one, as forms send it, is none."""
    tenant_id = request.user.tenant_id
    names, groups, zones, kinds = ({word for word in words or () if word} for words in (device, group, zone, kind))
    named = [gateway.registry.device(tenant_id, device_id) for device_id in sorted(names)]
    found = gateway.catalogue.find(tenant_id, q) if q or not names else named
    return [
        each
        for each in found
        if (not names or each.device_id in names)
        and (not zones or each.zone in zones)
        and (not kinds or each.type in kinds)
        and (not groups or not groups.isdisjoint(each.groups))
    ]


async def provide_wanted(
    request: AnyRequest,
    gateway: NamedDependency[Gateway],
    devices: SkipValidation[NamedDependency[list[Device]]],
    select: Repeated = None,
    start: FromQuery[str] = "",
    end: FromQuery[str] = "",
    width: Annotated[str, QueryParameter(name="bin")] = "",
    tz: FromQuery[str] = "UTC",
    fill: FromQuery[str] = "none",
    by: FromQuery[str] = "device",
    form: Annotated[str, QueryParameter(name="format")] = "csv",
    is_detailed: Annotated[bool, QueryParameter(name="details")] = False,  # noqa: FBT002  the address names it
) -> Wanted:
    """What is to be written."""
    unknown = sorted(set(request.query_params) - _PARAMETERS)
    if unknown:
        raise InvalidInputError(
            f"there is no parameter {unknown[0][:40]!r}; there are: {', '.join(sorted(_PARAMETERS))}"
        )
    tenant_id = request.user.tenant_id
    last = parsed("end", end) if end else moment() + 1
    asked = Asked(
        start=parsed("start", start) if start else last - DAY_MS,
        end=last,
        select=tuple(text for text in select or () if text),
        width=width,
        zone=tz,
        fill=fill,
        by=by,
        form=form,
        is_detailed=is_detailed,
    )
    return await gateway.exporting.wanted(tenant_id, asked, devices)


@get(
    "/v1/telemetry/export",
    dependencies={
        "devices": Provide(provide_devices, sync_to_thread=False),
        "wanted": Provide(provide_wanted),
    },
    responses={
        200: ResponseSpec(str, description="CSV, a JSON array, lines of JSON, or Parquet", media_type="text/csv")
    },
    tags=["telemetry"],
    summary="Everything that devices sent in a time, as CSV, JSON or Parquet",
)
async def export_readings(
    request: AnyRequest, gateway: NamedDependency[Gateway], wanted: SkipValidation[NamedDependency[Wanted]]
) -> Stream:
    """Readings of `device`, `group`, `zone`, `type` or `q` between `start` and `end`, however many, or their bins.

    `format` is `csv` (a column for each metric), `long` (CSV with a row for each reading), `json`, `jsonl` or
    `parquet`, which needs pyarrow on the gateway.
    """
    written = gateway.exporting.written(wanted, (request.user.tenant_id, request.user.email))
    try:
        # What is wrong with the question is said before anything is sent, and what is known to be lacking, too.
        first = await anext(written)
        lacking = await while_wanted(request, gateway.exporting.lacking(wanted))
    except BaseException:
        await written.aclose()
        raise
    name = name_of(wanted, is_whole=lacking == Lacking())
    return Stream(
        _all(first, written),
        media_type=MEDIA_TYPES[wanted.form],
        headers={"content-disposition": f'attachment; filename="{name}"', **headers(lacking)},
    )


@post(
    "/v1/telemetry/imports",
    tags=["telemetry"],
    summary="Import readings from CSV",
    status_code=200,
    opt={BODY_LIMIT: TABLE_LIMIT_BYTES},
    request_max_body_size=TABLE_LIMIT_BYTES,
)
async def import_readings(
    data: JSONBody[ReadingsIn],
    request: AnyRequest,
    gateway: NamedDependency[Gateway],
    is_dry_run: Annotated[bool, QueryParameter(name="dry_run")] = False,  # noqa: FBT002  the address names it
) -> TallyOut:
    """Take readings of devices that are known; with `dry_run=true` only tell what would be taken.

    What is answered is on disk. What is there already is not taken again, so the same table may be sent again.
    """
    tally = await gateway.importing.table(
        request.user.tenant_id, data.csv, device_id=data.device_id, is_dry_run=is_dry_run
    )
    refused = [RefusalOut(refusal.line, refusal.reason) for refusal in tally.refused]
    return TallyOut(
        tally.is_dry_run, tally.row_count, tally.reading_count, tally.duplicate_count, tally.refused_count, refused
    )


async def _all(first: bytes, written: AsyncGenerator[bytes]) -> AsyncIterator[bytes]:
    async with aclosing(written):
        yield first
        async for more in written:
            yield more


HANDLERS = (export_readings, import_readings)
