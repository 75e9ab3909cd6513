"""Commands as jobs: devices that know nothing but AWS's jobs get them, and both ledgers tell the same."""

import asyncio
import signal
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from tests.flows.command_devices import Operator, until
from tests.flows.job_devices import JobDevice
from tests.flows.running import RunningGateway, running
from tests.flows.sdk_devices import SdkDevice, SdkDevice3, SdkDevice5, Unpacked
from tests.flows.test_jobs import KINDS, SdkJobs
from tests.flows.test_sdk import Factory

KILLED_AFTER_S = (0.05, 0.3, 0.15)


@pytest.fixture(scope="module")
def factory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Factory]:
    folder = tmp_path_factory.mktemp("as-jobs")
    with running(folder / "gateway") as gateway:
        yield Factory(gateway, folder)


@pytest.fixture(scope="module")
def operator(factory: Factory) -> Operator:
    return Operator(factory.gateway)


@asynccontextmanager
async def connected(bundle: Unpacked, kind: type[SdkDevice] = SdkDevice5) -> AsyncIterator[SdkJobs]:
    async with kind.connected(bundle, bundle.mqtt_port) as device:
        protocol = device._connection if isinstance(device, SdkDevice3) else device._client  # type: ignore[attr-defined]
        yield SdkJobs(bundle.device_id, protocol)


async def send(operator: Operator, device_id: str, name: str = "open", **told: Any) -> str:
    return str((await asyncio.to_thread(operator.send, device_id, name, **told))["execution_id"])


async def reached(operator: Operator, execution_id: str, state: str) -> dict[str, Any]:
    return await asyncio.to_thread(operator.wait, execution_id, state)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_device_that_hears_of_nothing_but_jobs_gets_its_command_as_one(
    factory: Factory, operator: Operator, kind: type[SdkDevice]
) -> None:
    device_id = f"door-{kind.__name__}"
    async with connected(factory.bundle(device_id), kind) as jobs:
        await jobs.listen()
        command = await send(operator, device_id, payload={"angle": 30}, finish_timeout_s=90)
        execution = await jobs.first()
        document = execution.job_document
        assert (execution.job_id, execution.status) == (command, "QUEUED")
        assert (document["operation"], document["parameters"]) == ("open", {"angle": 30})
        assert document["execution_id"] == command
        # It was told of it, and has acknowledged the notice: neither says that it will do anything.
        told = operator.command(command)
        assert (told["state"], told["dialect"], told["sent_at"]) == ("queued", "jobs", None)

        begun = await jobs.start_next()
        assert (begun.job_id, begun.version_number) == (command, 2)
        assert (await reached(operator, command, "in_progress"))["acknowledged_at"] is None
        # Asked twice, it is given the same once more, and not begun again.
        assert (await jobs.start_next()).version_number == 2
        await jobs.update(command, "SUCCEEDED", status_details={"angle": "30", "reason": "it is open"})
        told = await reached(operator, command, "succeeded")
        assert (told["ended_by"], told["reason"], told["result"]["angle"]) == ("device", "it is open", "30")
        assert await jobs.first() is None
    _, listed = operator.call("GET", "/v1/jobs")
    assert command not in [job["job_id"] for job in listed["jobs"]]


async def test_a_sleeping_device_finds_its_command_among_its_jobs(factory: Factory, operator: Operator) -> None:
    bundle = factory.bundle("sleeper")
    told = await send(operator, "sleeper", dialect="jobs")
    guessed = await send(operator, "sleeper", "close")
    assert [operator.command(one)["dialect"] for one in (told, guessed)] == ["jobs", ""]
    async with connected(bundle) as jobs:
        assert (await jobs.start_next()).job_id == told
        # By asking it has subscribed to answers: that it speaks of jobs is known now.
        await jobs.update(told, "SUCCEEDED")
        await asyncio.to_thread(until, lambda: operator.command(guessed)["dialect"] == "jobs")
        assert (await jobs.start_next()).job_id == guessed
        await jobs.update(guessed, "REJECTED", status_details={"reason_code": "LOCKED"})
    assert operator.command(told)["state"] == "succeeded"
    told_of = operator.command(guessed)
    assert (told_of["state"], told_of["reason_code"]) == ("rejected", "LOCKED")


async def test_what_has_expired_can_be_begun_by_nobody(factory: Factory, operator: Operator) -> None:
    bundle = factory.bundle("late")
    command = await send(operator, "late", dialect="jobs", expires_in_s=1)
    assert (await reached(operator, command, "timed_out"))["reason_code"] == "EXPIRED"
    async with connected(bundle) as jobs:
        assert not (await jobs.pending()).queued_jobs
        assert await jobs.start_next() is None
        error = await jobs.refused(jobs.update(command, "IN_PROGRESS"))
        assert (error.code, error.execution_state.status) == ("InvalidStateTransition", "CANCELED")
    assert operator.command(command)["state"] == "timed_out"


async def test_a_command_is_called_back_until_it_is_begun(factory: Factory, operator: Operator) -> None:
    async with connected(factory.bundle("hasty")) as jobs:
        await jobs.listen()
        regretted = await send(operator, "hasty")
        assert (await jobs.first()).job_id == regretted
        assert operator.call("POST", f"/v1/commands/{regretted}/cancel")[1]["state"] == "cancelled"
        assert await jobs.first() is None
        assert await jobs.start_next() is None
        begun = await send(operator, "hasty")
        assert (await jobs.first()).job_id == begun
        await jobs.start_next()
        assert operator.call("POST", f"/v1/commands/{begun}/cancel")[0] == 409
        # By hand its job can be ended all the same: the command ends with it.
        path = f"/v1/jobs/{begun}/executions/hasty/cancel"
        assert operator.call("POST", path, {"force": True, "comment": "the door is stuck"})[0] == 200
        told = operator.command(begun)
        assert (told["state"], told["reason_code"]) == ("cancelled", "JOB_CANCELLED")
        assert (told["ended_by"], told["reason"]) == ("operator", "the door is stuck")


async def test_what_failed_is_tried_again_as_another_job(factory: Factory, operator: Operator) -> None:
    async with connected(factory.bundle("stubborn")) as jobs:
        await jobs.listen()
        command = await send(operator, "stubborn", retries=1)
        assert (await jobs.first()).job_id == command
        await jobs.start_next()
        await jobs.update(command, "FAILED", status_details={"reason": "stuck"})
        assert await jobs.first() is None
        second = await jobs.first()
        assert (second.job_id, second.job_document["execution_id"]) == (f"{command}-2", f"{command}-2")
        assert (await jobs.refused(jobs.update(command, "SUCCEEDED"))).code == "InvalidStateTransition"
        await jobs.start_next()
        await jobs.update(second.job_id, "SUCCEEDED")
        told = await reached(operator, command, "succeeded")
        assert told["attempt"] == 2


async def test_a_device_that_comes_to_no_end_has_its_job_taken_away(factory: Factory, operator: Operator) -> None:
    async with connected(factory.bundle("slow")) as jobs:
        await jobs.listen()
        command = await send(operator, "slow", finish_timeout_s=1)
        assert (await jobs.first()).job_id == command
        assert (await jobs.start_next()).status == "IN_PROGRESS"
        assert (await reached(operator, command, "timed_out"))["reason_code"] == "NOT_FINISHED"
        error = await jobs.refused(jobs.update(command, "SUCCEEDED"))
        assert (error.code, error.execution_state.status) == ("InvalidStateTransition", "CANCELED")


def disagreeing(gateway: RunningGateway) -> list[Any]:
    """Commands and executions that do not tell the same, as the disk has them."""
    sql = """
        SELECT command.execution_id, command.state, command.offered_at, job_execution.state FROM command
        LEFT JOIN job ON job.job_id = command.execution_id
        LEFT JOIN job_execution ON job_execution.job_number = job.job_number
        WHERE command.state <> COALESCE(job_execution.state, 'none')
    """
    with closing(sqlite3.connect(gateway.data / "gateway.db")) as connection:
        return connection.execute(sql).fetchall()


@pytest.mark.timeout(120)
def test_whenever_it_is_killed_both_ledgers_tell_the_same(tmp_path: Path) -> None:
    gateway = RunningGateway(tmp_path)
    gateway.wait_ready()
    device = JobDevice("pump", gateway.add_device("pump"))
    made: list[str] = []
    for killed_after_s in KILLED_AFTER_S:
        operator = Operator(gateway)
        device.connect(gateway)
        device.ask()
        made += [operator.send("pump", dialect="jobs")["execution_id"] for _ in range(5)]
        until(lambda: bool(device.reported))
        with pytest.raises(AssertionError):
            until(lambda: False, killed_after_s)
        gateway.end(signal.SIGKILL)
        device.leave()
        assert disagreeing(gateway) == []
        gateway = RunningGateway(tmp_path)
        gateway.wait_ready()
    operator = Operator(gateway)
    device.connect(gateway)
    device.ask()
    for execution_id in made:
        operator.wait(execution_id, "succeeded")
    device.leave()
    gateway.end()
    assert disagreeing(gateway) == []
    # What the gateway has answered for was begun, and is told once.
    assert set(device.reported) <= set(made)
