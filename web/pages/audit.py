"""The audit log as a page: what was done with identities, newest first."""

from collections.abc import Mapping
from typing import Annotated
from urllib.parse import urlencode

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromQuery, QueryParameter
from litestar.response import Template

from appliance.audit.change import AFTER, BEFORE
from appliance.audit.kinds import KINDS
from appliance.audit.model import RecordedEntry, Wanted
from appliance.gateway import Gateway
from web.parameters import FURTHEST
from web.shell import Frame

PAGE_LIMIT = 100
TEXT_LENGTH = 120
"""How much of a detail is shown; the export has all that is kept."""
HASH_LENGTH = 40
"""A text without spaces that is longer is a fingerprint: its ends tell it apart."""


class Line(msgspec.Struct, frozen=True):
    """One entry as it is shown."""

    position: int
    recorded_at: int
    actor: str
    address: str
    action: str
    subject: str
    result: str
    details: Mapping[str, str]


@get("/audit", include_in_schema=False)
async def show_audit(
    gateway: NamedDependency[Gateway],
    frame: NamedDependency[Frame],
    before: Annotated[int, QueryParameter(ge=1, le=FURTHEST)] = FURTHEST,
    actor: FromQuery[str] = "",
    subject: FromQuery[str] = "",
    action: FromQuery[str] = "",
) -> Template:
    """The page."""
    wanted = Wanted(actor.strip(), subject.strip(), action)
    page = await gateway.registry.audit.page(frame.user.tenant_id, wanted=wanted, before=before, limit=PAGE_LIMIT)
    asked = {name: text for name, text in msgspec.structs.asdict(wanted).items() if text}
    context = {
        "frame": frame,
        "now": frame.now,
        "lines": [_line(one) for one in page.entries],
        "older": None if page.next_before is None else _address({**asked, "before": str(page.next_before)}),
        "newest": _address(asked) if before != FURTHEST else None,
        "wanted": wanted,
        "is_search": bool(asked),
        "kinds": KINDS,
    }
    return Template("pages/audit.html", context=context)


def _line(entry: RecordedEntry) -> Line:
    return Line(
        entry.position,
        entry.recorded_at,
        entry.actor,
        entry.address,
        KINDS.get(entry.action, entry.action),
        entry.subject,
        entry.result,
        shown(msgspec.json.decode(entry.details, type=dict[str, str])),
    )


def shown(details: Mapping[str, str]) -> dict[str, str]:
    """Details in words: what was and what is stand side by side, and what is long is cut."""
    words: dict[str, str] = {}
    for key, text in details.items():
        name = key.removesuffix(BEFORE).removesuffix(AFTER)
        if name == key:
            words[key] = _short(text)
        else:
            was, now = details.get(name + BEFORE, ""), details.get(name + AFTER, "")
            words[name] = f"{_short(was) or '(nothing)'} → {_short(now) or '(nothing)'}"
    return {name.replace("_", " "): text for name, text in words.items()}


def _short(text: str) -> str:
    if len(text) > HASH_LENGTH and " " not in text and text.isalnum():
        return f"{text[:8]}…{text[-8:]}"
    return text if len(text) <= TEXT_LENGTH else f"{text[:TEXT_LENGTH]}…"


def _address(asked: Mapping[str, str]) -> str:
    return f"/audit?{urlencode(asked)}" if asked else "/audit"


HANDLERS = (show_audit,)
