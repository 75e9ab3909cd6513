"""`/v1/…/telemetry`: what devices measured."""

import msgspec
from litestar import Request, get
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery

from appliance.accounts.model import User
from appliance.errors import InvalidInputError, NotFoundError
from appliance.gateway import Gateway
from appliance.instant import DAY_MS, from_text, to_text
from appliance.telemetry.model import Value
from web.auth import Caller
from web.shell import moment

DEFAULT_LIMIT = 1_000
HIGHEST_LIMIT = 100_000


class UnknownMetricError(NotFoundError):
    """The device has never sent this metric."""

    code = "unknown_metric"


class UnknownTenantError(NotFoundError):
    """No such tenant, or not for this caller."""

    code = "unknown_tenant"


class SeriesOut(msgspec.Struct, frozen=True):
    """Readings of one metric, oldest first, in two columns of equal length."""

    metric: str
    at: list[str]
    values: list[Value]


class TelemetryOut(msgspec.Struct, frozen=True):
    """Readings of a device. When `truncated`, the newest were kept."""

    device_id: str
    series: list[SeriesOut]
    truncated: bool


class LatestReading(msgspec.Struct, frozen=True):
    """The newest reading of a metric."""

    at: str
    value: Value


class LatestOfDevice(msgspec.Struct, frozen=True):
    """The newest reading of each metric of a device."""

    device_id: str
    last_seen_at: str | None
    readings: dict[str, LatestReading]


class LatestOut(msgspec.Struct, frozen=True):
    """Every device of the tenant that has sent anything."""

    devices: list[LatestOfDevice]


@get("/v1/devices/{device_id:str}/telemetry", tags=["telemetry"], summary="Readings of a device over time")
async def read_series(
    device_id: FromPath[str],
    request: Request[User, Caller, State],
    gateway: NamedDependency[Gateway],
    start: FromQuery[str] = "",
    end: FromQuery[str] = "",
    limit: FromQuery[int] = DEFAULT_LIMIT,
) -> TelemetryOut:
    """Readings between `start` and `end`, ISO 8601 or epoch milliseconds; without them the last 24 hours.

    `metric` may be given several times, or several names with a comma in between; without it all.
    """
    tenant_id = request.user.tenant_id
    device = gateway.registry.device(tenant_id, device_id)
    if not 1 <= limit <= HIGHEST_LIMIT:
        raise InvalidInputError(f"limit is {limit}, expected 1 to {HIGHEST_LIMIT}")
    last = parsed("end", end) if end else moment() + 1
    first = parsed("start", start) if start else last - DAY_MS
    if first > last:
        raise InvalidInputError(f"start is {to_text(first)}, which is after end, {to_text(last)}")
    wanted = [name for text in request.query_params.getall("metric", []) for name in text.split(",") if name]
    metrics = _known(wanted, gateway.telemetry.metrics(tenant_id, device_id))
    found = await gateway.telemetry.series(tenant_id, device.device_id, metrics, first, last, limit)
    return TelemetryOut(
        device_id=device.device_id,
        series=[SeriesOut(series.metric, [to_text(at) for at in series.at], list(series.values)) for series in found],
        truncated=any(series.truncated for series in found),
    )


@get("/v1/tenants/{tenant_id:int}/telemetry/latest", tags=["telemetry"], summary="The newest readings of all devices")
async def read_latest(
    tenant_id: FromPath[int], request: Request[User, Caller, State], gateway: NamedDependency[Gateway]
) -> LatestOut:
    """The newest reading of each metric of each device."""
    if tenant_id != request.user.tenant_id:
        raise UnknownTenantError(f"there is no tenant {tenant_id}")
    devices = []
    for device_id, latest in sorted(gateway.telemetry.latest_of_all(tenant_id).items()):
        seen_at = gateway.telemetry.last_seen(tenant_id, device_id)
        devices.append(
            LatestOfDevice(
                device_id,
                None if seen_at is None else to_text(seen_at),
                {metric: LatestReading(to_text(reading.at), reading.value) for metric, reading in latest.items()},
            )
        )
    return LatestOut(devices)


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
