"""Jobs: an operator's wish reaches a device that speaks as AWS's SDK does, and the ledger tells how far it came."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from awscrt import mqtt
from awscrt.mqtt_request_response import ClientOptions
from awsiot import ServiceStreamOptions, V2ServiceException, iotjobs

from tests.flows.running import RunningGateway, running
from tests.flows.sdk_devices import PATIENCE_S, SdkDevice, SdkDevice3, SdkDevice5, Unpacked, result
from tests.flows.test_sdk import Factory

KINDS = [SdkDevice3, SdkDevice5]


class Operator:
    """Whoever makes jobs and looks after them."""

    def __init__(self, gateway: RunningGateway, token: str) -> None:
        self.gateway = gateway
        self._token = token

    def make(self, job_id: str, *device_ids: str, **further: Any) -> None:
        wish = {"job_id": job_id, "document": {"operation": job_id}, "targets": {"devices": device_ids}, **further}
        status, said = self.gateway.call("POST", "/v1/jobs", self._token, json.dumps(wish).encode())
        assert status == 201, said

    def call(self, method: str, path: str, **said: Any) -> Any:
        status, answer = self.gateway.call(method, path, self._token, json.dumps(said).encode() if said else None)
        assert status < 300, answer
        return answer

    def states(self, job_id: str) -> dict[str, str]:
        executions = self.call("GET", f"/v1/jobs/{job_id}/executions")["executions"]
        return {one["device_id"]: one["state"] for one in executions}

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not await asyncio.to_thread(is_so):  # noqa: ASYNC110  another process does it
                await asyncio.sleep(0.02)


class SdkJobs:
    """The SDK's own client for jobs."""

    def __init__(self, device_id: str, protocol: Any) -> None:
        self._client = iotjobs.IotJobsClientV2(protocol, ClientOptions(4, 4, int(PATIENCE_S)))
        self._loop = asyncio.get_running_loop()
        self.device_id = device_id
        self.next: asyncio.Queue[Any] = asyncio.Queue()
        self.listed: asyncio.Queue[Any] = asyncio.Queue()
        self._streams: list[Any] = []

    async def listen(self) -> None:
        """Hear of other first executions and of other lists."""
        wish: Any
        for make, wish, heard in (
            (
                self._client.create_next_job_execution_changed_stream,
                iotjobs.NextJobExecutionChangedSubscriptionRequest(thing_name=self.device_id),
                self.next,
            ),
            (
                self._client.create_job_executions_changed_stream,
                iotjobs.JobExecutionsChangedSubscriptionRequest(thing_name=self.device_id),
                self.listed,
            ),
        ):
            is_listening = asyncio.Event()
            options: Any = ServiceStreamOptions(
                incoming_event_listener=self._into(heard),
                subscription_status_listener=lambda _, it=is_listening: self._loop.call_soon_threadsafe(it.set),
            )
            stream = make(wish, options)
            stream.open()
            self._streams.append(stream)
            async with asyncio.timeout(PATIENCE_S):
                await is_listening.wait()

    async def pending(self) -> Any:
        wish = iotjobs.GetPendingJobExecutionsRequest(thing_name=self.device_id)
        return await result(self._client.get_pending_job_executions(wish))

    async def start_next(self, **further: Any) -> Any:
        wish = iotjobs.StartNextPendingJobExecutionRequest(thing_name=self.device_id, **further)
        return (await result(self._client.start_next_pending_job_execution(wish))).execution

    async def describe(self, job_id: str, **further: Any) -> Any:
        wish = iotjobs.DescribeJobExecutionRequest(thing_name=self.device_id, job_id=job_id, **further)
        return (await result(self._client.describe_job_execution(wish))).execution

    async def update(self, job_id: str, status: str, **further: Any) -> Any:
        wish = iotjobs.UpdateJobExecutionRequest(thing_name=self.device_id, job_id=job_id, status=status, **further)
        return await result(self._client.update_job_execution(wish))

    async def refused(self, answer: Any) -> Any:
        """What the SDK makes of a rejection."""
        with pytest.raises(V2ServiceException) as caught:
            await answer
        return caught.value.modeled_error

    async def first(self) -> Any:
        """The execution that it hears of next."""
        async with asyncio.timeout(PATIENCE_S):
            return (await self.next.get()).execution

    async def list(self) -> Any:
        """The list that it hears of next, as job ids by state."""
        async with asyncio.timeout(PATIENCE_S):
            jobs = (await self.listed.get()).jobs
        return {state: [one.job_id for one in executions] for state, executions in jobs.items()}

    def _into(self, heard: asyncio.Queue[Any]) -> Callable[[Any], None]:
        def came(event: Any) -> None:
            self._loop.call_soon_threadsafe(heard.put_nowait, event)

        return came


@pytest.fixture(scope="module")
def factory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Factory]:
    folder = tmp_path_factory.mktemp("jobs")
    with running(folder / "gateway") as gateway:
        yield Factory(gateway, folder)


@pytest.fixture
def operator(factory: Factory) -> Operator:
    return Operator(factory.gateway, factory.token)


@asynccontextmanager
async def _connected(
    factory: Factory, kind: type[SdkDevice], device_id: str, known: Unpacked | None = None
) -> AsyncIterator[SdkJobs]:
    bundle = known or factory.bundle(device_id)
    async with kind.connected(bundle, bundle.mqtt_port) as device:
        protocol = device._connection if isinstance(device, SdkDevice3) else device._client  # type: ignore[attr-defined]
        yield SdkJobs(device_id, protocol)


@pytest.mark.parametrize("kind", KINDS)
async def test_the_sdk_does_jobs_from_the_first_notice_to_the_end(
    factory: Factory, operator: Operator, kind: type[SdkDevice]
) -> None:
    device_id = f"worker-{kind.__name__}"
    first, second = f"open-{kind.__name__}", f"close-{kind.__name__}"
    async with _connected(factory, kind, device_id) as jobs:
        assert await jobs.start_next() is None
        await jobs.listen()
        await asyncio.to_thread(operator.make, first, device_id)
        execution = await jobs.first()
        assert (execution.job_id, execution.status, execution.job_document) == (first, "QUEUED", {"operation": first})
        assert await jobs.list() == {"QUEUED": [first]}
        await asyncio.to_thread(operator.make, second, device_id)
        assert await jobs.list() == {"QUEUED": [first, second]}

        begun = await jobs.start_next(status_details={"step": "1"}, step_timeout_in_minutes=5)
        assert (begun.job_id, begun.status, begun.version_number) == (first, "IN_PROGRESS", 2)
        pending = await jobs.pending()
        assert [one.job_id for one in pending.in_progress_jobs] == [first]
        assert [one.job_id for one in pending.queued_jobs] == [second]
        assert (await jobs.describe("$next")).job_id == first

        await jobs.update(first, "SUCCEEDED", expected_version=2)
        assert (await jobs.first()).job_id == second
        assert await jobs.list() == {"QUEUED": [second]}
        await jobs.update(second, "REJECTED")
        assert await jobs.first() is None
        assert await jobs.list() == {}
    assert (operator.states(first), operator.states(second)) == ({device_id: "succeeded"}, {device_id: "rejected"})
    await operator.until(lambda: operator.call("GET", f"/v1/jobs/{first}")["state"] == "completed")


async def test_the_sdks_client_v1_does_a_job(factory: Factory, operator: Operator) -> None:
    """It subscribes by exact names, as its user says, and matches no tokens."""
    bundle = factory.bundle("elder")
    answers: asyncio.Queue[Any] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    at_least_once = mqtt.QoS.AT_LEAST_ONCE

    def came(answer: Any) -> None:
        loop.call_soon_threadsafe(answers.put_nowait, answer)

    async with SdkDevice3.connected(bundle, bundle.mqtt_port) as device, asyncio.timeout(2 * PATIENCE_S):
        client = iotjobs.IotJobsClient(device._connection)  # type: ignore[attr-defined]
        begin = iotjobs.StartNextPendingJobExecutionSubscriptionRequest(thing_name="elder")
        report = iotjobs.UpdateJobExecutionSubscriptionRequest(thing_name="elder", job_id="old")
        heard = iotjobs.NextJobExecutionChangedSubscriptionRequest(thing_name="elder")
        for subscribe, wish in (
            (client.subscribe_to_start_next_pending_job_execution_accepted, begin),
            (client.subscribe_to_update_job_execution_accepted, report),
            (client.subscribe_to_update_job_execution_rejected, report),
            (client.subscribe_to_next_job_execution_changed_events, heard),
        ):
            await result(subscribe(wish, at_least_once, came)[0])
        await asyncio.to_thread(operator.make, "old", "elder")
        assert (await answers.get()).execution.job_id == "old"
        start = iotjobs.StartNextPendingJobExecutionRequest(thing_name="elder")
        await result(client.publish_start_next_pending_job_execution(start, at_least_once))
        assert (await answers.get()).execution.version_number == 2
        wrong = iotjobs.UpdateJobExecutionRequest(
            thing_name="elder", job_id="old", status="SUCCEEDED", expected_version=1
        )
        await result(client.publish_update_job_execution(wrong, at_least_once))
        assert (await answers.get()).code == "VersionMismatch"
        right = iotjobs.UpdateJobExecutionRequest(
            thing_name="elder", job_id="old", status="SUCCEEDED", expected_version=2
        )
        await result(client.publish_update_job_execution(right, at_least_once))
        told = {type(await answers.get()).__name__ for _ in range(2)}
    assert told == {"UpdateJobExecutionResponse", "NextJobExecutionChangedEvent"}
    assert operator.states("old") == {"elder": "succeeded"}


@pytest.mark.parametrize("kind", KINDS)
async def test_what_the_sdk_may_not_do_it_is_told_in_the_words_of_aws(
    factory: Factory, operator: Operator, kind: type[SdkDevice]
) -> None:
    device_id, job_id = f"wrong-{kind.__name__}", f"careful-{kind.__name__}"
    async with _connected(factory, kind, device_id) as jobs:
        await asyncio.to_thread(operator.make, job_id, device_id)
        await operator.until(lambda: operator.states(job_id) == {device_id: "queued"})
        told = await jobs.update(
            job_id, "IN_PROGRESS", expected_version=1, status_details={"step": "2"}, include_job_execution_state=True
        )
        assert (told.execution_state.version_number, told.execution_state.status_details) == (2, {"step": "2"})
        error = await jobs.refused(jobs.update(job_id, "SUCCEEDED", expected_version=1))
        assert (error.code, error.execution_state.version_number) == ("VersionMismatch", 2)
        assert (await jobs.refused(jobs.update(job_id, "SLEEPING"))).code == "InvalidRequest"
        await jobs.update(job_id, "SUCCEEDED", expected_version=2)
        error = await jobs.refused(jobs.update(job_id, "FAILED"))
        assert (error.code, error.execution_state.status) == ("InvalidStateTransition", "SUCCEEDED")
        assert (await jobs.refused(jobs.describe(job_id))).code == "TerminalStateReached"
        assert (await jobs.refused(jobs.describe("nothing"))).code == "ResourceNotFound"


async def test_a_sleeping_device_finds_its_job_when_it_comes_and_one_called_back_is_gone(
    factory: Factory, operator: Operator
) -> None:
    bundle = factory.bundle("sleeper")
    operator.make("wake", "sleeper")
    operator.make("regretted", "sleeper")
    await operator.until(lambda: operator.states("regretted") == {"sleeper": "queued"})
    operator.call("POST", "/v1/jobs/regretted/cancel", comment="a mistake")
    await operator.until(lambda: operator.states("regretted") == {"sleeper": "cancelled"})
    async with _connected(factory, SdkDevice5, "sleeper", bundle) as jobs:
        pending = await jobs.pending()
        assert [one.job_id for one in pending.queued_jobs] == ["wake"]
        assert (await jobs.start_next()).job_id == "wake"
        assert (await jobs.refused(jobs.update("regretted", "SUCCEEDED"))).execution_state.status == "CANCELED"


async def test_a_failure_is_tried_again_as_often_as_the_job_says(factory: Factory, operator: Operator) -> None:
    async with _connected(factory, SdkDevice5, "stubborn") as jobs:
        retries = [{"failure": "failed", "retry_count": 1}]
        await asyncio.to_thread(operator.make, "again", "stubborn", retries=retries)
        await operator.until(lambda: operator.states("again") == {"stubborn": "queued"})
        assert (await jobs.start_next()).execution_number == 1
        await jobs.update("again", "FAILED")
        assert (await jobs.start_next()).execution_number == 2
        await jobs.update("again", "FAILED", execution_number=2)
        assert await jobs.start_next() is None


async def test_another_devices_jobs_can_neither_be_read_nor_updated(factory: Factory, operator: Operator) -> None:
    factory.bundle("victim")
    operator.make("private", "victim")
    bundle = factory.bundle("nosy")
    async with SdkDevice5.connected(bundle, bundle.mqtt_port) as device:
        assert not await device.may_subscribe("$aws/things/victim/jobs/#")
        assert await device.is_told_no("$aws/things/victim/jobs/start-next")
    await operator.until(lambda: operator.states("private") == {"victim": "queued"})


async def test_with_what_a_device_sent_goes_what_it_said_of_its_jobs(factory: Factory, operator: Operator) -> None:
    owner = operator.gateway.quick_command("token", "add", "eraser", "--role", "owner")[1].strip()
    async with _connected(factory, SdkDevice5, "talker") as jobs:
        await asyncio.to_thread(operator.make, "talk", "talker")
        await operator.until(lambda: operator.states("talk") == {"talker": "queued"})
        await jobs.start_next(status_details={"note": "secret"})
    assert operator.gateway.call("DELETE", "/v1/devices/talker/telemetry", owner)[0] == 202
    await operator.until(lambda: operator.call("GET", "/v1/jobs/talk/executions/talker")["details"] == {})
    assert operator.states("talk") == {"talker": "in_progress"}


async def test_what_was_answered_is_on_the_disk_when_the_power_goes(tmp_path: Path) -> None:
    with running(tmp_path / "gateway") as gateway:
        factory = Factory(gateway, tmp_path)
        operator = Operator(gateway, factory.token)
        async with _connected(factory, SdkDevice5, "pump") as jobs:
            await asyncio.to_thread(operator.make, "open", "pump", in_progress_minutes=60)
            await operator.until(lambda: operator.states("open") == {"pump": "queued"})
            await jobs.start_next(status_details={"step": "1"})
            gateway.end(signal.SIGKILL)
    with running(tmp_path / "gateway") as gateway:
        operator = Operator(gateway, factory.token)
        [execution] = operator.call("GET", "/v1/devices/pump/jobs")["executions"]
    assert (execution["state"], execution["details"], execution["version"]) == ("in_progress", {"step": "1"}, 2)
    assert 3_000 < execution["left_s"] <= 3_600
