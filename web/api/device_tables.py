"""`/v1/device-exports` and `/v1/device-imports`: devices as CSV, out and in."""

from typing import Annotated

import msgspec
from litestar import Request, Response, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromQuery, JSONBody, QueryParameter
from litestar.response import Stream

from appliance.accounts.model import User
from appliance.gateway import Gateway
from appliance.registry.catalogue.model import Fate, Plan
from web.auth import Caller
from web.protection import BODY_LIMIT
from web.tables import TABLE_LIMIT_BYTES, bundles_download, csv_download


class ImportIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table, and which column is which field; without a mapping the columns' own names say it.

    Fields are `device_id`, `name`, `type`, `zone`, `serial_number`, `state`, `groups`, `notes` and
    `attribute.KEY`; an empty text leaves a column out.
    """

    csv: str
    mapping: dict[str, str] | None = None


class RowOut(msgspec.Struct, frozen=True):
    """A row: `new`, `changed` (the reason names the fields), `unchanged`, or `refused` with the reason."""

    line: int
    device_id: str
    outcome: str
    reason: str


class ReportOut(msgspec.Struct, frozen=True):
    """What an import did, or would do."""

    is_dry_run: bool
    counts: dict[str, int]
    rows: list[RowOut]


@get("/v1/device-exports", tags=["devices"], summary="Devices as CSV")
async def export_devices(
    request: Request[User, Caller, State], gateway: NamedDependency[Gateway], q: FromQuery[str] = ""
) -> Response[bytes]:
    """The devices that a search finds. A cell that a spreadsheet could take for a formula begins with an apostrophe."""
    return csv_download(await gateway.catalogue.export(request.user.tenant_id, q))


@post(
    "/v1/device-imports",
    tags=["devices"],
    summary="Import devices from CSV",
    status_code=200,
    opt={BODY_LIMIT: TABLE_LIMIT_BYTES},
    request_max_body_size=TABLE_LIMIT_BYTES,
)
async def import_devices(
    data: JSONBody[ImportIn],
    request: Request[User, Caller, State],
    gateway: NamedDependency[Gateway],
    is_dry_run: Annotated[bool, QueryParameter(name="dry_run")] = False,  # noqa: FBT002  the address names it
) -> ReportOut:
    """Add and change devices in one transaction; with `dry_run=true` only tell what would happen to each row."""
    content, tenant_id = data.csv.encode(), request.user.tenant_id
    if is_dry_run:
        plan = await gateway.catalogue.plan(tenant_id, content, data.mapping)
    else:
        plan = (await gateway.catalogue.import_table(tenant_id, content, data.mapping, with_certificates=False)).plan
    return _report(plan, is_dry_run=is_dry_run)


@post(
    "/v1/device-imports/bundles",
    tags=["devices"],
    summary="Import devices from CSV, with certificates",
    status_code=200,
    opt={BODY_LIMIT: TABLE_LIMIT_BYTES},
    request_max_body_size=TABLE_LIMIT_BYTES,
)
async def import_with_bundles(
    data: JSONBody[ImportIn],
    request: Request[User, Caller, State],
    gateway: NamedDependency[Gateway],
    has_programs: Annotated[bool, QueryParameter(name="programs")] = False,  # noqa: FBT002  the address names it
) -> Stream:
    """Add and change devices in one transaction; the answer is a zip file with the bundle of each new device.

    The keys are in this answer alone. What became of each row stands in its `import.csv`. With `programs=true` a
    bundle has the programs that send a first reading, too.
    """
    imported = await gateway.catalogue.import_table(
        request.user.tenant_id, data.csv.encode(), data.mapping, with_certificates=True
    )
    return bundles_download(gateway, imported, has_programs=has_programs)


def _report(plan: Plan, *, is_dry_run: bool) -> ReportOut:
    return ReportOut(
        is_dry_run,
        {fate.value: plan.count(fate) for fate in Fate},
        [RowOut(row.line, row.device_id, row.fate.value, row.reason) for row in plan.rows],
    )


HANDLERS = (export_devices, import_devices, import_with_bundles)
