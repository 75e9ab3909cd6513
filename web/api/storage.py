"""`/v1/storage`: where the disk goes; and the erasing of what devices have sent."""

from typing import Annotated

import msgspec
from litestar import Request, delete, get
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, QueryParameter

from appliance.accounts.model import User
from appliance.errors import InvalidInputError
from appliance.gateway import Gateway
from appliance.instant import DAY_MS, day_of
from appliance.telemetry.cold.model import ColdUsage
from appliance.telemetry.journal.model import Usage as JournalUsage
from appliance.telemetry.keeping.erasing.agreement import Agreement, require_agreed
from web.auth import Caller

_SEARCHING = {"q", "count", "device"}
"""Of a time nobody can erase a part: who names `start` is told, before everything goes."""


class ColdOut(msgspec.Struct, frozen=True):
    """Days as Parquet, here and in the bucket."""

    is_on: bool
    day_count: int
    oldest_day: str | None
    newest_day: str | None
    file_bytes: int
    waiting_count: int
    """Sealed days that are still to be written."""
    bucket: str
    """Where files are uploaded to; empty when nowhere."""
    uploaded_count: int
    upload_waiting_count: int
    uploaded_at: int | None
    """When something was uploaded last, UTC milliseconds."""
    trouble: str
    """Why something could not be done; empty when all is well."""


class JournalOut(msgspec.Struct, frozen=True):
    """The raw journal."""

    is_on: bool
    is_writing: bool
    """False as well while the disk does not take it."""
    hours: int
    limit_bytes: int
    whole_since: int | None
    """From here on every message is in it, UTC milliseconds; null when it is not written."""
    trouble: str


class StorageOut(msgspec.Struct, frozen=True):
    """Where the disk goes, in bytes. Days are UTC."""

    day_count: int
    oldest_day: str | None
    newest_day: str | None
    open_bytes: int
    """Days that are not sealed yet."""
    sealed_bytes: int
    rollup_bytes: int
    log_bytes: int
    """What is not in a day yet; a part of the database."""
    database_bytes: int
    reserve_bytes: int
    journal_bytes: int
    """Messages as they came."""
    other_bytes: int
    used_bytes: int
    budget_bytes: int
    staying_bytes: int
    """Without any day that is over: a smaller budget cannot be kept to."""
    free_bytes: int
    disk_bytes: int
    growth_bytes_per_day: int
    days_left: int | None
    """Until the budget is used up and the oldest day goes; null when that will not be."""
    notices: list[str]
    """What keeps days from going as they should."""
    damaged: list[str]
    erasing: list[str]
    """Devices whose readings are being erased."""
    cold: ColdOut
    journal: JournalOut


class ErasingOut(msgspec.Struct, frozen=True):
    """A device whose readings nobody sees any more, and whose erasing from the disk is under way."""

    device_id: str
    state: str


class ErasingFoundOut(msgspec.Struct, frozen=True):
    """The devices that a search has found, and whose erasing is under way."""

    device_ids: list[str]
    state: str


@get("/v1/storage", tags=["storage"], summary="Where the disk goes")
async def get_storage(request: Request[User, Caller, State], gateway: NamedDependency[Gateway]) -> StorageOut:
    """What takes how much, what is damaged, and when the room will be used up."""
    usage = await gateway.room.usage(request.user.tenant_id)
    return StorageOut(
        day_count=usage.day_count,
        oldest_day=None if usage.oldest_day is None else day_of(usage.oldest_day * DAY_MS),
        newest_day=None if usage.newest_day is None else day_of(usage.newest_day * DAY_MS),
        open_bytes=usage.open_bytes,
        sealed_bytes=usage.sealed_bytes,
        rollup_bytes=usage.rollup_bytes,
        log_bytes=usage.log_bytes,
        database_bytes=usage.database_bytes,
        reserve_bytes=usage.reserve_bytes,
        journal_bytes=usage.journal_bytes,
        other_bytes=usage.other_bytes,
        used_bytes=usage.used_bytes,
        budget_bytes=usage.budget_bytes,
        staying_bytes=usage.staying_bytes,
        free_bytes=usage.free_bytes,
        disk_bytes=usage.disk_bytes,
        growth_bytes_per_day=usage.growth_bytes,
        days_left=usage.days_left,
        notices=list(usage.notices),
        damaged=list(usage.damages),
        erasing=list(usage.erasing),
        cold=_cold(gateway.cold.usage()),
        journal=_journal(gateway.journal.usage()),
    )


@delete(
    "/v1/devices/{device_id:str}/telemetry", tags=["storage"], summary="Erase what a device has sent", status_code=202
)
async def erase_telemetry(
    device_id: FromPath[str], request: Request[User, Caller, State], gateway: NamedDependency[Gateway]
) -> ErasingOut:
    """Erase every reading up to now: gone from every answer at once, and from the disk soon. There is no way back."""
    device = gateway.registry.device(request.user.tenant_id, device_id)
    await gateway.room.keeping.erase(device.tenant_id, [device.device_id])
    return ErasingOut(device.device_id, "erasing")


@delete("/v1/telemetry", tags=["storage"], summary="Erase what the devices of a search have sent", status_code=202)
async def erase_found(
    request: Request[User, Caller, State],
    gateway: NamedDependency[Gateway],
    q: FromQuery[str] = "",
    count: Annotated[int | None, QueryParameter(ge=1)] = None,
    device: Annotated[list[str] | None, QueryParameter()] = None,
) -> ErasingFoundOut:
    """Erase every reading up to now of the devices that `q` finds, as one act.

    `count`, or each `device` of them, says what is expected. If others are found, nothing is erased.
    """
    unknown = sorted(set(request.query_params) - _SEARCHING)
    if unknown:
        raise InvalidInputError(
            f"there is no parameter {unknown[0][:40]!r}; there are: {', '.join(sorted(_SEARCHING))}"
        )
    tenant_id = request.user.tenant_id
    found = [each.device_id for each in gateway.catalogue.find_some(tenant_id, q)]
    require_agreed(found, Agreement(count, frozenset(device) if device else None))
    await gateway.room.keeping.erase(tenant_id, found, q.strip())
    return ErasingFoundOut(found, "erasing")


def _cold(usage: ColdUsage) -> ColdOut:
    return ColdOut(
        is_on=usage.is_on,
        day_count=usage.day_count,
        oldest_day=None if usage.oldest_day is None else day_of(usage.oldest_day * DAY_MS),
        newest_day=None if usage.newest_day is None else day_of(usage.newest_day * DAY_MS),
        file_bytes=usage.file_bytes,
        waiting_count=usage.waiting_count,
        bucket=usage.bucket,
        uploaded_count=usage.uploaded_count,
        upload_waiting_count=usage.upload_waiting_count,
        uploaded_at=usage.uploaded_at,
        trouble=usage.trouble,
    )


def _journal(usage: JournalUsage) -> JournalOut:
    return JournalOut(
        is_on=usage.is_on,
        is_writing=usage.is_writing,
        hours=usage.hours,
        limit_bytes=usage.limit_bytes,
        whole_since=usage.begun_at,
        trouble=usage.trouble,
    )


HANDLERS = (get_storage, erase_telemetry, erase_found)
