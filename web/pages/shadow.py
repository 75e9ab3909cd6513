"""The shadow of a device: what is desired, what is reported, how they differ, and what became of it.

Whoever edits writes everything that is to be desired; the patch that leads there is made here. It is refused when
what is desired has become something else meanwhile, not when the device has only reported: that happens all the time.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple
from urllib.parse import urlencode

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, QueryParameter, URLEncodedBody
from litestar.response import Template

from appliance.accounts.model import Role
from appliance.errors import ApplianceError, ConflictError
from appliance.gateway import Gateway
from appliance.instant import from_text
from appliance.registry.model import DeviceState
from appliance.shadows import draft
from appliance.shadows.difference import is_same
from appliance.shadows.model import BeforeHistoryError, Shadow, ShadowChange, ShadowSummary
from web import roles, shadow_view, shadows
from web.errors import status_of
from web.painting import Painting, Part, Stage
from web.parameters import FURTHEST
from web.shadow_view import ChangeView, Diff, Documents
from web.shell import Frame

HISTORY_COUNT = 20
NAMES_LIMIT = 100
ATTEMPTS = 4
"""A device that reports at the same moment makes an attempt go wrong."""
UNTIL_SECONDS = len("2026-01-31T10:30:00")

Version = Annotated[int, QueryParameter(ge=0, le=FURTHEST)]


class Where(msgspec.Struct, frozen=True):
    """Which shadow, and what of it is looked at, as the page's address says it."""

    device_id: str
    name: str = ""
    at: str = ""
    """The moment that is looked at; empty for now."""
    before: int = FURTHEST
    """Changes to a version below this one are listed."""
    restore: int = 0
    """The version whose desired is to come back; 0 for none."""
    saved: int = -1
    """What was saved just now: the version that came of it, or 0 when nothing was to change."""


class ShadowForm(msgspec.Struct, frozen=True):
    """What is to be desired, as it is typed in."""

    name: str = ""
    desired: str = ""
    base: str = ""
    """What was desired when the form was made."""
    version: str = ""
    """The version that the shadow had then."""


class NameForm(msgspec.Struct, frozen=True):
    """Which shadow is meant."""

    name: str = ""


class Editor(msgspec.Struct, frozen=True):
    """The form, and what is to be said beside it."""

    text: str
    base: str
    version: int
    complaint: str = ""
    restored: int = 0
    """The version whose desired stands in the form; 0 when none does."""
    preview: Diff = Diff()
    """What saving would change, where that is said."""
    conflict: Diff | None = None
    """What was changed while the form was being filled in."""
    conflict_version: int = 0
    """The version on which the form was based then."""
    saved: int = -1


class Chip(msgspec.Struct, frozen=True):
    """One shadow of the device."""

    label: str
    address: str
    has_delta: bool
    is_current: bool


class Head(msgspec.Struct, frozen=True):
    """The version of a shadow, and who changed it last."""

    version: int
    at: int | None
    author: str
    is_there: bool


class History(msgspec.Struct, frozen=True):
    """A page of changes."""

    address: str
    """Of this shadow's page."""
    changes: tuple[ChangeView, ...]
    older: str | None
    is_newest: bool
    may_edit: bool


class News(msgspec.Struct, frozen=True):
    """What others did to what is desired since the page was opened."""

    address: str
    changes: tuple[ChangeView, ...]


class Told(NamedTuple):
    """What is known of a shadow."""

    current: Shadow | None
    named: Sequence[ShadowSummary]
    newest: Sequence[ShadowChange]
    found: Sequence[ShadowChange]
    """The changes that are listed, and one more if there is one."""


class Sight(msgspec.Struct, frozen=True):
    """What of the page is live."""

    chips: tuple[Chip, ...]
    head: Head
    documents: Documents
    history: History
    news: News


@get("/devices/{device_id:str}/shadow", include_in_schema=False)
async def show_shadow(
    device_id: FromPath[str],
    gateway: NamedDependency[Gateway],
    frame: NamedDependency[Frame],
    name: FromQuery[str] = "",
    at: FromQuery[str] = "",
    before: Version = FURTHEST,
    restore: Version = 0,
    saved: Annotated[int | None, QueryParameter(ge=0, le=FURTHEST)] = None,
) -> Template:
    """The page."""
    where = Where(device_id, name.strip(), at.strip(), before, restore, -1 if saved is None else saved)
    gateway.registry.device(frame.user.tenant_id, device_id)
    shadows.check_name(where.name)
    return await _page(gateway, frame, where, await _editor(gateway, frame, where))


@post("/devices/{device_id:str}/shadow", include_in_schema=False, status_code=303)
async def change_shadow(
    device_id: FromPath[str],
    gateway: NamedDependency[Gateway],
    frame: NamedDependency[Frame],
    data: URLEncodedBody[ShadowForm],
) -> Response[None] | Template:
    """Have this desired; or the page again, with what was typed and what is in the way."""
    where = Where(device_id, data.name)
    gateway.registry.device(frame.user.tenant_id, device_id)
    shadows.check_name(where.name)
    try:
        saved = await _save(gateway, frame, where, data)
    except ApplianceError as error:
        page = await _page(gateway, frame, where, await _refused(gateway, frame, where, data, error))
        page.status_code = status_of(error)
        return page
    return Response(None, headers={"location": _address(where, saved=saved)})


@post("/devices/{device_id:str}/shadow/remove", include_in_schema=False, status_code=303)
async def remove_shadow(
    device_id: FromPath[str],
    gateway: NamedDependency[Gateway],
    frame: NamedDependency[Frame],
    data: URLEncodedBody[NameForm],
) -> Response[None]:
    """Delete the shadow, and go back."""
    await shadows.remove(gateway, frame.user, device_id, data.name)
    return Response(None, headers={"location": _address(Where(device_id, data.name))})


async def paint(stage: Stage) -> Painting:
    """The live pieces of the page."""
    told = stage.parameters
    device = stage.gateway.registry.device(stage.tenant_id, told.get("device_id", ""))
    where = Where(device.device_id, told.get("name", ""), before=_number(told.get("before", ""), FURTHEST))
    base = _number(told.get("base", ""), FURTHEST)
    sight = await _look(stage.gateway, stage.tenant_id, where, base, may_edit=told.get("edits") == "yes")
    parts = {
        "shadow-names": Part("fragments/shadow_names.html", sight.chips),
        "shadow-head": Part("fragments/shadow_head.html", sight.head),
        "shadow-documents": Part("fragments/shadow_documents.html", sight.documents),
        "shadow-news": Part("fragments/shadow_news.html", sight.news),
        "shadow-history": Part("fragments/shadow_history.html", sight.history),
    }
    return Painting(tuple(parts.values()), parts)


async def _save(gateway: Gateway, frame: Frame, where: Where, form: ShadowForm) -> int:
    """The version that came of it; 0 when nothing was to change. Raises `ApplianceError`."""
    wanted, base = draft.read(form.desired), draft.read(form.base)
    shadows.check_in_use(gateway, frame.user, where.device_id)
    for _ in range(ATTEMPTS):
        current = await gateway.shadows.shadow(frame.user.tenant_id, where.device_id, where.name)
        desired = {} if current is None else current.desired or {}
        if not is_same(desired, base):
            raise ConflictError("what is desired was changed while you were writing; what you wrote is still here")
        patch = draft.patch(desired, wanted)
        if patch == {}:
            return 0
        version = None if current is None else current.version
        wish = shadows.Wish(where.device_id, where.name, {"desired": patch}, version)
        try:
            return (await shadows.change(gateway, frame.user, wish)).version
        except ConflictError:
            continue
    raise ConflictError("the shadow changes all the time, so that nothing could be saved: try again")


async def _editor(gateway: Gateway, frame: Frame, where: Where) -> Editor:
    """The form with what is desired now, or with what was desired once."""
    tenant_id = frame.user.tenant_id
    current = await gateway.shadows.shadow(tenant_id, where.device_id, where.name)
    text, version = _standing(current)
    if not where.restore:
        return Editor(text, text, version, saved=where.saved)
    found = await gateway.shadows.history(tenant_id, where.device_id, where.name, where.restore + 1, 1)
    if not found or found[0].version != where.restore or not found[0].desired:
        complaint = f"what was desired in version {where.restore} is not known any more"
        return Editor(text, text, version, complaint)
    wanted = found[0].desired
    preview = shadow_view.diff(None if current is None else current.desired, wanted)
    return Editor(draft.written(wanted), text, version, restored=where.restore, preview=preview)


async def _refused(gateway: Gateway, frame: Frame, where: Where, form: ShadowForm, error: ApplianceError) -> Editor:
    """The form with what was typed. After a conflict it is based on what is desired by now, and says what that is."""
    current = await gateway.shadows.shadow(frame.user.tenant_id, where.device_id, where.name)
    text, version = _standing(current)
    was = _number(form.version, 0)
    if not isinstance(error, ConflictError):
        return Editor(form.desired, form.base, was, str(error))
    desired = None if current is None else current.desired
    conflict = shadow_view.diff(draft.read(form.base), desired)
    mine = shadow_view.diff(desired, draft.read(form.desired))
    return Editor(form.desired, text, version, str(error), 0, mine, conflict, was)


def _standing(current: Shadow | None) -> tuple[str, int]:
    """What is desired, and the version."""
    return ("{}", 0) if current is None else (draft.written(current.desired), current.version)


async def _page(gateway: Gateway, frame: Frame, where: Where, editor: Editor) -> Template:
    tenant_id = frame.user.tenant_id
    device = gateway.registry.device(tenant_id, where.device_id)
    may_edit = roles.is_enough(frame.user.role, Role.OPERATOR) and device.state is not DeviceState.RETIRED
    sight = await _look(gateway, tenant_id, where, editor.version, may_edit=may_edit)
    then, complaint = await _then(gateway, tenant_id, where)
    live = {"view": "shadow", "device_id": where.device_id, "name": where.name, "base": str(editor.version)}
    live |= {"before": "" if where.before == FURTHEST else str(where.before), "edits": "yes" if may_edit else "no"}
    context: dict[str, Any] = {
        "frame": frame,
        "now": frame.now,
        "device": device,
        "where": where,
        "view": sight,
        "editor": editor,
        "may_edit": may_edit,
        "then": then,
        "complaint": complaint,
        "address": _address(where),
        "live_address": "/live?" + urlencode(live),
    }
    return Template("pages/shadow.html", context=context)


async def _then(gateway: Gateway, tenant_id: int, where: Where) -> tuple[tuple[int, Head, Documents] | None, str]:
    """The shadow at the moment that is looked at, or why it cannot be told."""
    if not where.at:
        return None, ""
    try:
        at = from_text(where.at)
    except ValueError:
        return None, f"{where.at[:40]!r} is no moment: expected, for example, 2026-01-31T10:30:00"
    try:
        shadow = await gateway.shadows.as_of(tenant_id, where.device_id, where.name, at)
    except BeforeHistoryError as error:
        return None, str(error)
    documents = await asyncio.to_thread(shadow_view.documents, where.device_id, where.name, shadow)
    return (at, _head(shadow, ()), documents), ""


async def _look(gateway: Gateway, tenant_id: int, where: Where, base: int, *, may_edit: bool) -> Sight:
    service, device_id = gateway.shadows, where.device_id
    current = await service.shadow(tenant_id, device_id, where.name)
    named = await service.names(tenant_id, device_id, "", NAMES_LIMIT)
    newest = await service.history(tenant_id, device_id, where.name, None, HISTORY_COUNT + 1)
    if where.before == FURTHEST:
        found = newest
    else:
        found = await service.history(tenant_id, device_id, where.name, where.before, HISTORY_COUNT + 1)
    # Shadows as large as they may be, changed throughout each time, take long to compare: the loop goes on meanwhile.
    return await asyncio.to_thread(_seen, where, Told(current, named, newest, found), base, may_edit=may_edit)


def _seen(where: Where, told: Told, base: int, *, may_edit: bool) -> Sight:
    current, found = told.current, told.found
    desired = None if current is None else current.desired
    address = _address(where)
    since = [change for change in told.newest if base < change.version and _wants_else(change)]
    return Sight(
        _chips(where, current, told.named),
        _head(current, told.newest),
        shadow_view.documents(where.device_id, where.name, current),
        History(
            address,
            tuple(shadow_view.history(found[:HISTORY_COUNT], desired)),
            _address(where, before=found[HISTORY_COUNT - 1].version) if len(found) > HISTORY_COUNT else None,
            where.before == FURTHEST,
            may_edit,
        ),
        News(address, tuple(shadow_view.history(since, desired))),
    )


def _wants_else(change: ShadowChange) -> bool:
    return not is_same(change.desired_before or {}, change.desired or {})


def _head(shadow: Shadow | None, newest: Sequence[ShadowChange]) -> Head:
    last = newest[0] if newest else None
    version = shadow.version if shadow else last.version if last else 0
    at = shadow.updated_at if shadow else last.at if last else None
    return Head(version, at, last.author if last else "", shadow is not None)


def _chips(where: Where, current: Shadow | None, named: Sequence[ShadowSummary]) -> tuple[Chip, ...]:
    """The classic shadow, those with a name, and the one that is looked at, whether it is there or not."""
    known: dict[str, bool] = {"": False, where.name: False, **{one.name: one.has_delta for one in named}}
    if current is not None:
        known[where.name] = current.delta is not None
    return tuple(
        Chip(name or "Classic", _address(Where(where.device_id, name)), has_delta, name == where.name)
        for name, has_delta in sorted(known.items())
    )


def _address(where: Where, **more: int) -> str:
    told: Mapping[str, str] = {"name": where.name} if where.name else {}
    asked = urlencode({**told, **more})
    return f"/devices/{where.device_id}/shadow{'?' if asked else ''}{asked}"


def _number(text: str, otherwise: int) -> int:
    is_number = text.isascii() and text.isdigit() and len(text) < len(str(FURTHEST))
    return int(text) if is_number else otherwise


HANDLERS = (show_shadow, change_shadow, remove_shadow)
