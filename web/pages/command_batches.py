"""Commands to many devices: whom they are for, asked about before they are sent, and how far all of them have come."""

import secrets
from collections.abc import Mapping, Sequence
from typing import Annotated
from urllib.parse import urlencode

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, QueryParameter, URLEncodedBody
from litestar.response import Template

from appliance.accounts.model import Role
from appliance.commands.catalogue.model import CommandType
from appliance.commands.model import Batch, NewCommand, Selection, State
from appliance.errors import ApplianceError
from appliance.gateway import Gateway
from appliance.registry.model import Device, DeviceState
from web import composing, ledger, orders, roles
from web.composing import CHOSEN, Composer
from web.errors import status_of
from web.ledger import STATE_WORDS
from web.orders import Ledger, Tab
from web.painting import Painting, Part, Stage
from web.parameters import FURTHEST
from web.progress import Bar, bar
from web.shell import Frame

BATCHES_LIMIT = 20
SHOWN_LIMIT = 12
NAMES_LIMIT = 60
WAYS = ("group", "zone", "type", "q")
_COLOURS: Mapping[State, str] = {
    State.SUCCEEDED: "share-ok",
    State.IN_PROGRESS: "share-going",
    State.ACKNOWLEDGED: "share-going",
    State.SENT: "share-open",
    State.QUEUED: "share-wait",
    State.FAILED: "share-bad",
    State.REJECTED: "share-gone",
    State.TIMED_OUT: "share-late",
    State.CANCELLED: "none",
}

Typed = dict[str, str]


class Meant(msgspec.Struct, frozen=True):
    """Whom a command would go to now."""

    way: str
    """One of `WAYS`; empty while nobody was chosen."""
    value: str
    count: int
    connected_count: int
    names: tuple[str, ...]
    """Some of them."""
    complaint: str
    """Why a search cannot be understood."""


class Asked(msgspec.Struct, frozen=True):
    """What is asked about before it is sent."""

    new: NewCommand
    payload: str
    key: str
    """Has what is sent twice by mistake count once."""
    note: str


class BatchLine(msgspec.Struct, frozen=True):
    """One command that went to many."""

    batch_id: str
    name: str
    selection: str
    author: str
    created_at: int
    bar: Bar
    open_count: int
    device_count: int
    is_written: bool
    """Whether all of its commands are in the ledger."""


class BatchList(msgspec.Struct, frozen=True):
    """Some of them, newest first."""

    lines: tuple[BatchLine, ...]
    newest: str
    older: str


@get("/commands/new", include_in_schema=False)
async def show_new(
    gateway: NamedDependency[Gateway],
    frame: NamedDependency[Frame],
    group: FromQuery[str] = "",
    zone: FromQuery[str] = "",
    type: FromQuery[str] = "",  # noqa: A002  the word in the address
    q: FromQuery[str] = "",
    command: FromQuery[str] = "",
) -> Template:
    """Choose for whom, then what."""
    devices, meant = _meant(gateway, frame, {"group": group, "zone": zone, "type": type, "q": q})
    composer = composing.composer(_understood(gateway, devices), command)
    return _page(gateway, frame, meant, composer)


@post("/commands/batches", include_in_schema=False, status_code=303)
async def send_to_many(
    gateway: NamedDependency[Gateway], frame: NamedDependency[Frame], data: URLEncodedBody[Typed]
) -> Response[None] | Template:
    """Ask whether that many are meant, then send; or the form again, with what was wrong."""
    devices, meant = _meant(gateway, frame, data)
    understood = _understood(gateway, devices)
    composed = composing.composed(understood, data)
    complaints, status = dict(composed.complaints), 400
    if not meant.count and not complaints:
        complaints["form"] = "there is nobody to send this to"
    step = data.get("step", "")
    if not complaints and step == "send" and data.get("count") == str(meant.count):
        try:
            new = msgspec.structs.replace(composed.new, idempotency_key=data.get("key") or None)
            batch = await gateway.commands.send_to_many(frame.user.tenant_id, _selection(meant), new)
            return Response(None, headers={"location": f"/commands/batches/{batch.batch_id}"})
        except ApplianceError as error:
            complaints, status = {"form": str(error)}, status_of(error)
    composer = composing.composer(understood, data.get(CHOSEN, ""), data, complaints)
    asked = None if complaints or step == "change" else _asked(composed.new, data, meant)
    page = _page(gateway, frame, meant, composer, asked)
    page.status_code = status if complaints else 200
    return page


@get("/commands/batches", include_in_schema=False)
async def show_batches(
    gateway: NamedDependency[Gateway], frame: NamedDependency[Frame], before: FromQuery[str] = ""
) -> Template:
    """Everything that went to many."""
    asked = {"before": before} if before else {}
    context = {
        "frame": frame,
        "now": frame.now,
        "view": await _list(Stage(gateway, frame.user.tenant_id, asked, frame.now)),
        "may_act": roles.is_enough(frame.user.role, Role.OPERATOR),
        "live_address": "/live?" + urlencode({"view": "command-batches", **asked}),
    }
    return Template("pages/command_batches.html", context=context)


@get("/commands/batches/{batch_id:str}", include_in_schema=False)
async def show_batch(
    batch_id: FromPath[str],
    gateway: NamedDependency[Gateway],
    frame: NamedDependency[Frame],
    tab: Annotated[str, QueryParameter(name="state")] = "",
    before: FromQuery[str] = "",
) -> Template:
    """One of them, and its part of the ledger."""
    may_act = roles.is_enough(frame.user.role, Role.OPERATOR)
    asked = {"batch": batch_id, "state": tab, "before": before, "acts": "yes" if may_act else ""}
    asked = {key: text for key, text in asked.items() if text}
    line, listed = await _batch(Stage(gateway, frame.user.tenant_id, asked, frame.now))
    context = {
        "frame": frame,
        "now": frame.now,
        "line": line,
        "view": listed,
        "tabs": _tabs(batch_id, tab),
        "may_act": may_act,
        "live_address": "/live?" + urlencode({"view": "command-batch", **asked}),
    }
    return Template("pages/command_batch.html", context=context)


@post("/commands/batches/{batch_id:str}/cancel", include_in_schema=False, status_code=303)
async def cancel_batch(
    batch_id: FromPath[str], gateway: NamedDependency[Gateway], frame: NamedDependency[Frame]
) -> Response[None]:
    """Call off whatever of it was not sent yet."""
    await gateway.commands.cancel_batch(frame.user.tenant_id, batch_id)
    return Response(None, headers={"location": f"/commands/batches/{batch_id}"})


async def paint(stage: Stage) -> Painting:
    """The live list of what went to many."""
    view = await _list(stage)
    parts = {f"batch-{line.batch_id}": Part("fragments/batch_line.html", line) for line in view.lines}
    whole = (Part("fragments/batch_list.html", view),)
    return Painting(whole, parts, msgspec.structs.replace(view, lines=()))


async def paint_batch(stage: Stage) -> Painting:
    """The live pieces of the page of one of them."""
    line, listed = await _batch(stage)
    head, rest = Part("fragments/batch_head.html", line), orders.painting(listed)
    return Painting((head, *rest.whole), {"batch-head": head, **rest.parts}, rest.shape)


def _page(gateway: Gateway, frame: Frame, meant: Meant, composer: Composer, asked: Asked | None = None) -> Template:
    tenant_id = frame.user.tenant_id
    counts: dict[str, dict[str, int]] = {"group": dict(gateway.catalogue.groups(tenant_id)), "zone": {}, "type": {}}
    for device in gateway.registry.devices(tenant_id):
        for way, word in (("zone", device.zone), ("type", device.type)):
            if word:
                counts[way][word] = counts[way].get(word, 0) + 1
    context = {
        "frame": frame,
        "now": frame.now,
        "meant": meant,
        "ways": {way: sorted(found.items())[:NAMES_LIMIT] for way, found in counts.items() if found},
        "composer": composer,
        "asked": asked,
        "filters": gateway.catalogue.filters(tenant_id),
    }
    return Template("pages/command_new.html", context=context)


def _meant(gateway: Gateway, frame: Frame, told: Mapping[str, str]) -> tuple[Sequence[Device], Meant]:
    tenant_id = frame.user.tenant_id
    way = next((way for way in WAYS if told.get(way, "").strip()), "")
    value = told.get(way, "").strip()
    try:
        found = _found(gateway, tenant_id, way, value)
    except ApplianceError as error:
        return (), Meant(way, value, 0, 0, (), str(error))
    devices = [device for device in found if device.state in (DeviceState.ACTIVE, DeviceState.PENDING)]
    connected = sum(gateway.registry.presence(tenant_id, device.device_id).connected for device in devices)
    names = tuple(device.name or device.device_id for device in devices[:SHOWN_LIMIT])
    return devices, Meant(way, value, len(devices), connected, names, "")


def _found(gateway: Gateway, tenant_id: int, way: str, value: str) -> Sequence[Device]:
    every = gateway.registry.devices(tenant_id)
    match way:
        case "group":
            return [device for device in every if value in device.groups]
        case "zone":
            return [device for device in every if device.zone == value]
        case "type":
            return [device for device in every if device.type == value]
        case "q":
            return gateway.catalogue.find(tenant_id, value)
        case _:
            return ()


def _selection(meant: Meant) -> Selection:
    chosen = {way: meant.value if way == meant.way else "" for way in WAYS}
    return Selection(group=chosen["group"], zone=chosen["zone"], type=chosen["type"], query=chosen["q"])


def _understood(gateway: Gateway, devices: Sequence[Device]) -> list[CommandType]:
    """What all of these devices understand, and in the same way."""
    types = {device.type for device in devices}
    if not types or "" in types:
        return []
    known = [
        {one.name: one for one in gateway.commands.catalogue.commands(devices[0].tenant_id, type_)} for type_ in types
    ]
    return [one for one in known[0].values() if all(other.get(one.name) == one for other in known)]


def _asked(new: NewCommand, data: Mapping[str, str], meant: Meant) -> Asked:
    payload = msgspec.json.encode(new.parameters) if new.parameters is not None else new.payload
    note = ""
    if data.get("step") == "send":
        note = f"meanwhile it would go to {meant.count:,} devices, not to {data.get('count', '')[:12]} as before"
    return Asked(new, ledger.shown(payload, new.content_type), secrets.token_hex(16), note)


async def _list(stage: Stage) -> BatchList:
    before = orders.wanted_of(stage.parameters).before
    found = await stage.gateway.commands.batches(stage.tenant_id, before=before, limit=BATCHES_LIMIT + 1)
    some = found[:BATCHES_LIMIT]
    base = "/commands/batches"
    return BatchList(
        lines=tuple(_line(batch) for batch in some),
        newest=base if before != FURTHEST else "",
        older=orders.address(base, {"before": str(some[-1].batch_number)}) if len(found) > len(some) else "",
    )


async def _batch(stage: Stage) -> tuple[BatchLine, Ledger]:
    wanted = orders.wanted_of(stage.parameters)
    line = _line(await stage.gateway.commands.batch(stage.tenant_id, wanted.batch))
    base = f"/commands/batches/{wanted.batch}"
    listed = orders.without_batches(await orders.look(stage.gateway, stage.tenant_id, wanted, base))
    return line, listed if stage.parameters.get("acts") else orders.without_buttons(listed)


def _tabs(batch_id: str, current: str) -> list[Tab]:
    words = {"": "All", **{state.value: word.capitalize() for state, word in STATE_WORDS.items()}}
    base = f"/commands/batches/{batch_id}"
    return [Tab(word, orders.address(base, {"state": key}), key == current) for key, word in words.items()]


def _line(batch: Batch) -> BatchLine:
    return BatchLine(
        batch_id=batch.batch_id,
        name=batch.name,
        selection=batch.selection,
        author=batch.author,
        created_at=batch.created_at,
        bar=bar([(_COLOURS[state], STATE_WORDS[state], batch.counts.get(state, 0)) for state in _COLOURS]),
        open_count=ledger.open_count(batch.counts),
        device_count=batch.device_count,
        is_written=batch.completed_at is not None,
    )


HANDLERS = (show_new, send_to_many, show_batches, show_batch, cancel_batch)
