"""One device: what it says now, how that went over time, who it is, and what went wrong."""

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urlencode

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from litestar.response import Template

from appliance.alerts.model import Alert
from appliance.enrolment.renewal import due
from appliance.gateway import Gateway
from appliance.ingestion import location
from appliance.ingestion.model import Problem
from appliance.ingestion.quality import Quality
from appliance.instant import DAY_MS, HOUR_MS
from appliance.registry.model import Certificate, Device, Presence
from appliance.telemetry.coarse.model import Lacking, Needed
from appliance.telemetry.model import Series, TimeSource
from appliance.telemetry.wanted import Check
from web import fleet, words
from web.figures import Point, Sparkline, sparkline, thinned, with_gaps
from web.fleet import CONDITION_WORDS, Condition, Standing
from web.packet_log import PacketLogs, PacketLogView
from web.painting import Paint, Painting, Part, Stage
from web.sessions import SessionView, sessions_of
from web.shell import Frame

RANGES = {"1h": HOUR_MS, "6h": 6 * HOUR_MS, "24h": DAY_MS, "7d": 7 * DAY_MS}
RANGE_WORDS = {"1h": "1 h", "6h": "6 h", "24h": "24 h", "7d": "7 d"}
DEFAULT_RANGE = "1h"
POINTS_LIMIT = 600
READINGS_LIMIT = 150_000


class Tile(msgspec.Struct, frozen=True):
    """The newest reading of one metric."""

    metric: str
    label: str
    value: str
    unit: str
    at: int
    is_arrival: bool
    """The device's own moment could not be used: it is filed under its arrival."""
    address: str
    """Where the chart shows this metric; empty when it cannot be drawn."""
    is_charted: bool


class Newest(msgspec.Struct, frozen=True):
    """The newest reading of the charted metric, for the chart to go on with."""

    at: int
    value: float


class Sight(msgspec.Struct, frozen=True):
    """What of the page is live."""

    device: Device
    title: str
    condition: Condition
    condition_word: str
    presence: Presence
    seen_at: int | None
    is_silent: bool
    """Whether it should have said something by now."""
    alert: Alert | None
    tiles: tuple[Tile, ...]
    quality: Quality | None
    """How well it reports; None when nothing came since the gateway started."""
    newest: Newest | None
    problems: tuple[Problem, ...]
    sessions: tuple[SessionView, ...]
    packet_log: PacketLogView


class Link(msgspec.Struct, frozen=True):
    """One of the ranges."""

    label: str
    address: str
    is_current: bool


class Chart(msgspec.Struct, frozen=True):
    """One metric over time."""

    metric: str
    label: str
    unit: str
    limit: float | None
    start: int
    end: int
    points: tuple[tuple[int, float | None], ...]
    is_truncated: bool
    lacking: Lacking
    """The days of which readings are not there that should be."""
    drawing: Sparkline | None
    """The same as a plain drawing, for a browser without script."""


class Identity(msgspec.Struct, frozen=True):
    """Who the device is."""

    device: Device
    certificates: tuple[Certificate, ...]
    renewal: str
    """How it stands with the renewal of its certificate, in a sentence; empty while none is due."""


class _Question(NamedTuple):
    device_id: str
    metric: str
    range: str


@get("/devices/{device_id:str}", include_in_schema=False)
async def show_device(
    device_id: FromPath[str],
    gateway: NamedDependency[Gateway],
    packet_logs: NamedDependency[PacketLogs],
    frame: NamedDependency[Frame],
    metric: FromQuery[str] = "",
    range: FromQuery[str] = DEFAULT_RANGE,  # noqa: A002  the word in the address
) -> Template:
    """The page."""
    tenant_id = frame.user.tenant_id
    question = _Question(device_id, metric, range if range in RANGES else DEFAULT_RANGE)
    stage = Stage(gateway, tenant_id, question._asdict(), frame.now)
    sight = await _look(stage, packet_logs)
    charted = next((tile.metric for tile in sight.tiles if tile.is_charted), "")
    context = {
        "frame": frame,
        "now": frame.now,
        "view": sight,
        "chart": await _chart(gateway, sight.device, charted, question.range, frame.now) if charted else None,
        "ranges": [
            Link(words_, _address(question._replace(range=key)), key == question.range)
            for key, words_ in RANGE_WORDS.items()
        ],
        "identity": await _identity(gateway, sight.device),
        "live_address": "/live?" + urlencode({"view": "device", **question._asdict()}),
    }
    return Template("pages/device.html", context=context)


async def _identity(gateway: Gateway, device: Device) -> Identity:
    certificates = await gateway.registry.certificates(device.tenant_id, device.device_id)
    standing = await gateway.renewal.reminder.standing(device.tenant_id, device.device_id)
    return Identity(device, tuple(certificates), "" if standing is None else due.told(standing))


def painter(packet_logs: PacketLogs) -> Paint:
    """What paints the live pieces of the page."""

    async def paint(stage: Stage) -> Painting:
        return _painting(await _look(stage, packet_logs))

    return paint


def _painting(sight: Sight) -> Painting:
    parts = {
        "device-head": Part("fragments/device_head.html", sight),
        "device-tiles": Part("fragments/device_tiles.html", sight.tiles),
        "chart-newest": Part("fragments/chart_newest.html", sight.newest),
        "device-presence": Part("fragments/device_presence.html", (sight.presence, sight.seen_at)),
        "device-quality": Part("fragments/device_quality.html", sight.quality),
        "device-problems": Part("fragments/device_problems.html", sight.problems),
        "device-sessions": Part("fragments/device_sessions.html", sight.sessions),
        "packet-log": Part("fragments/packet_log.html", sight.packet_log),
    }
    return Painting(tuple(parts.values()), parts)


async def _look(stage: Stage, packet_logs: PacketLogs) -> Sight:
    question = _Question(
        stage.parameters.get("device_id", ""),
        stage.parameters.get("metric", ""),
        stage.parameters.get("range", DEFAULT_RANGE),
    )
    gateway, tenant_id = stage.gateway, stage.tenant_id
    device = gateway.registry.device(tenant_id, question.device_id)
    alerts = await gateway.alerts.alerts(tenant_id, state="firing", limit=1000)
    own = [alert for alert in alerts if alert.device_id == device.device_id]
    standing = Standing(
        device=device,
        presence=gateway.registry.presence(tenant_id, device.device_id),
        alert=max(own, key=fleet.badness, default=None),
        latest=gateway.telemetry.latest(tenant_id, device.device_id),
        seen_at=gateway.telemetry.last_seen(tenant_id, device.device_id),
    )
    metrics = fleet.numeric_metrics([standing])
    charted = fleet.chosen_metric(metrics, gateway.alerts.rules(tenant_id), question.metric)
    newest = standing.latest.get(charted)
    return Sight(
        device=device,
        title=standing.title,
        condition=standing.condition,
        condition_word=CONDITION_WORDS[standing.condition],
        presence=standing.presence,
        seen_at=standing.seen_at,
        is_silent=gateway.presence.is_silent(tenant_id, device.device_id, standing.seen_at, stage.now),
        alert=standing.alert,
        tiles=_tiles(gateway, standing, metrics, question._replace(metric=charted)),
        newest=Newest(newest.at, float(newest.value)) if newest and isinstance(newest.value, (int, float)) else None,
        quality=gateway.ingestion.quality.quality(tenant_id, device.device_id),
        problems=tuple(await gateway.ingestion.problems(tenant_id, device.device_id)),
        sessions=sessions_of(gateway.broker, tenant_id, device.device_id),
        packet_log=packet_logs.view(tenant_id, device.device_id),
    )


def _tiles(gateway: Gateway, standing: Standing, metrics: Sequence[str], question: _Question) -> tuple[Tile, ...]:
    places = _places(standing)
    others = sorted(metric for metric in standing.latest if metric not in metrics)
    return places + tuple(
        Tile(
            metric=metric,
            label=words.metric_name(metric),
            value=words.reading(standing.latest[metric].value),
            unit=fleet.unit(gateway, standing.device, metric),
            at=standing.latest[metric].at,
            is_arrival=standing.latest[metric].time_source is not TimeSource.DEVICE,
            address=_address(question._replace(metric=metric)) if metric in metrics else "",
            is_charted=metric == question.metric,
        )
        for metric in (*metrics, *others)
    )


def _places(standing: Standing) -> tuple[Tile, ...]:
    """A tile for each location; its coordinates have tiles of their own, for they can be drawn."""
    found = []
    for metric, latitude in sorted(standing.latest.items()):
        name = location.owner(metric)
        longitude = standing.latest.get(f"{name}.{location.LONGITUDE}")
        if metric != f"{name}.{location.LATITUDE}" or longitude is None or longitude.at != latitude.at:
            continue
        if fleet.is_number(latitude.value) and fleet.is_number(longitude.value):
            found.append(
                Tile(
                    metric=name,
                    label=words.metric_name(name),
                    value=words.place(latitude.value, longitude.value),
                    unit="",
                    at=latitude.at,
                    is_arrival=latitude.time_source is not TimeSource.DEVICE,
                    address="",
                    is_charted=False,
                )
            )
    return tuple(found)


async def _chart(gateway: Gateway, device: Device, metric: str, range_: str, now: int) -> Chart:
    start = now - RANGES[range_]
    of = device.tenant_id, device.device_id
    [series] = await gateway.telemetry.series(*of, [metric], start, now + HOUR_MS, READINGS_LIMIT)
    span = (series.at[0] if series.truncated else start, now + HOUR_MS)
    what = Needed((metric,), (span,), is_of_numbers=True)
    lacking = await gateway.telemetry.coarse.lacking(of[0], of[1:], [what], span)
    points = await gateway.telemetry.aside(_points, series, start, now)
    limit = fleet.limit_for(gateway.alerts.rules(device.tenant_id), metric, device.zone)
    return Chart(
        metric=metric,
        label=words.metric_name(metric),
        unit=fleet.unit(gateway, device, metric),
        limit=limit,
        start=start,
        end=now,
        points=tuple(with_gaps(points)),
        is_truncated=series.truncated,
        lacking=lacking,
        drawing=sparkline(points, start, now + HOUR_MS, limit),
    )


def _points(_check: Check, series: Series, start: int, now: int) -> list[Point]:
    """What is drawn of the readings. Runs in a thread."""
    readings: list[Point] = [
        (at, float(value))
        for at, value in zip(series.at, series.values, strict=True)
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    ]
    return thinned(readings, start, now, POINTS_LIMIT)


def _address(question: _Question) -> str:
    told = {"metric": question.metric, "range": question.range}
    return f"/devices/{question.device_id}?{urlencode(told)}"


HANDLERS = (show_device,)
