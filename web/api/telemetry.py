"""`/v1/…/telemetry`: what devices measured."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby

import msgspec
from litestar import Request, Response, get
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, FromQuery

from appliance.accounts.model import User
from appliance.errors import InvalidInputError, NotFoundError
from appliance.gateway import Gateway
from appliance.instant import DAY_MS, from_text, to_text
from appliance.registry.model import Device
from appliance.telemetry.coarse.model import Lacking
from appliance.telemetry.coarse.needed import extent, needed_on
from appliance.telemetry.model import Report, TimeSource, Value
from appliance.telemetry.newest import Newest
from appliance.telemetry.paging.cursor import beginning, read, written
from appliance.telemetry.paging.model import Cursor, Page
from appliance.telemetry.wanted import Check
from web import moment_column
from web.answers import MomentTexts
from web.auth import Caller
from web.leaving import while_wanted
from web.shell import moment

DEFAULT_LIMIT = 1_000
HIGHEST_LIMIT = 100_000
VALUES_AT_ONCE = 1_024
"""So many values are written in one step, which no other thread can come in between."""
DEVICES_AT_ONCE = 256
"""Of how many devices the newest readings are told before others get their turn."""
KNOWN_AT_ONCE = 2_048
"""And of how many when nearly all of them were told before."""
_SOURCES: Mapping[TimeSource, str | msgspec.UnsetType] = {
    source: msgspec.UNSET if source is TimeSource.DEVICE else source.name.lower() for source in TimeSource
}
"""What is told of where a moment comes from: nothing when it is the device's own."""


class UnknownMetricError(NotFoundError):
    """The device has never sent this metric."""

    code = "unknown_metric"


class UnknownTenantError(NotFoundError):
    """No such tenant, or not for this caller."""

    code = "unknown_tenant"


class SourceRun(msgspec.Struct, frozen=True):
    """Where moments come from, from the reading with this number on: `device`, or which arrival it is and why."""

    first: int
    time_source: str


class SeriesOut(msgspec.Struct, frozen=True):
    """Readings of one metric, oldest first, in two columns of equal length."""

    metric: str
    unit: str | None
    """As its type says, or else as the device declared it; null when neither does."""
    at: list[str]
    values: list[Value]
    time_sources: list[SourceRun]
    """Empty when all moments are the device's own, as nearly always; else the first run is that of reading 0."""


class TelemetryOut(msgspec.Struct, frozen=True):
    """Readings of a device. When `truncated`, these are the newest, and `next_cursor` asks for those before them.

    `damaged_days` are those of which stored readings are known to be damaged or missing, `coarse_days` those of which
    only roll-ups are left.
    """

    device_id: str
    series: list[SeriesOut]
    truncated: bool
    next_cursor: str | None
    damaged_days: list[str]
    coarse_days: list[str]


class LatestReading(msgspec.Struct, frozen=True, gc=False):
    """The newest reading of a metric."""

    at: str
    value: Value
    time_source: str | msgspec.UnsetType = msgspec.UNSET
    """Which arrival the moment is, and why; not there when it is the device's own."""
    unit: str | msgspec.UnsetType = msgspec.UNSET
    """As the type of the device says, or else as the device declared it; not there when neither does."""


class LatestOfDevice(msgspec.Struct, frozen=True, gc=False):
    """The newest reading of each metric of a device."""

    device_id: str
    last_seen_at: str | None
    readings: dict[str, LatestReading]


class LatestOut(msgspec.Struct, frozen=True):
    """Every device of the tenant that has sent anything."""

    devices: list[LatestOfDevice]


@get(
    "/v1/devices/{device_id:str}/telemetry",
    responses={200: ResponseSpec(TelemetryOut, description="Readings, newest last")},
    tags=["telemetry"],
    summary="Readings of a device over time",
)
async def read_series(
    device_id: FromPath[str],
    request: Request[User, Caller, State],
    gateway: NamedDependency[Gateway],
    start: FromQuery[str] = "",
    end: FromQuery[str] = "",
    limit: FromQuery[int] = DEFAULT_LIMIT,
    cursor: FromQuery[str] = "",
) -> Response[bytes]:
    """Readings between `start` and `end`, ISO 8601 or epoch milliseconds; without them the last 24 hours.

    `metric` may be given several times, or several names with a comma in between; without it all. The newest `limit` of
    each metric are given; `cursor`, the `next_cursor` of the page before, gives those before them. It holds the range.
    """
    tenant_id = request.user.tenant_id
    device = gateway.registry.device(tenant_id, device_id)
    if not 1 <= limit <= HIGHEST_LIMIT:
        raise InvalidInputError(f"limit is {limit}, expected 1 to {HIGHEST_LIMIT}")
    if cursor:
        place = read(cursor)
    else:
        last = parsed("end", end) if end else moment() + 1
        first = parsed("start", start) if start else last - DAY_MS
        if first > last:
            raise InvalidInputError(f"start is {to_text(first)}, which is after end, {to_text(last)}")
        place = beginning(first, last)
    wanted = [name for text in request.query_params.getall("metric", []) for name in text.split(",") if name]
    metrics = _known(wanted, gateway.telemetry.metrics(tenant_id, device_id))
    return await while_wanted(request, _series(gateway, device, metrics, place, limit))


async def _series(
    gateway: Gateway, device: Device, metrics: Sequence[str], cursor: Cursor, limit: int
) -> Response[bytes]:
    of = (device.tenant_id, device.device_id)
    page = await gateway.telemetry.paging.page(of, metrics, cursor, limit)
    needed = needed_on(metrics, cursor, page.next)
    lacking = await gateway.telemetry.coarse.lacking(of[0], of[1:], needed, extent(needed))
    known = gateway.units.of(*of)
    units = {series.metric: known.get(series.metric) for series in page.series}
    body = await gateway.telemetry.aside(_written, device.device_id, page, units, lacking)
    return Response(body, media_type="application/json")


def _written(check: Check, device_id: str, page: Page, units: Mapping[str, str | None], lacking: Lacking) -> bytes:
    """Readings as `TelemetryOut`, written a few at a time. Runs in a thread."""
    pieces = [b'{"device_id":', msgspec.json.encode(device_id), b',"series":[']
    for number, series in enumerate(page.series):
        pieces += (b"," if number else b"", b'{"metric":', msgspec.json.encode(series.metric))
        pieces += (b',"unit":', msgspec.json.encode(units[series.metric]))
        pieces += (b',"at":[', moment_column.written(check, series.at), b'],"values":[')
        for first in range(0, len(series.values), VALUES_AT_ONCE):
            check()
            some = list(series.values[first : first + VALUES_AT_ONCE])
            pieces += (b"," if first else b"", msgspec.json.encode(some)[1:-1])
        pieces += (b'],"time_sources":[', *_runs_written(check, series.sources), b"]}")
    is_cut = msgspec.json.encode(page.next is not None)
    following = msgspec.json.encode(None if page.next is None else written(page.next))
    # One copy of it all at the end is enough.
    named = msgspec.json.encode(lacking)[1:]
    return b"".join((*pieces, b'],"truncated":', is_cut, b',"next_cursor":', following, b",", named))


def _runs_written(check: Check, sources: bytes | None) -> Iterator[bytes]:
    """Where moments come from, as runs with commas between them."""
    if not sources or not any(sources):
        return
    place = 0
    for number, (source, run) in enumerate(groupby(sources)):
        if number % VALUES_AT_ONCE == 0:
            check()
        piece = msgspec.json.encode(SourceRun(place, TimeSource(source).name.lower()))
        yield b"," + piece if number else piece
        place += sum(1 for _ in run)


@get(
    "/v1/tenants/{tenant_id:int}/telemetry/latest",
    responses={200: ResponseSpec(LatestOut, description="The newest readings")},
    tags=["telemetry"],
    summary="The newest readings of all devices",
)
async def read_latest(
    tenant_id: FromPath[int], request: Request[User, Caller, State], gateway: NamedDependency[Gateway]
) -> Response[bytes]:
    """The newest reading of each metric of each device, with its unit where one is known."""
    if tenant_id != request.user.tenant_id:
        raise UnknownTenantError(f"there is no tenant {tenant_id}")
    newest = gateway.telemetry.newest_of_all(tenant_id)
    told = await latest_out(newest, partial(gateway.units.of, tenant_id), gateway.units.change_count)
    return Response(told, media_type="application/json")


async def latest_out(
    newest: Sequence[tuple[str, Newest]], units_of: Callable[[str], Mapping[str, str]], units_count: int
) -> bytes:
    """A `LatestOut`, some devices at a time: what memory holds of them is looked at on the loop.

    The count is another one whenever `units_of` may say something else.
    """
    text = MomentTexts().text
    news = 0

    def tell(device_id: str, reports: Mapping[str, Report], last_seen_at: int | None) -> bytes:
        nonlocal news
        news += 1
        return _told(text, device_id, reports, last_seen_at, units_of(device_id))

    pieces: list[bytes] = []
    rested_at = 0
    for first in range(0, len(newest), DEVICES_AT_ONCE):
        some = newest[first : first + DEVICES_AT_ONCE]
        pieces += [each.told(device_id, tell, units_count) for device_id, each in some]
        if news >= DEVICES_AT_ONCE or len(pieces) - rested_at >= KNOWN_AT_ONCE:
            news, rested_at = 0, len(pieces)
            await asyncio.sleep(0)
    if not pieces:
        return b'{"devices":[]}'
    # They are megabytes: what stands before and behind them costs no second copy.
    pieces[0] = b'{"devices":[' + pieces[0]
    pieces[-1] += b"]}"
    return b",".join(pieces)


def _told(
    text: Callable[[int], str],
    device_id: str,
    reports: Mapping[str, Report],
    last_seen_at: int | None,
    units: Mapping[str, str],
) -> bytes:
    """A `LatestOfDevice`."""
    readings = {}
    before, at = None, ""
    source: str | msgspec.UnsetType = msgspec.UNSET
    for metric, report in reports.items():
        if report is not before:
            # Readings that came together have one moment: it is printed once.
            before, at = report, text(report.at)
            source = _SOURCES[report.time_source]
        readings[metric] = LatestReading(at, report.values[metric], source, units.get(metric, msgspec.UNSET))
    return msgspec.json.encode(
        LatestOfDevice(device_id, None if last_seen_at is None else text(last_seen_at), readings)
    )


def parsed(name: str, text: str) -> int:
    """A moment as it may be given. Raises `InvalidInputError`."""
    try:
        # In an address + stands for a blank: an offset such as +01:00 arrives with one.
        at = int(text) if text.lstrip("-").isdecimal() else from_text(text.replace(" ", "+"))
        to_text(at)
    except (ValueError, OverflowError):
        raise InvalidInputError(f"{name} is {text[:64]!r}, expected ISO 8601 or epoch milliseconds") from None
    return at


def _known(wanted: list[str], known: list[str]) -> list[str]:
    for metric in wanted:
        if metric not in known:
            names = ", ".join(sorted(known)) or "none yet"
            raise UnknownMetricError(f"the device has no metric {metric[:128]!r}; it has: {names}")
    return list(dict.fromkeys(wanted)) or sorted(known)


HANDLERS = (read_series, read_latest)
