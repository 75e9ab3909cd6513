"""`GET /v1/telemetry`: questions about the readings of many devices."""

import asyncio
import json
from collections.abc import Sequence
from datetime import tzinfo
from enum import StrEnum
from typing import Annotated, TypeVar

import msgspec
from litestar import Request, Response, get
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromQuery, QueryParameter, SkipValidation

from appliance.accounts.model import User
from appliance.errors import InvalidInputError
from appliance.gateway import Gateway
from appliance.instant import DAY_MS, to_text
from appliance.registry.model import Device
from appliance.telemetry.asking.columns import columns_of
from appliance.telemetry.asking.edges import width_of, zone_of
from appliance.telemetry.asking.model import (
    EARLIEST,
    KEYS_LIMIT,
    LATEST,
    ROWS_LIMIT,
    Binned,
    Column,
    Fill,
    Order,
    Percentile,
    Question,
    Width,
)
from appliance.telemetry.asking.paging import Cursor, read, written
from appliance.telemetry.asking.units import UNKNOWN, Units, units_of
from web.answers import After, RowsOut, as_csv, as_json
from web.api.telemetry import UnknownMetricError, parsed
from web.auth import Caller
from web.lacking import headers
from web.leaving import while_wanted
from web.shell import moment

AnyRequest = Request[User, Caller, State]
Repeated = Annotated[list[str] | None, QueryParameter()]

DEFAULT_LIMIT = 1_000
DEVICES_AT_ONCE = 500
"""Of how many devices the metrics are looked up before others get their turn."""

CSV = "text/csv"
NEXT_CURSOR = "headworks-next-cursor"
"""The header that says where the next page of CSV goes on; empty on the last."""
UNITS = "headworks-units"
"""The header that says, as JSON, in which units the columns of CSV are; without units it is not there."""
UNITS_HEADER_LIMIT = 4_000
"""A longer one, which some clients refuse, is not there either."""

W = TypeVar("W", bound=StrEnum)
_VARY = {"vary": "accept"}

_PARAMETERS = {
    *("device", "group", "zone", "type", "q", "by"),
    *("select", "start", "end", "bin", "tz", "fill", "order", "limit", "cursor", "format"),
}


class By(StrEnum):
    """What a row is of."""

    DEVICE = "device"
    GROUP = "group"
    ZONE = "zone"
    TYPE = "type"
    ALL = "all"


_COLUMN_OF_KEY = {By.DEVICE: ["device_id"], By.GROUP: ["group"], By.ZONE: ["zone"], By.TYPE: ["type"], By.ALL: []}


class Selection(msgspec.Struct, frozen=True):
    """Which devices are asked about, and what each row is to be of."""

    devices: list[Device]
    by: By

    def keys(self) -> dict[str, tuple[str, ...]]:
        """What rows are named by, and the devices behind each name."""
        found: dict[str, list[str]] = {}
        for device in self.devices:
            for key in _keys_of(device, self.by):
                found.setdefault(key, []).append(device.device_id)
        return {key: tuple(found[key]) for key in sorted(found)}


class Asked(msgspec.Struct, frozen=True):
    """The rest of a question."""

    columns: tuple[Column, ...]
    width: Width | None
    limit: int
    place: Cursor
    order: Order
    fill: Fill
    zone: tzinfo


def provide_selection(
    request: AnyRequest,
    gateway: NamedDependency[Gateway],
    device: Repeated = None,
    group: Repeated = None,
    zone: Repeated = None,
    kind: Annotated[list[str] | None, QueryParameter(name="type")] = None,
    q: FromQuery[str] = "",
    by: FromQuery[str] = By.DEVICE.value,
) -> Selection:
    """The devices that every parameter that is given lets through."""
    tenant_id = request.user.tenant_id
    named = {device_id: gateway.registry.device(tenant_id, device_id) for device_id in device or ()}
    found = gateway.catalogue.find(tenant_id, q) if q or not named else list(named.values())
    return Selection(
        [
            each
            for each in found
            if (not named or each.device_id in named)
            and (not zone or each.zone in zone)
            and (not kind or each.type in kind)
            and (not group or not set(group).isdisjoint(each.groups))
        ],
        _word("by", by, By),
    )


def provide_asked(
    select: Repeated = None,
    start: FromQuery[str] = "",
    end: FromQuery[str] = "",
    width: Annotated[str, QueryParameter(name="bin")] = "",
    tz: FromQuery[str] = "UTC",
    fill: FromQuery[str] = Fill.NONE.value,
    order: FromQuery[str] = Order.OLDEST.value,
    limit: Annotated[int, QueryParameter(ge=1, le=ROWS_LIMIT)] = DEFAULT_LIMIT,
    cursor: FromQuery[str] = "",
) -> Asked:
    """What is asked of the devices. A page after the first one is of the same range as that."""
    return Asked(
        columns=columns_of(select or ()),
        width=width_of(width) if width else None,
        limit=limit,
        place=read(cursor) if cursor else _range(start, end),
        order=_word("order", order, Order),
        fill=_word("fill", fill, Fill),
        zone=zone_of(tz),
    )


@get(
    "/v1/telemetry",
    dependencies={
        "selection": Provide(provide_selection, sync_to_thread=False),
        "asked": Provide(provide_asked, sync_to_thread=False),
    },
    responses={200: ResponseSpec(RowsOut, description="Rows; as CSV when that is asked for")},
    tags=["telemetry"],
    summary="Readings of many devices: in bins of time, or beside their rolling windows",
)
async def ask(
    request: AnyRequest,
    gateway: NamedDependency[Gateway],
    selection: SkipValidation[NamedDependency[Selection]],
    asked: SkipValidation[NamedDependency[Asked]],
    form: Annotated[str, QueryParameter(name="format")] = "",
) -> Response[bytes]:
    """With `bin`, aggregates of each bin, for example `avg(flowRate),p95(flowRate)`.

    Without it the readings, for example `pressure,rolling_avg(pressure, 1h)`. JSON, or CSV by `format=csv` or
    `Accept: text/csv`.
    """
    unknown = sorted(set(request.query_params) - _PARAMETERS)
    if unknown:
        raise InvalidInputError(
            f"there is no parameter {unknown[0][:40]!r}; there are: {', '.join(sorted(_PARAMETERS))}"
        )
    is_csv = _is_csv(request, form)
    _check(asked, selection)
    known, found = await _known(gateway, request.user.tenant_id, selection, asked)
    question = Question(
        tenant_id=request.user.tenant_id,
        keys=known.keys(),
        columns=asked.columns,
        start=asked.place.start,
        end=asked.place.end,
        width=asked.width,
        zone=asked.zone,
        fill=asked.fill,
        order=asked.order,
        limit=asked.limit,
        after=asked.place.after,
    )
    if len(question.keys) > KEYS_LIMIT:
        raise InvalidInputError(f"{len(question.keys):,} devices are asked about, at most {KEYS_LIMIT:,} may be")
    units = units_of(question.columns, found)
    return await while_wanted(request, _answered(gateway, question, selection.by, units, is_csv=is_csv))


async def _answered(
    gateway: Gateway, question: Question, by: By, of_columns: Sequence[Units], *, is_csv: bool
) -> Response[bytes]:
    answer = await gateway.telemetry.asking.answer(question)
    cursor = None if answer.next is None else written(Cursor(question.start, question.end, answer.next))
    lacking = await gateway.telemetry.coarse.lacking_in(question, answer)
    is_keyed = by is not By.ALL
    columns = ["at", *_COLUMN_OF_KEY[by], *(column.name for column in question.columns)]
    units = [*[()] * (len(columns) - len(of_columns)), *of_columns]
    aside = gateway.telemetry.aside
    if not is_csv:
        after = After(cursor, lacking.damaged_days, lacking.coarse_days, units)
        body = await aside(as_json, columns, answer.rows, after, is_keyed=is_keyed)
        return Response(body, media_type="application/json", headers=_VARY)
    body = await aside(as_csv, columns, answer.rows, is_keyed=is_keyed)
    told = {"content-disposition": 'attachment; filename="telemetry.csv"', NEXT_CURSOR: cursor or ""}
    # A header has no characters but those of ASCII.
    as_text = json.dumps(units, separators=(",", ":")) if any(units) else ""
    told |= {UNITS: as_text} if 0 < len(as_text) <= UNITS_HEADER_LIMIT else {}
    return Response(body, media_type=CSV, headers=_VARY | told | headers(lacking))


def _keys_of(device: Device, by: By) -> tuple[str, ...]:
    match by:
        case By.DEVICE:
            return (device.device_id,)
        case By.GROUP:
            return device.groups
        case By.ZONE:
            return (device.zone,)
        case By.TYPE:
            return (device.type,)
        case By.ALL:
            return (By.ALL.value,)


def _range(start: str, end: str) -> Cursor:
    last = parsed("end", end) if end else moment() + 1
    first = parsed("start", start) if start else last - DAY_MS
    if first > last:
        raise InvalidInputError(f"start is {to_text(first)}, which is after end, {to_text(last)}")
    if first < EARLIEST or last > LATEST:
        raise InvalidInputError("start and end lie between 1970 and the year 9000")
    return Cursor(first, last, None)


def _word(name: str, text: str, words: type[W]) -> W:
    try:
        return words(text)
    except ValueError:
        raise InvalidInputError(f"{name} is {text[:40]!r}, expected one of {', '.join(words)}") from None


def _is_csv(request: AnyRequest, form: str) -> bool:
    if form not in {"", "csv", "json"}:
        raise InvalidInputError(f"format is {form[:40]!r}, expected csv or json")
    return form == "csv" or (not form and CSV in request.headers.get("accept", ""))


def _check(asked: Asked, selection: Selection) -> None:
    """Raise `InvalidInputError` when the parts of a question do not go together."""
    for column in asked.columns:
        if isinstance(column, Binned | Percentile) is (asked.width is None):
            raise InvalidInputError(
                f"{column.name} is told of bins: say how wide they are, for example bin=1h"
                if asked.width is None
                else f"{column.name} is told of readings, and bin asks for bins: leave one out"
            )
    if asked.width is None and (selection.by is not By.DEVICE or asked.fill is not Fill.NONE):
        raise InvalidInputError("by and fill are for bins: say how wide they are, for example bin=1h")


async def _known(
    gateway: Gateway, tenant_id: int, selection: Selection, asked: Asked
) -> tuple[Selection, dict[str, set[str]]]:
    """The devices that have ever sent one of the metrics, and the units that they have for each.

    Raises `UnknownMetricError`.
    """
    wanted = {column.metric for column in asked.columns}
    known: dict[str, set[str]] = {}
    units: dict[str, set[str]] = {metric: set() for metric in wanted}
    for first in range(0, len(selection.devices), DEVICES_AT_ONCE):
        for device in selection.devices[first : first + DEVICES_AT_ONCE]:
            known[device.device_id] = wanted.intersection(gateway.telemetry.metrics(tenant_id, device.device_id))
            in_units = gateway.units.of(tenant_id, device.device_id)
            for metric in known[device.device_id]:
                units[metric].add(in_units.get(metric, UNKNOWN))
        await asyncio.sleep(0)
    for metric in sorted(wanted.difference(*known.values())):
        if known:
            raise UnknownMetricError(f"none of the devices asked about has a metric {metric[:128]!r}")
    return Selection([device for device in selection.devices if known[device.device_id]], selection.by), units


HANDLERS = (ask,)
