"""A new job: what devices are given, whom it is for, and how it is carried out."""

from urllib.parse import quote

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import URLEncodedBody
from litestar.response import Template

from appliance.commands.jobs.plan.membership import is_meant
from appliance.commands.jobs.plan.model import Targets
from appliance.errors import ApplianceError
from appliance.gateway import Gateway
from appliance.registry.model import DeviceState
from web import job_form
from web.errors import status_of
from web.job_form import JobForm
from web.shell import Frame

SHOWN_LIMIT = 12
NAMES_LIMIT = 200


class StepForm(JobForm, frozen=True):
    """A job as it is typed in, and what is to be done with it."""

    step: str = ""
    """`check` shows whom it is for, and makes nothing."""


class Meant(msgspec.Struct, frozen=True):
    """Whom a job would be for now."""

    count: int
    connected_count: int
    names: tuple[str, ...]
    """Some of them."""


@get("/jobs/new", include_in_schema=False)
async def show_new_job(gateway: NamedDependency[Gateway], frame: NamedDependency[Frame]) -> Template:
    """The empty form."""
    return _page(gateway, frame, StepForm(), {}, None)


@post("/jobs", include_in_schema=False, status_code=303)
async def create_job(
    gateway: NamedDependency[Gateway], frame: NamedDependency[Frame], data: URLEncodedBody[StepForm]
) -> Response[None] | Template:
    """Make the job; or the form again, with whom it is for or with what is wrong beside its field."""
    told = job_form.told(data, frame.now)
    complaints, status = dict(told.complaints), 400
    meant = None
    try:
        if not any(name in complaints for name in ("devices", "groups", "types", "zones", "query")):
            meant = _meant(gateway, frame.user.tenant_id, told.job.targets)
        if data.step == "check" and not complaints:
            page = _page(gateway, frame, data, {}, meant)
            page.status_code = 200
            return page
        if not complaints:
            job = await gateway.job_plans.create(frame.user.tenant_id, told.job)
            return Response(None, headers={"location": f"/jobs/{quote(job.job_id)}"})
    except ApplianceError as error:
        complaints, status = {"form": str(error)}, status_of(error)
    page = _page(gateway, frame, data, complaints, meant)
    page.status_code = status
    return page


def _meant(gateway: Gateway, tenant_id: int, targets: Targets) -> Meant:
    found: set[str] = set()
    if targets.query:
        found = {device.device_id for device in gateway.catalogue.find(tenant_id, targets.query)}
    named = frozenset(targets.devices)
    devices = [
        device
        for device in gateway.registry.devices(tenant_id)
        if device.state is DeviceState.ACTIVE and is_meant(device, targets, named, found)
    ]
    connected = sum(gateway.registry.presence(tenant_id, device.device_id).connected for device in devices)
    names = tuple(device.name or device.device_id for device in devices[:SHOWN_LIMIT])
    return Meant(len(devices), connected, names)


def _page(gateway: Gateway, frame: Frame, form: StepForm, complaints: dict[str, str], meant: Meant | None) -> Template:
    tenant_id = frame.user.tenant_id
    devices = gateway.registry.devices(tenant_id)
    context = {
        "frame": frame,
        "now": frame.now,
        "form": form,
        "complaints": complaints,
        "meant": meant,
        "groups": sorted(gateway.catalogue.groups(tenant_id))[:NAMES_LIMIT],
        "types": sorted({device.type for device in devices} - {""})[:NAMES_LIMIT],
        "zones": sorted({device.zone for device in devices} - {""})[:NAMES_LIMIT],
        "selections": job_form.SELECTIONS,
        "paces": job_form.PACES,
        "growths": job_form.GROWTHS,
        "failures": job_form.FAILURES,
        "ends": job_form.ENDS,
        "open": _unfolded(form, complaints),
    }
    return Template("pages/job_new.html", context=context)


_SECTIONS = {
    "rollout": ("pace", "per_minute", "base_per_minute", "factor", "growth_on", "growth_count"),
    "abort": ("abort_percent_1", "abort_count_1", "abort_percent_2", "abort_count_2"),
    "retry": ("in_progress_minutes", "retries_failed", "retries_timed_out"),
    "schedule": (
        *("clocks", "start_at", "end_at", "end_behaviour"),
        *("window_start_1", "window_minutes_1", "window_start_2", "window_minutes_2"),
    ),
}


def _unfolded(form: StepForm, complaints: dict[str, str]) -> set[str]:
    """The sections in which something was typed in or is wrong."""
    empty = JobForm()
    return {
        section
        for section, names in _SECTIONS.items()
        if any(name in complaints or getattr(form, name) != getattr(empty, name) for name in names)
    }


HANDLERS = (show_new_job, create_job)
