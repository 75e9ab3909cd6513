"""`/v1/jobs` and `/v1/devices/{device_id}/jobs`: work for many devices, and how far each of them has come."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from litestar import Request, delete, get, post
from litestar.datastructures import State as AppState
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from appliance.accounts.model import User
from appliance.commands.jobs.model import Execution, ExecutionState, JobState
from appliance.commands.jobs.plan.model import (
    AbortRule,
    EndBehaviour,
    Growth,
    InvalidJobError,
    Job,
    JobConfig,
    NewJob,
    RetryRule,
    Schedule,
    Targets,
    Window,
)
from appliance.gateway import Gateway
from appliance.instant import from_text, to_text
from web.auth import Caller
from web.parameters import FURTHEST

HIGHEST_LIMIT = 1_000
JOBS_LIMIT = 100
"""Of each job it is counted how far it has come."""

AnyRequest = Request[User, Caller, AppState]
States = Annotated[list[ExecutionState] | None, QueryParameter(name="state")]
Before = Annotated[int, QueryParameter(ge=1, le=FURTHEST)]
Limit = Annotated[int, QueryParameter(ge=1, le=HIGHEST_LIMIT)]
TryNumber = Annotated[int | None, QueryParameter(ge=1, le=1_000)]


class ScheduleIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When a job begins and ends (ISO 8601), and the windows in which it offers its work, by the clocks of `zone`."""

    start_at: str | None = None
    end_at: str | None = None
    end_behaviour: EndBehaviour = EndBehaviour.STOP_ROLLOUT
    windows: tuple[Window, ...] = ()
    zone: str = "UTC"


class JobIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A job. Each device is handed `document`, at most 32,768 bytes of JSON."""

    job_id: str
    document: dict[str, Any]
    targets: Targets
    description: str = ""
    is_continuous: bool = False
    per_minute: int = 1_000
    growth: Growth | None = None
    abort: tuple[AbortRule, ...] = ()
    in_progress_minutes: int | None = None
    retries: tuple[RetryRule, ...] = ()
    schedule: ScheduleIn = ScheduleIn()


class CancelIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why something is called back. With `force`, also where a device is at it."""

    comment: str = ""
    force: bool = False


class ScheduleOut(msgspec.Struct, frozen=True):
    """When a job begins and ends, and its windows."""

    start_at: str | None
    end_at: str | None
    end_behaviour: str
    windows: tuple[Window, ...]
    zone: str


class JobOut(msgspec.Struct, frozen=True):
    """A job. Moments are ISO 8601, UTC; `progress` counts devices by what became of their latest try."""

    job_number: int
    job_id: str
    state: str
    description: str
    document: Any
    targets: Targets
    is_continuous: bool
    per_minute: int
    growth: Growth | None
    abort: tuple[AbortRule, ...]
    in_progress_minutes: int | None
    retries: tuple[RetryRule, ...]
    schedule: ScheduleOut
    author: str
    reason: str
    comment: str
    created_at: str
    updated_at: str
    ended_at: str | None
    progress: Mapping[str, int]


class JobsOut(msgspec.Struct, frozen=True):
    """Jobs, newest first. `next_before` asks for the page after this one; it is null on the last."""

    jobs: list[JobOut]
    next_before: int | None


class ExecutionOut(msgspec.Struct, frozen=True):
    """A try of a job on a device. `details` is what the device says of it, `left_s` when it runs out of time."""

    execution_number: int
    job_id: str
    device_id: str
    try_number: int
    state: str
    details: Mapping[str, str]
    version: int
    reason: str
    queued_at: str
    started_at: str | None
    updated_at: str
    ended_at: str | None
    left_s: int | None
    is_retried: bool


class ExecutionsOut(msgspec.Struct, frozen=True):
    """Executions, newest first. `next_before` asks for the page after this one; it is null on the last."""

    executions: list[ExecutionOut]
    next_before: int | None


@post("/v1/jobs", tags=["jobs"], summary="Make a job")
async def create(data: JSONBody[JobIn], request: AnyRequest, gateway: NamedDependency[Gateway]) -> JobOut:
    """Have work offered to devices. The same job made twice is made once; another one of its id is refused with 409."""
    job = await gateway.job_plans.create(request.user.tenant_id, _new(data))
    return await _out(gateway, job)


@get("/v1/jobs", tags=["jobs"], summary="All jobs")
async def list_jobs(
    request: AnyRequest,
    gateway: NamedDependency[Gateway],
    wanted: Annotated[JobState | None, QueryParameter(name="state")] = None,
    before: Before = FURTHEST,
    limit: Annotated[int, QueryParameter(ge=1, le=JOBS_LIMIT)] = 50,
) -> JobsOut:
    """A page of jobs whose `job_number` is below `before`, in this state only where one is told."""
    found = await gateway.job_plans.jobs(request.user.tenant_id, state=wanted, before=before, limit=limit)
    shown = [await _out(gateway, job) for job in found]
    return JobsOut(shown, found[-1].job_number if len(found) == limit else None)


@get("/v1/jobs/{job_id:str}", tags=["jobs"], summary="One job")
async def get_job(job_id: FromPath[str], request: AnyRequest, gateway: NamedDependency[Gateway]) -> JobOut:
    """What a job is, and how far it has come."""
    return await _out(gateway, await gateway.job_plans.job(request.user.tenant_id, job_id))


@post("/v1/jobs/{job_id:str}/cancel", tags=["jobs"], summary="Cancel a job", status_code=200)
async def cancel(
    job_id: FromPath[str], data: JSONBody[CancelIn], request: AnyRequest, gateway: NamedDependency[Gateway]
) -> JobOut:
    """Call back what is queued; with `force` also what is in progress."""
    job = await gateway.job_plans.cancel(request.user.tenant_id, job_id, data.comment, force=data.force)
    return await _out(gateway, job)


@delete("/v1/jobs/{job_id:str}", tags=["jobs"], summary="Delete a job", status_code=202)
async def remove(
    job_id: FromPath[str],
    request: AnyRequest,
    gateway: NamedDependency[Gateway],
    force: FromQuery[bool] = False,  # noqa: FBT002  a parameter of an address
) -> JobOut:
    """Forget a job and its executions, piece by piece; with `force` also one that has not ended."""
    return await _out(gateway, await gateway.job_plans.delete(request.user.tenant_id, job_id, force=force))


@get("/v1/jobs/{job_id:str}/executions", tags=["jobs"], summary="The executions of a job")
async def list_executions(
    job_id: FromPath[str],
    request: AnyRequest,
    gateway: NamedDependency[Gateway],
    states: States = None,
    before: Before = FURTHEST,
    limit: Limit = 100,
) -> ExecutionsOut:
    """A page of executions whose `execution_number` is below `before`, in these states only where some are told."""
    tenant_id = request.user.tenant_id
    await gateway.job_plans.job(tenant_id, job_id)
    found = await gateway.jobs.executions_of_job(tenant_id, job_id, states=states or (), before=before, limit=limit)
    return _page(gateway, found, limit)


@get("/v1/jobs/{job_id:str}/executions/{device_id:str}", tags=["jobs"], summary="A job on one device")
async def get_execution(
    job_id: FromPath[str],
    device_id: FromPath[str],
    request: AnyRequest,
    gateway: NamedDependency[Gateway],
    try_number: TryNumber = None,
) -> ExecutionOut:
    """One try, the latest where none is named."""
    return _told(gateway, await gateway.jobs.execution(request.user.tenant_id, job_id, device_id, try_number))


@post(
    "/v1/jobs/{job_id:str}/executions/{device_id:str}/cancel",
    tags=["jobs"],
    summary="Call a job back from one device",
    status_code=200,
)
async def cancel_execution(
    job_id: FromPath[str],
    device_id: FromPath[str],
    data: JSONBody[CancelIn],
    request: AnyRequest,
    gateway: NamedDependency[Gateway],
) -> ExecutionOut:
    """Cancel what is queued; with `force` also what is in progress."""
    tenant_id = request.user.tenant_id
    found = await gateway.jobs.cancel_execution(tenant_id, job_id, device_id, reason=data.comment, force=data.force)
    return _told(gateway, found)


@delete("/v1/jobs/{job_id:str}/executions/{device_id:str}", tags=["jobs"], summary="Forget one try of a job")
async def remove_execution(
    job_id: FromPath[str],
    device_id: FromPath[str],
    request: AnyRequest,
    gateway: NamedDependency[Gateway],
    try_number: TryNumber = None,
    force: FromQuery[bool] = False,  # noqa: FBT002  a parameter of an address
) -> None:
    """Forget one try, the latest where none is named; with `force` also one in progress."""
    tenant_id = request.user.tenant_id
    found = await gateway.jobs.execution(tenant_id, job_id, device_id, try_number)
    await gateway.jobs.delete_execution(tenant_id, job_id, device_id, found.try_number, force=force)


@get("/v1/devices/{device_id:str}/jobs", tags=["jobs"], summary="The jobs of a device")
async def list_of_device(
    device_id: FromPath[str],
    request: AnyRequest,
    gateway: NamedDependency[Gateway],
    states: States = None,
    before: Before = FURTHEST,
    limit: Limit = 100,
) -> ExecutionsOut:
    """A page of executions whose `execution_number` is below `before`, in these states only where some are told."""
    tenant_id = request.user.tenant_id
    gateway.registry.device(tenant_id, device_id)
    found = await gateway.jobs.executions_of_device(
        tenant_id, device_id, states=states or (), before=before, limit=limit
    )
    return _page(gateway, found, limit)


def _new(told: JobIn) -> NewJob:
    schedule = told.schedule
    config = JobConfig(
        per_minute=told.per_minute,
        growth=told.growth,
        abort=told.abort,
        in_progress_minutes=told.in_progress_minutes,
        retries=told.retries,
        schedule=Schedule(
            _moment("start_at", schedule.start_at),
            _moment("end_at", schedule.end_at),
            schedule.end_behaviour,
            schedule.windows,
            schedule.zone,
        ),
    )
    document = msgspec.json.encode(told.document).decode()
    return NewJob(told.job_id, document, told.targets, told.description, told.is_continuous, config)


def _moment(name: str, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return from_text(text)
    except ValueError as error:
        raise InvalidJobError(f"{name} is {text[:40]!r}, expected a moment in ISO 8601") from error


async def _out(gateway: Gateway, job: Job) -> JobOut:
    config, schedule = job.config, job.config.schedule
    return JobOut(
        job_number=job.job_number,
        job_id=job.job_id,
        state=job.state.value,
        description=job.description,
        document=msgspec.Raw(job.document.encode()),
        targets=job.targets,
        is_continuous=job.is_continuous,
        per_minute=config.per_minute,
        growth=config.growth,
        abort=config.abort,
        in_progress_minutes=config.in_progress_minutes,
        retries=config.retries,
        schedule=ScheduleOut(
            _text(schedule.start_at),
            _text(schedule.end_at),
            schedule.end_behaviour.value,
            schedule.windows,
            schedule.zone,
        ),
        author=job.author,
        reason=job.reason,
        comment=job.comment,
        created_at=to_text(job.created_at),
        updated_at=to_text(job.updated_at),
        ended_at=_text(job.ended_at),
        progress=msgspec.structs.asdict(await gateway.job_plans.progress(job)),
    )


def _page(gateway: Gateway, found: list[Execution], limit: int) -> ExecutionsOut:
    shown = [_told(gateway, one) for one in found]
    return ExecutionsOut(shown, found[-1].execution_id if len(found) == limit else None)


def _told(gateway: Gateway, execution: Execution) -> ExecutionOut:
    left_ms = gateway.jobs.left_ms(execution)
    return ExecutionOut(
        execution_number=execution.execution_id,
        job_id=execution.job_id,
        device_id=execution.device_id,
        try_number=execution.try_number,
        state=execution.state.value,
        details=execution.details,
        version=execution.version,
        reason=execution.reason,
        queued_at=to_text(execution.queued_at),
        started_at=_text(execution.started_at),
        updated_at=to_text(execution.updated_at),
        ended_at=_text(execution.ended_at),
        left_s=None if left_ms is None else left_ms // 1_000,
        is_retried=execution.is_retried,
    )


def _text(at: int | None) -> str | None:
    return None if at is None else to_text(at)


HANDLERS = (
    create,
    list_jobs,
    get_job,
    cancel,
    remove,
    list_executions,
    get_execution,
    cancel_execution,
    remove_execution,
    list_of_device,
)
