"""One device: what it says now, how that went over time, who it is, and what went wrong."""

import asyncio
from collections.abc import Sequence
from datetime import UTC
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
from appliance.instant import HOUR_MS
from appliance.registry.model import Certificate, Device, Presence
from appliance.telemetry.asking.model import (
    Aggregate,
    Binned,
    Fill,
    Order,
    Question,
    TooManyQuestionsError,
    TooMuchError,
    Unit,
    Width,
)
from appliance.telemetry.model import TimeSource
from web import charts, fleet, words
from web.charts import DEFAULT_RANGE, RANGES, Drawn, Picture, Range
from web.fleet import CONDITION_WORDS, Condition, Standing
from web.packet_log import PacketLogs, PacketLogView
from web.painting import Paint, Painting, Part, Stage
from web.sessions import SessionView, sessions_of
from web.shell import Frame

READINGS_LIMIT = 150_000
"""Of more readings the bins of hours are drawn."""

PATIENCE_S = 10.0
"""For so long the page waits for its chart: others may ask much."""


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

    label: str
    unit: str
    limit: float | None
    range_word: str
    picture: Picture
    damaged: str
    """Days of which readings are known to be damaged or missing."""
    trouble: str
    """Why it could not be drawn; empty when it could."""


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
        "chart": await _chart(gateway, sight.device, charted, RANGES[question.range], frame.now) if charted else None,
        "ranges": [
            Link(each.label, _address(question._replace(range=key)), key == question.range)
            for key, each in RANGES.items()
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


async def _chart(gateway: Gateway, device: Device, metric: str, range_: Range, now: int) -> Chart:
    drawn, trouble = Drawn((), 0), ""
    try:
        async with asyncio.timeout(PATIENCE_S):
            drawn = await _drawn(gateway, device, metric, range_, now)
    except TimeoutError:
        trouble = f"this took more than {PATIENCE_S:g} s, for others ask much: load the page again in a while"
    except (TooManyQuestionsError, TooMuchError) as error:
        trouble = str(error)
    limit = fleet.limit_for(gateway.alerts.rules(device.tenant_id), metric, device.zone)
    picture = await gateway.telemetry.aside(charts.picture, drawn, range_, now, limit)
    span = (picture.start, now + HOUR_MS)
    return Chart(
        label=words.metric_name(metric),
        unit=fleet.unit(gateway, device, metric),
        limit=limit,
        range_word=range_.told,
        picture=picture,
        damaged=charts.damaged(
            gateway.telemetry.day_files.missing.between(device.tenant_id, [device.device_id], *span)
        ),
        trouble=trouble,
    )


async def _drawn(gateway: Gateway, device: Device, metric: str, range_: Range, now: int) -> Drawn:
    """What a range has to be drawn. Raises `TooManyQuestionsError`, `TooMuchError`."""
    telemetry, start, end = gateway.telemetry, now - range_.length_ms, now + HOUR_MS
    own = (device.tenant_id, device.device_id)
    if not range_.is_rolled_up:
        [series] = await telemetry.series(*own, [metric], start, end, READINGS_LIMIT)
        if series.truncated:
            return await _rolled_up(gateway, device, metric, (start, end), HOUR_MS)
        return await telemetry.aside(charts.drawn_of_readings, series.at, series.values, range_.bin_ms)
    bins = await _rolled_up(gateway, device, metric, (start, end), range_.bin_ms)
    if not charts.may_be_read(bins.bins, range_):
        return bins
    [series] = await telemetry.series(
        *own, [metric], bins.bins[0].at if bins.bins else start, end + HOUR_MS, READINGS_LIMIT
    )
    return charts.preferred(charts.as_they_are(series.at, series.values), bins, start)


async def _rolled_up(gateway: Gateway, device: Device, metric: str, span: tuple[int, int], bin_ms: int) -> Drawn:
    """Bins of whole hours or days, the first and the last of which are whole, too."""
    bounds = range(span[0] // bin_ms * bin_ms, -(-span[1] // bin_ms) * bin_ms + 1, bin_ms)
    question = Question(
        tenant_id=device.tenant_id,
        keys={device.device_id: (device.device_id,)},
        columns=(Binned(metric, metric, Aggregate.AVG),),
        start=bounds[0],
        end=bounds[-1],
        width=Width(1, Unit.HOUR),
        zone=UTC,
        fill=Fill.NONE,
        order=Order.OLDEST,
        limit=len(bounds),
    )
    asking = gateway.telemetry.asking
    async with asking.turn():
        gathered = await asking.gathered(question, bounds)
    return Drawn(charts.told_by(bounds, gathered.whole(device.device_id, metric)), bin_ms)


def _address(question: _Question) -> str:
    told = {"metric": question.metric, "range": question.range}
    return f"/devices/{question.device_id}?{urlencode(told)}"


HANDLERS = (show_device,)
