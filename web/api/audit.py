"""`/v1/audit`: what was done with identities, by whom."""

from typing import Annotated

import msgspec
from litestar import Request, get
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromQuery, QueryParameter

from appliance.accounts.model import User
from appliance.gateway import Gateway
from appliance.instant import to_text
from web.auth import Caller

FIRST_PAGE = 2**63 - 1
"""Before it are all entries."""


class EntryOut(msgspec.Struct, frozen=True):
    """One entry. `hash` is SHA-256 over the entry and the hash of the one before it."""

    position: int
    recorded_at: str
    actor: str
    address: str
    action: str
    subject: str
    result: str
    details: dict[str, str]
    hash: str


class EntriesOut(msgspec.Struct, frozen=True):
    """Entries, newest first. `next_before` asks for the page after this one; it is null on the last."""

    entries: list[EntryOut]
    next_before: int | None


@get("/v1/audit", tags=["audit"], summary="The audit log")
async def list_entries(
    request: Request[User, Caller, State],
    gateway: NamedDependency[Gateway],
    before: Annotated[int, QueryParameter(ge=1, le=FIRST_PAGE)] = FIRST_PAGE,
    limit: FromQuery[int] = 100,
) -> EntriesOut:
    """A page of at most `limit` entries (1 to 1,000) whose position is below `before`."""
    found = await gateway.registry.audit.entries(request.user.tenant_id, before=before, limit=limit)
    entries = [
        EntryOut(
            one.position,
            to_text(one.recorded_at),
            one.actor,
            one.address,
            one.action,
            one.subject,
            one.result,
            msgspec.json.decode(one.details, type=dict[str, str]),
            one.hash,
        )
        for one in found
    ]
    return EntriesOut(entries, found[-1].position if found and found[-1].position > 1 else None)


HANDLERS = (list_entries,)
