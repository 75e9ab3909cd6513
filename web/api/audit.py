"""`/v1/audit`: what was done with identities, by whom."""

from collections.abc import AsyncIterator
from typing import Annotated

import msgspec
from litestar import Request, get
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromQuery, QueryParameter
from litestar.response import Stream

from appliance.accounts.model import User
from appliance.audit.model import RecordedEntry, Wanted
from appliance.gateway import Gateway
from appliance.instant import to_text
from web.auth import Caller
from web.parameters import FURTHEST

PIECE_COUNT = 500
"""So many entries are sent at a time: others get their turn in between."""


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
    """Entries, newest first. `next_before` asks for the page after this one; it is null on the last.

    A search may give fewer entries than asked for, or none, and still a `next_before`.
    """

    entries: list[EntryOut]
    next_before: int | None


@get("/v1/audit", tags=["audit"], summary="The audit log")
async def list_entries(
    request: Request[User, Caller, State],
    gateway: NamedDependency[Gateway],
    before: Annotated[int, QueryParameter(ge=1, le=FURTHEST)] = FURTHEST,
    limit: FromQuery[int] = 100,
    actor: FromQuery[str] = "",
    subject: FromQuery[str] = "",
    action: FromQuery[str] = "",
) -> EntriesOut:
    """A page of at most `limit` entries (1 to 1,000) whose position is below `before`.

    Of `actor`, `subject` and `action` those that are given must be exactly so.
    """
    page = await gateway.registry.audit.page(
        request.user.tenant_id, wanted=Wanted(actor, subject, action), before=before, limit=limit
    )
    return EntriesOut([_out(one) for one in page.entries], page.next_before)


@get("/v1/audit-exports", tags=["audit"], summary="The audit log as JSON lines")
async def export_entries(
    request: Request[User, Caller, State],
    gateway: NamedDependency[Gateway],
    after: Annotated[int, QueryParameter(ge=0, le=FURTHEST)] = 0,
) -> Stream:
    """Every entry with a position above `after`, oldest first, one a line, up to where the log ends now."""
    return Stream(
        _lines(gateway, request.user.tenant_id, after),
        media_type="application/jsonl",
        headers={"content-disposition": 'attachment; filename="audit.jsonl"'},
    )


async def _lines(gateway: Gateway, tenant_id: int, after: int) -> AsyncIterator[bytes]:
    encoder = msgspec.json.Encoder()
    async for entries in gateway.registry.audit.since(tenant_id, after):
        for start in range(0, len(entries), PIECE_COUNT):
            yield encoder.encode_lines([_out(one) for one in entries[start : start + PIECE_COUNT]])


def _out(entry: RecordedEntry) -> EntryOut:
    return EntryOut(
        entry.position,
        to_text(entry.recorded_at),
        entry.actor,
        entry.address,
        entry.action,
        entry.subject,
        entry.result,
        msgspec.json.decode(entry.details, type=dict[str, str]),
        entry.hash,
    )


HANDLERS = (list_entries, export_entries)
