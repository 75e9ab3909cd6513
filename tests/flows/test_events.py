"""What happens here is told on `$aws/events/…` to whoever may hear it, in the form of AWS IoT."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.wire import Wire
from tests.conformance.wire_format import Kind
from tests.flows.command_devices import Operator
from tests.flows.running import RunningGateway, running
from tests.flows.wires import wired

WATCHER = "watcher"
UUID_LENGTH = 36


class Watcher:
    """A device whose policy lets it hear what happens."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def next(self) -> tuple[str, dict[str, Any]]:
        """The next event: the end of its topic, and what it tells. It is at QoS 1, and not retained."""
        message = await self._wire.take()
        assert (message.qos, message.retain) == (1, False)
        return message.topic.removeprefix("$aws/events/"), json.loads(message.payload)

    async def expect(self, topic: str, **expected: Any) -> dict[str, Any]:
        """The next event, which has this topic and tells at least this."""
        found, told = await self.next()
        assert (found, {key: told.get(key) for key in expected}) == (topic, expected)
        return told


class Site:
    """A gateway, and who looks after it."""

    def __init__(self, gateway: RunningGateway) -> None:
        self.gateway = gateway
        self.operator = Operator(gateway)
        self._bundles: dict[str, Path] = {}
        # That a device hears what happens to others is for its policy to say.
        allowed = [{"effect": "allow", "actions": ["subscribe", "receive"], "resources": ["$aws/events/#"]}]
        policy = {"document": {"statements": allowed}, "devices": [WATCHER]}
        self.bundle(WATCHER)
        status, told = self.operator.call("PUT", "/v1/policies/hears-events", policy)
        assert status < 300, told

    def bundle(self, device_id: str) -> Path:
        if device_id not in self._bundles:
            self._bundles[device_id] = self.gateway.add_device(device_id)
        return self._bundles[device_id]

    @contextlib.asynccontextmanager
    async def watched(self, *filters: str) -> AsyncIterator[Watcher]:
        async with wired(self.gateway, WATCHER, self.bundle(WATCHER)) as wire:
            codes = await wire.subscribe(*((f"$aws/events/{one}", 1) for one in filters))
            assert codes == (1,) * len(filters)
            yield Watcher(wire)

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        status, told = await asyncio.to_thread(self.operator.call, method, path, body)
        assert status < 300, told
        return told


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running(tmp_path_factory.mktemp("events")) as gateway:
        yield Site(gateway)


async def test_a_client_comes_subscribes_and_says_goodbye(site: Site) -> None:
    kinds = ("presence/connected", "presence/disconnected", "subscriptions/subscribed", "subscriptions/unsubscribed")
    bundle = site.bundle("pump")
    own = {"clientId": "pump", "thingName": "pump"}
    filters = ["cmd/pump/request/+", "$aws/things/pump/shadow/update/delta"]
    async with (
        site.watched(*(f"{kind}/pump" for kind in kinds)) as watcher,
        wired(site.gateway, "pump", bundle) as wire,
    ):
        begun = await watcher.expect("presence/connected/pump", eventType="connected", ipAddress="127.0.0.1", **own)
        # In milliseconds, unlike everything else of AWS.
        assert begun["timestamp"] > 1_700_000_000_000
        assert len(begun["sessionIdentifier"]) == UUID_LENGTH
        assert len(begun["principalIdentifier"]) == 64
        same = {key: begun[key] for key in ("sessionIdentifier", "principalIdentifier")}
        await wire.subscribe(*((one, 1) for one in filters))
        topic = "subscriptions/subscribed/pump"
        await watcher.expect(topic, eventType="subscribed", topics=filters, **same, **own)
        await wire.unsubscribe(filters[0])
        topic = "subscriptions/unsubscribed/pump"
        await watcher.expect(topic, eventType="unsubscribed", topics=filters[:1], **same, **own)
        await wire.leave()
        said = {"clientInitiatedDisconnect": True, "disconnectReason": "CLIENT_INITIATED_DISCONNECT"}
        number = {"versionNumber": begun["versionNumber"]}
        topic = "presence/disconnected/pump"
        await watcher.expect(topic, eventType="disconnected", **said, **number, **same, **own)


async def test_connections_are_numbered_and_each_end_has_its_reason(site: Site) -> None:
    bundle = site.bundle("fan")
    async with site.watched("presence/connected/fan", "presence/disconnected/fan") as watcher:
        begun = []
        for _ in range(2):
            async with wired(site.gateway, "fan", bundle):
                begun.append(await watcher.expect("presence/connected/fan"))
            lost = {"clientInitiatedDisconnect": False, "disconnectReason": "CONNECTION_LOST"}
            number = begun[-1]["versionNumber"]
            await watcher.expect("presence/disconnected/fan", versionNumber=number, **lost)
        assert begun[1]["versionNumber"] == begun[0]["versionNumber"] + 1
        assert begun[1]["sessionIdentifier"] != begun[0]["sessionIdentifier"]
        async with wired(site.gateway, "fan", bundle) as first, wired(site.gateway, "fan", bundle):
            await first.expect_closed(0x8E)
            told = [await watcher.next() for _ in range(3)]
            reasons = {(topic.split("/")[1], body.get("disconnectReason")) for topic, body in told}
            assert reasons == {("connected", None), ("disconnected", "DUPLICATE_CLIENTID")}


async def test_who_is_not_let_in_is_told_of(site: Site) -> None:
    bundle = site.bundle("valve")
    async with site.watched("presence/+/valve") as watcher:
        async with wired(site.gateway, "valve", bundle):
            await watcher.expect("presence/connected/valve")
            await site.call("PUT", "/v1/devices/valve/state", {"state": "suspended"})
            ended = {"disconnectReason": "API_INITIATED_DISCONNECT", "clientInitiatedDisconnect": False}
            await watcher.expect("presence/disconnected/valve", **ended)
        with pytest.raises((AssertionError, EOFError)):
            async with wired(site.gateway, "valve", bundle):
                pass
        failed = {"connectFailureReason": "AUTHORIZATION_FAILED", "ipAddress": "127.0.0.1", "clientId": "valve"}
        await watcher.expect("presence/connect_failed/valve", eventType="connect_failed", **failed)


class Worker:
    """A device that does what a test says with its jobs."""

    def __init__(self, device_id: str, wire: Wire) -> None:
        self._own = f"$aws/things/{device_id}/jobs"
        self._wire = wire

    async def ask(self, path: str, **said: Any) -> dict[str, Any]:
        """The answer to a request, which comes without having been subscribed to."""
        assert await self._wire.publish(f"{self._own}/{path}", json.dumps(said).encode(), 1) == 0
        message = await self._wire.pick(Kind.PUBLISH)
        await self._wire.acknowledge(Kind.PUBACK, message.number)
        assert message.topic == f"{self._own}/{path}/accepted", message
        return dict(json.loads(message.payload))


async def made(site: Site, job_id: str, *device_ids: str) -> None:
    wish = {"job_id": job_id, "document": {"operation": job_id}, "targets": {"devices": device_ids}}
    await site.call("POST", "/v1/jobs", {**wish, "description": f"to {job_id}"})
    # They are its executions' devices a moment later.
    await until(lambda: len(executions(site, job_id)) == len(device_ids))


def executions(site: Site, job_id: str) -> list[Any]:
    return list(site.operator.call("GET", f"/v1/jobs/{job_id}/executions")[1]["executions"])


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not await asyncio.to_thread(is_so):  # noqa: ASYNC110  another process does it
            await asyncio.sleep(0.02)


async def test_each_end_of_an_execution_and_of_its_job_is_told(site: Site) -> None:
    names = ("hand-1", "hand-2", "hand-3")
    async with contextlib.AsyncExitStack() as stack:
        watcher = await stack.enter_async_context(site.watched("job/open/+", "jobExecution/open/+"))
        workers = {
            name: Worker(name, await stack.enter_async_context(wired(site.gateway, name, site.bundle(name))))
            for name in names
        }
        await made(site, "open", *names)
        for name, status in zip(names, ("SUCCEEDED", "FAILED", "REJECTED"), strict=True):
            begun = await workers[name].ask("start-next", clientToken="t")
            assert begun["execution"]["jobId"] == "open"
            await workers[name].ask("open/update", status=status, statusDetails={"step": name})
            told = await watcher.expect(
                f"jobExecution/open/{status.lower()}",
                eventType="JOB_EXECUTION",
                operation=status.lower(),
                jobId="open",
                status=status,
                statusDetails={"step": name},
            )
            assert told["thingArn"].endswith(f":thing/{name}")
            assert len(told["eventId"]) == UUID_LENGTH
            # Seconds, unlike the events of clients.
            assert 1_700_000_000 < told["timestamp"] < 10_000_000_000
        done = await watcher.expect(
            "job/open/completed",
            eventType="JOB",
            operation="completed",
            jobId="open",
            status="COMPLETED",
            targetSelection="SNAPSHOT",
            description="to open",
        )
        assert [target.rpartition("/")[2] for target in done["targets"]] == list(names)
        counts = {
            word: done["jobProcessDetails"][f"numberOf{word}Things"] for word in ("Succeeded", "Failed", "Queued")
        }
        assert (counts, done["jobProcessDetails"]["numberOfRejectedThings"]) == (
            {"Succeeded": 1, "Failed": 1, "Queued": 0},
            1,
        )
        assert done["createdAt"] <= done["completedAt"] <= done["timestamp"]


async def test_a_job_that_is_called_back_and_deleted_is_told_with_its_executions(site: Site) -> None:
    async with site.watched("job/close/+", "jobExecution/close/+") as watcher:
        site.bundle("sleeper")
        await made(site, "close", "sleeper")
        await site.call("POST", "/v1/jobs/close/cancel", {"comment": "a mistake"})
        told = [await watcher.next() for _ in range(3)]
        assert sorted(topic for topic, _ in told) == [
            "job/close/canceled",
            "job/close/cancellation_in_progress",
            "jobExecution/close/canceled",
        ]
        assert {body["status"] for topic, body in told if topic == "job/close/canceled"} == {"CANCELED"}
        await site.call("DELETE", "/v1/jobs/close")
        told = [await watcher.next() for _ in range(3)]
        assert sorted(topic for topic, _ in told) == [
            "job/close/deleted",
            "job/close/deletion_in_progress",
            "jobExecution/close/deleted",
        ]


async def test_each_step_of_a_command_is_told(site: Site) -> None:
    async with site.watched("commandExecution/spin/+") as watcher:
        site.bundle("motor")
        told = await asyncio.to_thread(site.operator.send, "motor", "spin")
        known = {"commandId": "spin", "executionId": told["execution_id"], "deviceId": "motor"}
        await watcher.expect("commandExecution/spin/CREATED", status="CREATED", **known)
        await site.call("POST", f"/v1/commands/{told['execution_id']}/cancel")
        await watcher.expect("commandExecution/spin/CANCELLED", status="CANCELLED", **known)
