"""The list of devices: how each is, what it says now, its last hour as a line; searched, and added to."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated
from urllib.parse import urlencode

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromQuery, QueryParameter, URLEncodedBody
from litestar.response import Template

from appliance.alerts.model import Alert
from appliance.errors import ApplianceError
from appliance.gateway import Gateway
from appliance.registry.catalogue.model import QUERY_LENGTH, InvalidQueryError
from appliance.registry.model import Device, NewDevice
from web import fleet
from web.errors import status_of
from web.fleet import Columns, Row
from web.painting import Painting, Part, Stage
from web.shell import Frame
from web.tables import csv_download

ROWS_LIMIT = 50


class Tab(StrEnum):
    """Which devices are listed."""

    ALL = "all"
    ALERTING = "alerting"
    OFFLINE = "offline"


class TabLink(msgspec.Struct, frozen=True):
    """One tab."""

    label: str
    count: int
    address: str
    is_current: bool


class FilterLink(msgspec.Struct, frozen=True):
    """One saved search."""

    name: str
    query: str
    address: str
    is_current: bool


class Summary(msgspec.Struct, frozen=True):
    """The numbers above the list."""

    registered_count: int
    online_count: int
    offline_count: int


class Pager(msgspec.Struct, frozen=True):
    """Which part of the list is shown; an address is empty when there is nothing that way."""

    first: int
    last: int
    count: int
    previous: str
    next: str


class DeviceList(msgspec.Struct, frozen=True):
    """What the page shows."""

    summary: Summary
    tabs: tuple[TabLink, ...]
    filters: tuple[FilterLink, ...]
    rows: tuple[Row, ...]
    columns: Columns
    metrics: tuple[str, ...]
    pager: Pager
    state: str
    search: str
    complaint: str
    """Why the search cannot be understood; empty when it can."""
    export_address: str
    live_address: str


class DeviceForm(msgspec.Struct, frozen=True):
    """A device as the form names it."""

    device_id: str = ""
    name: str = ""
    type: str = ""
    zone: str = ""
    serial_number: str = ""


class FilterForm(msgspec.Struct, frozen=True):
    """A search to be kept, or forgotten when its name alone is told."""

    name: str = ""
    q: str = ""


@get("/devices", include_in_schema=False)
async def show_devices(
    gateway: NamedDependency[Gateway],
    frame: NamedDependency[Frame],
    tab: Annotated[str, QueryParameter(name="state")] = "all",
    q: FromQuery[str] = "",
    metric: FromQuery[str] = "",
    page: FromQuery[str] = "1",
) -> Template:
    """The page; a search by htmx takes the list out of it."""
    return await _page(gateway, frame, {"state": tab, "q": q, "metric": metric, "page": page})


@post("/devices", include_in_schema=False, status_code=303)
async def add_device(
    gateway: NamedDependency[Gateway], frame: NamedDependency[Frame], data: URLEncodedBody[DeviceForm]
) -> Response[None] | Template:
    """Register a device and show it; or the form again, with what was wrong."""
    told = {field: text.strip() for field, text in msgspec.structs.asdict(data).items()}
    try:
        device = await gateway.catalogue.add_device(frame.user.tenant_id, NewDevice(**told))
    except ApplianceError as error:
        page = await _page(gateway, frame, {}, form=data, complaint=str(error))
        page.status_code = status_of(error)
        return page
    return Response(None, headers={"location": f"/devices/{device.device_id}"})


@post("/device-filters", include_in_schema=False, status_code=303)
async def save_filter(
    gateway: NamedDependency[Gateway], frame: NamedDependency[Frame], data: URLEncodedBody[FilterForm]
) -> Response[None]:
    """Keep a search under a name."""
    kept = await gateway.catalogue.save_filter(frame.user.tenant_id, data.name.strip(), data.q)
    return Response(None, headers={"location": _address({"q": kept.query})})


@post("/device-filters/remove", include_in_schema=False, status_code=303)
async def remove_filter(
    gateway: NamedDependency[Gateway], frame: NamedDependency[Frame], data: URLEncodedBody[FilterForm]
) -> Response[None]:
    """Forget a search."""
    await gateway.catalogue.remove_filter(frame.user.tenant_id, data.name)
    return Response(None, headers={"location": "/devices"})


@get("/device-export.csv", include_in_schema=False)
async def export_devices(
    gateway: NamedDependency[Gateway], frame: NamedDependency[Frame], q: FromQuery[str] = ""
) -> Response[bytes]:
    """The devices that the search finds, as a table."""
    return csv_download(await gateway.catalogue.export(frame.user.tenant_id, q))


async def paint(stage: Stage) -> Painting:
    """The live pieces of the page: each row by itself."""
    view = await _look(stage)
    summary = Part("fragments/device_summary.html", view.summary)
    tabs = Part("fragments/device_tabs.html", view.tabs)
    rows = {f"row-{row.device_id}": Part("fragments/device_row.html", row) for row in view.rows}
    whole = (Part("fragments/device_list.html", view), summary)
    parts = {"device-summary": summary, "device-tabs": tabs, **rows}
    return Painting(whole, parts, shape=(view.columns, view.metrics, view.pager))


async def _page(
    gateway: Gateway,
    frame: Frame,
    parameters: Mapping[str, str],
    *,
    form: DeviceForm | None = None,
    complaint: str = "",
) -> Template:
    tenant_id = frame.user.tenant_id
    view = await _look(Stage(gateway, tenant_id, parameters, frame.now))
    devices = gateway.registry.devices(tenant_id)
    types = {device.type for device in devices} | {kind.name for kind in gateway.catalogue.types(tenant_id)}
    context = {
        "frame": frame,
        "view": view,
        "now": frame.now,
        "form": form or DeviceForm(),
        "is_adding": form is not None,
        "complaint": complaint,
        "types": sorted(types - {""})[:200],
        "zones": sorted({device.zone for device in devices} - {""})[:200],
    }
    return Template("pages/devices.html", context=context)


async def _look(stage: Stage) -> DeviceList:
    gateway, tenant_id, parameters = stage.gateway, stage.tenant_id, stage.parameters
    tab = _tab(parameters.get("state", ""))
    text = parameters.get("q", "").strip()[:QUERY_LENGTH]
    complaint, found = "", list[Device]()
    try:
        found = gateway.catalogue.find(tenant_id, text)
    except InvalidQueryError as error:
        complaint = str(error)
    worst = await fleet.worst_alerts(gateway, tenant_id)
    chosen = _of_tab(gateway, found, tab, worst)
    page = max(1, min(_whole(parameters.get("page", "")), -(-len(chosen) // ROWS_LIMIT)))
    first = (page - 1) * ROWS_LIMIT
    # Only what is shown is looked at closely: a fleet may have ten thousand devices.
    standings = [
        fleet.standing(gateway, device, worst.get(device.device_id)) for device in chosen[first : first + ROWS_LIMIT]
    ]
    rules = gateway.alerts.rules(tenant_id)
    metrics = fleet.numeric_metrics(standings)
    columns = fleet.columns(standings, fleet.chosen_metric(metrics, rules, parameters.get("metric", "")))
    kept = {"state": tab.value, "q": text, "metric": parameters.get("metric", ""), "page": str(page)}
    summary = _summary(gateway, tenant_id)
    return DeviceList(
        summary=summary,
        tabs=_tabs(gateway, tenant_id, summary, worst, kept),
        filters=tuple(
            FilterLink(one.name, one.query, _address({"q": one.query}), is_current=one.query == text)
            for one in gateway.catalogue.filters(tenant_id)
        ),
        rows=tuple(fleet.row(gateway, standing, columns, rules, stage.now) for standing in standings),
        columns=columns,
        metrics=tuple(metrics),
        pager=Pager(
            first=first + 1,
            last=first + len(standings),
            count=len(chosen),
            previous=_address({**kept, "page": str(page - 1)}) if page > 1 else "",
            next=_address({**kept, "page": str(page + 1)}) if first + ROWS_LIMIT < len(chosen) else "",
        ),
        state=tab.value,
        search=text,
        complaint=complaint,
        export_address="/device-export.csv" + (f"?{urlencode({'q': text})}" if text else ""),
        live_address="/live?" + urlencode({"view": "devices", **kept}),
    )


def _of_tab(gateway: Gateway, found: Sequence[Device], tab: Tab, worst: Mapping[str, Alert]) -> Sequence[Device]:
    match tab:
        case Tab.ALL:
            return found
        case Tab.ALERTING:
            return [device for device in found if device.device_id in worst]
        case Tab.OFFLINE:
            return [device for device in found if _is_offline(gateway, device.tenant_id, device.device_id, worst)]


def _is_offline(gateway: Gateway, tenant_id: int, device_id: str, worst: Mapping[str, Alert]) -> bool:
    return device_id not in worst and not gateway.registry.presence(tenant_id, device_id).connected


def _summary(gateway: Gateway, tenant_id: int) -> Summary:
    registered, online = len(gateway.registry.devices(tenant_id)), gateway.registry.connected_count(tenant_id)
    return Summary(registered, online, registered - online)


def _tabs(
    gateway: Gateway, tenant_id: int, summary: Summary, worst: Mapping[str, Alert], kept: Mapping[str, str]
) -> tuple[TabLink, ...]:
    alerting = [device_id for device_id in worst if gateway.registry.has_device(tenant_id, device_id)]
    away = sum(not gateway.registry.presence(tenant_id, device_id).connected for device_id in alerting)
    counts = {
        Tab.ALL: summary.registered_count,
        Tab.ALERTING: len(alerting),
        Tab.OFFLINE: summary.offline_count - away,
    }
    return tuple(
        TabLink(
            label=other.value.capitalize(),
            count=counts[other],
            address=_address({**kept, "state": other.value, "page": ""}),
            is_current=other.value == kept["state"],
        )
        for other in Tab
    )


def _tab(text: str) -> Tab:
    return Tab(text) if text in list(Tab) else Tab.ALL


def _whole(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < len("100000") else 1


def _address(parameters: Mapping[str, str]) -> str:
    told = {key: value for key, value in parameters.items() if value and (key, value) not in _DEFAULTS}
    return "/devices" + (f"?{urlencode(told)}" if told else "")


_DEFAULTS = {("state", "all"), ("page", "1")}

HANDLERS = (show_devices, add_device, save_filter, remove_filter, export_devices)
