"""The first page: how the gateway is, what is wrong, and what to do next on an empty one."""

import asyncio
import shutil
from pathlib import Path

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.response import Template

from appliance.alerts.model import Alert
from appliance.gateway import Gateway
from appliance.ingestion.model import Problem
from appliance.vitals.conditions import DEVICE_ID, DEVICE_NAME
from web import fleet, shell
from web.painting import Painting, Part, Stage
from web.shell import Frame, Pulse

ALERTS_SHOWN = 6
DEVICES_SHOWN = 6
PROBLEMS_SHOWN = 5


class Disk(msgspec.Struct, frozen=True):
    """Where data lies, and how much room there is."""

    folder: str
    used_percent: int
    free_gigabytes: float


class Trouble(msgspec.Struct, frozen=True):
    """A part of the gateway that says it is not well."""

    name: str
    summary: str


class Recent(msgspec.Struct, frozen=True):
    """An alert with the name of its device."""

    alert: Alert
    title: str


class Overview(msgspec.Struct, frozen=True):
    """What the page shows."""

    pulse: Pulse
    device_count: int
    heard_count: int
    """How many devices have ever sent something."""
    silent_count: int
    """How many should have said something by now."""
    troubles: tuple[Trouble, ...]
    alerts: tuple[Recent, ...]
    needy: tuple[fleet.Row, ...]
    problems: tuple[Problem, ...]
    disk: Disk


@get("/", include_in_schema=False)
async def show_overview(gateway: NamedDependency[Gateway], frame: NamedDependency[Frame]) -> Template:
    """The page."""
    view = await _look(Stage(gateway, frame.user.tenant_id, {}, frame.now))
    return Template("pages/overview.html", context={"frame": frame, "view": view, "now": frame.now})


async def paint(stage: Stage) -> Painting:
    """The live pieces of the page."""
    part = Part("fragments/overview.html", await _look(stage))
    return Painting((part,), {"overview": part})


async def _look(stage: Stage) -> Overview:
    gateway, tenant_id = stage.gateway, stage.tenant_id
    standings = await fleet.survey(gateway, tenant_id)
    titles = {DEVICE_ID: DEVICE_NAME, **{standing.device.device_id: standing.title for standing in standings}}
    alerts = await gateway.alerts.alerts(tenant_id, limit=ALERTS_SHOWN)
    rules = gateway.alerts.rules(tenant_id)
    metric = fleet.chosen_metric(fleet.numeric_metrics(standings), rules, "")
    shown = fleet.columns(standings, metric)
    needy = fleet.neediest(standings)[:DEVICES_SHOWN]
    return Overview(
        pulse=shell.pulse(gateway, tenant_id),
        device_count=len(standings),
        heard_count=sum(standing.seen_at is not None for standing in standings),
        silent_count=sum(
            gateway.presence.is_silent(tenant_id, standing.device.device_id, standing.seen_at, stage.now)
            for standing in standings
        ),
        troubles=tuple(
            Trouble(name, status.summary) for name, status in gateway.health.statuses().items() if not status.ok
        ),
        alerts=tuple(Recent(alert, titles.get(alert.device_id, alert.device_id)) for alert in alerts),
        needy=tuple(fleet.row(gateway, standing, shown, rules, stage.now) for standing in needy),
        problems=tuple(await gateway.ingestion.recent_problems(tenant_id, PROBLEMS_SHOWN)),
        disk=await asyncio.to_thread(_disk, gateway.data_folder),
    )


def _disk(folder: Path) -> Disk:
    usage = shutil.disk_usage(folder)
    return Disk(str(folder), round(100 * usage.used / usage.total), round(usage.free / 1e9, 1))


HANDLERS = (show_overview,)
