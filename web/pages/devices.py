"""The list of devices: how each is, what it says now, and its last hour as a line."""

from collections import Counter
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated
from urllib.parse import urlencode

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromQuery, QueryParameter
from litestar.response import Template

from appliance.gateway import Gateway
from web import fleet
from web.fleet import Columns, Condition, Row, Standing
from web.painting import Painting, Part, Stage
from web.shell import Frame

ROWS_LIMIT = 50
SEARCH_LENGTH = 100


class Tab(StrEnum):
    """Which devices are listed."""

    ALL = "all"
    ALERTING = "alerting"
    OFFLINE = "offline"


_CONDITIONS = {Tab.ALERTING: Condition.ALERTING, Tab.OFFLINE: Condition.OFFLINE}


class TabLink(msgspec.Struct, frozen=True):
    """One tab."""

    label: str
    count: int
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
    rows: tuple[Row, ...]
    columns: Columns
    metrics: tuple[str, ...]
    pager: Pager
    state: str
    search: str
    live_address: str


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
    parameters = {"state": tab, "q": q, "metric": metric, "page": page}
    view = await _look(Stage(gateway, frame.user.tenant_id, parameters, frame.now))
    return Template("pages/devices.html", context={"frame": frame, "view": view, "now": frame.now})


async def paint(stage: Stage) -> Painting:
    """The live pieces of the page: each row by itself."""
    view = await _look(stage)
    summary = Part("fragments/device_summary.html", view.summary)
    tabs = Part("fragments/device_tabs.html", view.tabs)
    rows = {f"row-{row.device_id}": Part("fragments/device_row.html", row) for row in view.rows}
    whole = (Part("fragments/device_list.html", view), summary)
    parts = {"device-summary": summary, "device-tabs": tabs, **rows}
    return Painting(whole, parts, shape=(view.columns, view.metrics, view.pager))


def matching(standings: Sequence[Standing], tab: Tab, search: str) -> list[Standing]:
    """Those of the devices that belong under the tab and hold the text that is searched for."""
    wanted = search.casefold()
    condition = _CONDITIONS.get(tab)
    return [
        standing
        for standing in standings
        if (condition is None or standing.condition is condition)
        and (not wanted or any(wanted in text.casefold() for text in _searched(standing)))
    ]


async def _look(stage: Stage) -> DeviceList:
    parameters = stage.parameters
    standings = await fleet.survey(stage.gateway, stage.tenant_id)
    rules = stage.gateway.alerts.rules(stage.tenant_id)
    metrics = fleet.numeric_metrics(standings)
    columns = fleet.columns(standings, fleet.chosen_metric(metrics, rules, parameters.get("metric", "")))
    tab = _tab(parameters.get("state", ""))
    search = parameters.get("q", "").strip()[:SEARCH_LENGTH]
    found = matching(standings, tab, search)
    page = max(1, min(_whole(parameters.get("page", "")), -(-len(found) // ROWS_LIMIT)))
    first = (page - 1) * ROWS_LIMIT
    shown = found[first : first + ROWS_LIMIT]
    counts = Counter(standing.condition for standing in standings)
    kept = {"state": tab.value, "q": search, "metric": parameters.get("metric", ""), "page": str(page)}
    return DeviceList(
        summary=Summary(
            registered_count=len(standings),
            online_count=sum(standing.presence.connected for standing in standings),
            offline_count=sum(not standing.presence.connected for standing in standings),
        ),
        tabs=tuple(
            TabLink(
                label=other.value.capitalize(),
                count=counts[_CONDITIONS[other]] if other in _CONDITIONS else len(standings),
                address=_address({**kept, "state": other.value, "page": ""}),
                is_current=other is tab,
            )
            for other in Tab
        ),
        rows=tuple(fleet.row(stage.gateway, standing, columns, rules, stage.now) for standing in shown),
        columns=columns,
        metrics=tuple(metrics),
        pager=Pager(
            first=first + 1,
            last=first + len(shown),
            count=len(found),
            previous=_address({**kept, "page": str(page - 1)}) if page > 1 else "",
            next=_address({**kept, "page": str(page + 1)}) if first + ROWS_LIMIT < len(found) else "",
        ),
        state=tab.value,
        search=search,
        live_address="/live?" + urlencode({"view": "devices", **kept}),
    )


def _searched(standing: Standing) -> tuple[str, ...]:
    device = standing.device
    return device.device_id, device.name, device.zone, device.type, device.serial_number


def _tab(text: str) -> Tab:
    return Tab(text) if text in list(Tab) else Tab.ALL


def _whole(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < len("100000") else 1


def _address(parameters: Mapping[str, str]) -> str:
    told = {key: value for key, value in parameters.items() if value and (key, value) not in _DEFAULTS}
    return "/devices" + (f"?{urlencode(told)}" if told else "")


_DEFAULTS = {("state", "all"), ("page", "1")}

HANDLERS = (show_devices,)
