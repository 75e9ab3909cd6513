"""Jobs: work for many devices, how far it has come, and device by device what became of it."""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated
from urllib.parse import urlencode

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, QueryParameter, URLEncodedBody
from litestar.response import Template

from appliance.accounts.model import Role
from appliance.commands.jobs.model import Execution, ExecutionState, JobState
from appliance.commands.jobs.plan.model import Job, Progress
from appliance.errors import ApplianceError, InvalidInputError
from appliance.gateway import Gateway
from web import executions, job_words, orders, roles
from web.errors import status_of
from web.executions import ExecutionEntry
from web.ledger import shown
from web.orders import Tab
from web.painting import Painting, Part, Stage
from web.parameters import FURTHEST
from web.progress import Bar
from web.shell import Frame

JOBS_LIMIT = 20
EXECUTIONS_LIMIT = 50
_TABS: Mapping[str, str] = {
    "": "All",
    JobState.SCHEDULED: "Scheduled",
    JobState.IN_PROGRESS: "In progress",
    JobState.COMPLETED: "Completed",
    JobState.CANCELLED: "Cancelled",
}
_NUMBER = re.compile(r"[0-9]{1,18}")


class JobLine(msgspec.Struct, frozen=True):
    """One job of the list."""

    job_id: str
    description: str
    word: str
    pill: str
    created_at: int
    author: str
    is_continuous: bool
    bar: Bar


class JobList(msgspec.Struct, frozen=True):
    """Some jobs, newest first."""

    lines: tuple[JobLine, ...]
    tabs: tuple[Tab, ...]
    newest: str
    older: str
    is_narrowed: bool


class JobSight(msgspec.Struct, frozen=True):
    """What of the page of one job is live."""

    line: JobLine
    state: str
    reason: str
    stuck: str
    """Why it cannot go on; empty while it can."""
    comment: str
    ended_at: int | None
    is_live: bool
    """Whether some device may still have to do with it."""
    may_cancel: bool


class ExecutionList(msgspec.Struct, frozen=True):
    """Some executions of a job, newest first."""

    entries: tuple[ExecutionEntry, ...]
    tabs: tuple[Tab, ...]
    newest: str
    older: str
    is_narrowed: bool
    all_address: str


class CancelForm(msgspec.Struct, frozen=True):
    """Why a job is called back."""

    comment: str = ""
    force: str = ""
    """`yes` calls it back where it is in progress, too."""


class DeleteForm(msgspec.Struct, frozen=True):
    """That somebody is sure."""

    name: str = ""
    """The id of the job, typed in, where it is not over."""


@get("/jobs", include_in_schema=False)
async def show_jobs(
    gateway: NamedDependency[Gateway],
    frame: NamedDependency[Frame],
    tab: Annotated[str, QueryParameter(name="state")] = "",
    before: FromQuery[str] = "",
) -> Template:
    """The list."""
    asked = {key: text for key, text in {"state": tab, "before": before}.items() if text}
    context = {
        "frame": frame,
        "now": frame.now,
        "view": await _list(Stage(gateway, frame.user.tenant_id, asked, frame.now)),
        "may_act": roles.is_enough(frame.user.role, Role.OPERATOR),
        "live_address": "/live?" + urlencode({"view": "jobs", **asked}),
    }
    return Template("pages/jobs.html", context=context)


@get("/jobs/{job_id:str}", include_in_schema=False)
async def show_job(
    job_id: FromPath[str],
    gateway: NamedDependency[Gateway],
    frame: NamedDependency[Frame],
    tab: Annotated[str, QueryParameter(name="state")] = "",
    device: FromQuery[str] = "",
    before: FromQuery[str] = "",
) -> Template:
    """One job."""
    return await _page(gateway, frame, job_id, {"state": tab, "device": device, "before": before})


@post("/jobs/{job_id:str}/cancel", include_in_schema=False, status_code=303)
async def cancel_job(
    job_id: FromPath[str],
    gateway: NamedDependency[Gateway],
    frame: NamedDependency[Frame],
    data: URLEncodedBody[CancelForm],
) -> Response[None] | Template:
    """Call a job back; or its page, with why that cannot be."""
    try:
        await gateway.job_plans.cancel(frame.user.tenant_id, job_id, data.comment.strip(), force=data.force == "yes")
    except ApplianceError as error:
        return await _refused(gateway, frame, job_id, error)
    return Response(None, headers={"location": f"/jobs/{job_id}"})


@post("/jobs/{job_id:str}/delete", include_in_schema=False, status_code=303)
async def delete_job(
    job_id: FromPath[str],
    gateway: NamedDependency[Gateway],
    frame: NamedDependency[Frame],
    data: URLEncodedBody[DeleteForm],
) -> Response[None] | Template:
    """Forget a job with everything that became of it; where it is not over, its id must have been typed in."""
    try:
        job = await gateway.job_plans.job(frame.user.tenant_id, job_id)
        is_live = _is_live(job, (await gateway.job_plans.progress(job)).open)
        if is_live and data.name.strip() != job.job_id:
            raise InvalidInputError(f"devices have still to do with this job: to delete it, type its id, {job.job_id}")
        await gateway.job_plans.delete(frame.user.tenant_id, job_id, force=is_live)
    except ApplianceError as error:
        return await _refused(gateway, frame, job_id, error)
    return Response(None, headers={"location": "/jobs"})


@post("/jobs/{job_id:str}/executions/{device_id:str}/cancel", include_in_schema=False, status_code=303)
async def cancel_execution(
    job_id: FromPath[str],
    device_id: FromPath[str],
    gateway: NamedDependency[Gateway],
    frame: NamedDependency[Frame],
    data: URLEncodedBody[CancelForm],
) -> Response[None] | Template:
    """Call a job back from one device."""
    reason = f"cancelled by {frame.user.email}"
    try:
        await gateway.jobs.cancel_execution(
            frame.user.tenant_id, job_id, device_id, reason=reason, force=data.force == "yes"
        )
    except ApplianceError as error:
        return await _refused(gateway, frame, job_id, error)
    return Response(None, headers={"location": f"/jobs/{job_id}"})


async def paint(stage: Stage) -> Painting:
    """The live list."""
    view = await _list(stage)
    parts = {f"job-{line.job_id}": Part("fragments/job_line.html", line) for line in view.lines}
    shape = msgspec.structs.replace(view, lines=())
    return Painting((Part("fragments/job_list.html", view),), parts, shape)


async def paint_job(stage: Stage) -> Painting:
    """The live pieces of the page of one job."""
    job = await _job(stage)
    sight, found = await _sight(stage.gateway, job), await _executions(stage, job)
    head = Part("fragments/job_head.html", sight)
    listed = Part("fragments/execution_list.html", found)
    parts = {f"execution-{one.execution_id}": Part("fragments/execution_entry.html", one) for one in found.entries}
    return Painting((head, listed), {"job-head": head, **parts}, msgspec.structs.replace(found, entries=()))


async def _refused(gateway: Gateway, frame: Frame, job_id: str, error: ApplianceError) -> Template:
    page = await _page(gateway, frame, job_id, {}, complaint=str(error))
    page.status_code = status_of(error)
    return page


async def _page(
    gateway: Gateway, frame: Frame, job_id: str, parameters: Mapping[str, str], *, complaint: str = ""
) -> Template:
    may_act = roles.is_enough(frame.user.role, Role.OPERATOR)
    asked = {"job_id": job_id, **parameters, "acts": "yes" if may_act else ""}
    stage = Stage(gateway, frame.user.tenant_id, {key: text for key, text in asked.items() if text}, frame.now)
    job = await _job(stage)
    context = {
        "frame": frame,
        "now": frame.now,
        "job": job,
        "sight": await _sight(gateway, job),
        "view": await _executions(stage, job),
        "terms": list(job_words.told(job.config, is_continuous=job.is_continuous)),
        "targets": executions.targets_told(job.targets),
        "document": shown(job.document.encode(), "application/json"),
        "device": stage.parameters.get("device", ""),
        "may_act": may_act,
        "complaint": complaint,
        "live_address": "/live?" + urlencode({"view": "job", **stage.parameters}),
    }
    return Template("pages/job.html", context=context)


async def _job(stage: Stage) -> Job:
    return await stage.gateway.job_plans.job(stage.tenant_id, stage.parameters.get("job_id", ""))


async def _list(stage: Stage) -> JobList:
    wanted = stage.parameters.get("state", "")
    state = JobState(wanted) if wanted in list(JobState) else None
    before = _number(stage.parameters.get("before", ""))
    found = await stage.gateway.job_plans.jobs(stage.tenant_id, state=state, before=before, limit=JOBS_LIMIT + 1)
    jobs = found[:JOBS_LIMIT]
    kept = {"state": state.value if state else ""}
    return JobList(
        lines=tuple([_line(job, await stage.gateway.job_plans.progress(job)) for job in jobs]),
        tabs=tuple(
            Tab(label, orders.address("/jobs", {"state": key}), key == kept["state"]) for key, label in _TABS.items()
        ),
        newest=orders.address("/jobs", kept) if before != FURTHEST else "",
        older=orders.address("/jobs", {**kept, "before": str(jobs[-1].job_number)}) if len(found) > len(jobs) else "",
        is_narrowed=state is not None or before != FURTHEST,
    )


def _line(job: Job, progress: Progress) -> JobLine:
    return JobLine(
        job_id=job.job_id,
        description=job.description,
        word=executions.JOB_WORDS[job.state],
        pill=executions.JOB_PILLS[job.state],
        created_at=job.created_at,
        author=job.author,
        is_continuous=job.is_continuous,
        bar=executions.progress_bar(progress),
    )


async def _sight(gateway: Gateway, job: Job) -> JobSight:
    progress = await gateway.job_plans.progress(job)
    open_count = progress.open
    return JobSight(
        line=_line(job, progress),
        state=job.state.value,
        reason=job.reason,
        stuck=gateway.job_plans.stuck(job),
        comment=job.comment,
        ended_at=job.ended_at,
        is_live=_is_live(job, open_count),
        may_cancel=job.state in (JobState.SCHEDULED, JobState.IN_PROGRESS)
        or (job.state is JobState.CANCELLED and open_count > 0),
    )


def _is_live(job: Job, open_count: int) -> bool:
    return job.state in (JobState.SCHEDULED, JobState.IN_PROGRESS) or open_count > 0


async def _executions(stage: Stage, job: Job) -> ExecutionList:
    parameters = stage.parameters
    wanted, device = parameters.get("state", ""), parameters.get("device", "").strip()
    states = (ExecutionState(wanted),) if wanted in list(ExecutionState) else ()
    before = _number(parameters.get("before", ""))
    found = await _found(stage, job, device, states, before)
    some = found[:EXECUTIONS_LIMIT]
    base = f"/jobs/{job.job_id}"
    kept = {"state": states[0].value if states else "", "device": device}
    tabs = {"": "All", **{state.value: executions.STATE_WORDS[state].capitalize() for state in ExecutionState}}
    older = orders.address(base, {**kept, "before": str(some[-1].execution_id)}) if len(found) > len(some) else ""
    return ExecutionList(
        entries=tuple(_entry(stage, execution) for execution in some),
        tabs=tuple(
            Tab(label, orders.address(base, {"state": key}), key == kept["state"]) for key, label in tabs.items()
        ),
        newest=orders.address(base, kept) if before != FURTHEST else "",
        older=older,
        is_narrowed=bool(states or device) or before != FURTHEST,
        all_address=base,
    )


async def _found(stage: Stage, job: Job, device: str, states: Sequence[ExecutionState], before: int) -> list[Execution]:
    jobs, tenant_id, limit = stage.gateway.jobs, stage.tenant_id, EXECUTIONS_LIMIT + 1
    if device:
        return await jobs.tries(tenant_id, job.job_id, device, before=before, limit=limit)
    return await jobs.executions_of_job(tenant_id, job.job_id, states=states, before=before, limit=limit)


def _entry(stage: Stage, execution: Execution) -> ExecutionEntry:
    registry = stage.gateway.registry
    title = execution.device_id
    if registry.has_device(stage.tenant_id, execution.device_id):
        title = registry.device(stage.tenant_id, execution.device_id).name or title
    presence = registry.presence(stage.tenant_id, execution.device_id)
    made = executions.entry(execution, title, presence, stage.gateway.jobs.left_ms(execution))
    return made if stage.parameters.get("acts") else msgspec.structs.replace(made, may_cancel=False)


def _number(text: str) -> int:
    return int(text) if _NUMBER.fullmatch(text) else FURTHEST


HANDLERS = (show_jobs, show_job, cancel_job, delete_job, cancel_execution)
