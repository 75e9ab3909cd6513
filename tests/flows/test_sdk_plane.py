"""Shadows and jobs with AWS's SDK as it comes from PyPI: service clients V1 and V2, each over MQTT 3.1.1 and MQTT 5."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from awsiot import iotjobs, iotshadow
from awsiot.iotshadow import ShadowState

from tests.flows.running import running
from tests.flows.sdk_devices import PATIENCE_S
from tests.flows.sdk_plane import SPEECHES, ServiceClient, Speech
from tests.flows.test_sdk import Factory

every_speech = pytest.mark.parametrize("speech", SPEECHES, ids=str)


class ShadowOfDevice:
    """One shadow of a device, by its service client."""

    def __init__(self, client: ServiceClient, device_id: str, name: str = "") -> None:
        self._client = client
        self._kind = "named_shadow" if name else "shadow"
        self._address = {"thing_name": device_id} | ({"shadow_name": name} if name else {})

    async def listen(self) -> tuple[asyncio.Queue[Any], asyncio.Queue[Any]]:
        """Deltas and documents, from now on."""
        deltas, documents = f"{self._kind}_delta_updated", f"{self._kind}_updated"
        return await self._client.hear(deltas, **self._address), await self._client.hear(documents, **self._address)

    async def get(self) -> Any:
        return await self._client.ask(f"get_{self._kind}", **self._address)

    async def update(self, state: ShadowState, **further: Any) -> Any:
        return await self._client.ask(f"update_{self._kind}", state=state, **further, **self._address)

    async def delete(self) -> Any:
        return await self._client.ask(f"delete_{self._kind}", **self._address)

    async def refused(self, verb: str, **further: Any) -> tuple[int, str]:
        error = await self._client.refused(f"{verb}_{self._kind}", **further, **self._address)
        return error.code, error.message


@pytest.fixture(scope="module")
def factory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Factory]:
    folder = tmp_path_factory.mktemp("sdk-plane")
    with running(folder / "gateway") as gateway:
        yield Factory(gateway, folder)


def desire(factory: Factory, device_id: str, wish: dict[str, Any], name: str = "") -> int:
    """Somebody wishes something of a device; the version that came of it."""
    path = f"/v1/devices/{device_id}/shadow?name={name}"
    body = json.dumps({"state": {"desired": wish}}).encode()
    status, told = factory.gateway.call("POST", path, factory.token, body)
    assert status == 200, told
    return int(told["version"])


def make_job(factory: Factory, job_id: str, device_id: str) -> None:
    """A person makes a job for one device, and it was handed out."""
    wish = {"job_id": job_id, "document": {"operation": job_id}, "targets": {"devices": [device_id]}}
    status, told = factory.gateway.call("POST", "/v1/jobs", factory.token, json.dumps(wish).encode())
    assert status == 201, told


def ended(factory: Factory, job_id: str) -> list[tuple[str, int]]:
    """In which state each execution of a job is, and in which version."""
    told = factory.gateway.get(f"/v1/jobs/{job_id}/executions", factory.token)["executions"]
    return [(one["state"], one["version"]) for one in told]


async def came(heard: asyncio.Queue[Any]) -> Any:
    async with asyncio.timeout(PATIENCE_S):
        return await heard.get()


@every_speech
async def test_the_sdk_keeps_shadows_and_hears_of_their_deltas_and_documents(factory: Factory, speech: Speech) -> None:
    device_id = f"lamp-{speech}"
    async with speech.connected(factory.bundle(device_id), iotshadow) as connected:
        for name in ("", "settings"):
            await keep(factory, connected.client, device_id, name)


async def keep(factory: Factory, client: ServiceClient, device_id: str, name: str) -> None:
    """Keep one shadow through all that can become of it but its deletion."""
    shadow = ShadowOfDevice(client, device_id, name)
    deltas, documents = await shadow.listen()
    state = ShadowState(desired={"on": True, "old": 1}, reported={"on": False, "lux": [1, 2]})
    accepted = await shadow.update(state)
    assert (accepted.version, accepted.state.desired) == (1, state.desired)
    assert accepted.state.reported == state.reported
    assert accepted.metadata.reported["lux"][1]["timestamp"] == accepted.timestamp.timestamp()
    delta = await came(deltas)
    assert (delta.version, delta.state, delta.client_token) == (1, {"on": True, "old": 1}, accepted.client_token)
    document = await came(documents)
    assert (document.previous, document.current.version) == (None, 1)

    assert (await shadow.update(ShadowState(desired={"old": None}, reported={"on": True}), version=1)).version == 2
    document = await came(documents)
    assert (document.previous.version, document.current.version) == (1, 2)
    assert (document.previous.state.reported["on"], document.previous.state.desired["old"]) == (False, 1)
    assert (document.current.state.desired, document.current.state.reported["on"]) == ({"on": True}, True)

    assert await asyncio.to_thread(desire, factory, device_id, {"on": False}, name) == 3
    delta = await came(deltas)
    # Of version 2 there was none: what was desired was reported.
    assert (delta.version, delta.state) == (3, {"on": False})
    got = await shadow.get()
    assert (got.version, got.state.delta, got.state.reported["lux"]) == (3, {"on": False}, [1, 2])
    assert deltas.empty()


@every_speech
async def test_what_is_wrong_with_a_shadow_the_sdk_is_told_and_what_was_deleted_is_gone(
    factory: Factory, speech: Speech
) -> None:
    device_id = f"fan-{speech}"
    async with speech.connected(factory.bundle(device_id), iotshadow) as connected:
        for name in ("", "settings"):
            shadow = ShadowOfDevice(connected.client, device_id, name)
            nothing = f"No shadow exists with name: '{device_id}{'~' * bool(name)}{name}'"
            assert await shadow.refused("get") == (404, nothing)
            await shadow.update(ShadowState(desired={"on": True}, reported={"on": False}))
            wrong = ShadowState(reported={"on": True})
            assert await shadow.refused("update", state=wrong, version=9) == (409, "Version conflict")
            deep: dict[str, Any] = {}
            for _ in range(8):
                deep = {"a": deep}
            assert (await shadow.refused("update", state=ShadowState(reported=deep)))[0] == 400
            assert (await shadow.refused("update", state=ShadowState(reported={"a": "x" * 8_192})))[0] == 413
            got = await shadow.get()
            assert (got.version, got.state.delta, got.state.reported) == (1, {"on": True}, {"on": False})

            assert (await shadow.update(ShadowState(desired_is_nullable=True))).version == 2
            got = await shadow.get()
            assert (got.state.desired, got.state.delta) == (None, None)
            assert (await shadow.delete()).version == 2
            assert await shadow.refused("get") == (404, nothing)
            assert await shadow.refused("delete") == (404, nothing)
            assert (await shadow.update(ShadowState(reported={"on": True}))).version == 4


@every_speech
async def test_a_device_that_was_away_hears_of_the_delta_when_it_comes_back(factory: Factory, speech: Speech) -> None:
    device_id = f"sleeper-{speech}"
    async with speech.connected(factory.bundle(device_id), iotshadow) as connected:
        shadows = [ShadowOfDevice(connected.client, device_id, name) for name in ("", "settings")]
        heard = [await shadow.listen() for shadow in shadows]
        for shadow, (_, documents) in zip(shadows, heard, strict=True):
            await shadow.update(ShadowState(reported={"on": False}))
            await came(documents)
        async with connected.away():
            for name in ("", "settings"):
                await asyncio.to_thread(desire, factory, device_id, {"on": True}, name)
                await asyncio.to_thread(desire, factory, device_id, {"level": 3}, name)
        for shadow, (deltas, documents) in zip(shadows, heard, strict=True):
            told = [await came(deltas) for _ in range(2)]
            assert [(one.version, one.state) for one in told] == [(2, {"on": True}), (3, {"on": True, "level": 3})]
            # At QoS 1 the one from before may come once more: its acknowledgement may not have arrived.
            while (first := (await came(documents)).current.version) == 1:
                pass
            assert [first, (await came(documents)).current.version] == [2, 3]
            reported = await shadow.update(ShadowState(reported=told[-1].state), version=told[-1].version)
            assert reported.version == 4
            assert (await shadow.get()).state.delta is None
            assert deltas.empty()


@every_speech
async def test_updates_at_once_get_a_version_each_and_the_documents_come_in_their_order(
    factory: Factory, speech: Speech
) -> None:
    device_id, count = f"busy-{speech}", 30
    async with speech.connected(factory.bundle(device_id), iotshadow) as connected:
        shadow = ShadowOfDevice(connected.client, device_id)
        _, documents = await shadow.listen()
        # A burst before the first answer is not always sent whole by the SDK.
        await shadow.update(ShadowState(reported={"of": count}))
        told = await asyncio.gather(*(shadow.update(ShadowState(reported={f"n{one}": one})) for one in range(count)))
        assert sorted(one.version for one in told) == [*range(2, count + 2)]
        assert [(await came(documents)).current.version for _ in range(count + 1)] == [*range(1, count + 2)]
        assert (await shadow.get()).state.reported == {"of": count} | {f"n{one}": one for one in range(count)}


@every_speech
async def test_the_sdk_does_jobs_one_after_the_other(factory: Factory, speech: Speech) -> None:
    device_id = f"worker-{speech}"
    first, second = f"first-{speech}", f"second-{speech}"
    thing = {"thing_name": device_id}
    async with speech.connected(factory.bundle(device_id), iotjobs) as connected:
        client = connected.client
        assert (await client.ask("start_next_pending_job_execution", **thing)).execution is None
        nexts = await client.hear("next_job_execution_changed", **thing)
        lists = await client.hear("job_executions_changed", **thing)
        for job_id in (first, second):
            await asyncio.to_thread(make_job, factory, job_id, device_id)
            assert job_id in {one.job_id for one in (await came(lists)).jobs["QUEUED"]}
        execution = (await came(nexts)).execution
        assert (execution.job_id, execution.status, execution.job_document) == (first, "QUEUED", {"operation": first})
        pending = await client.ask("get_pending_job_executions", **thing)
        assert [one.job_id for one in pending.queued_jobs] == [first, second]

        details = {"step": "1"}
        for _ in range(2):
            begun = await client.ask("start_next_pending_job_execution", **thing, status_details=details)
            begun = begun.execution
            # Asked twice it is begun once.
            assert (begun.job_id, begun.status, begun.version_number) == (first, "IN_PROGRESS", 2)
        described = (await client.ask("describe_job_execution", **thing, job_id="$next")).execution
        assert (described.job_id, described.status_details) == (first, {"step": "1"})
        report = {**thing, "job_id": first, "include_job_execution_state": True}
        told = await client.ask("update_job_execution", **report, status="IN_PROGRESS", expected_version=2)
        assert (told.execution_state.version_number, told.execution_state.status_details) == (3, {"step": "1"})
        told = await client.ask("update_job_execution", **report, status="SUCCEEDED", expected_version=3)
        assert told.execution_state.status == "SUCCEEDED"
        assert (await came(nexts)).execution.job_id == second
        await client.ask("update_job_execution", **thing, job_id=second, status="REJECTED")
        assert (await came(nexts)).execution is None
    assert await asyncio.to_thread(ended, factory, first) == [("succeeded", 4)]
    assert await asyncio.to_thread(ended, factory, second) == [("rejected", 2)]


@every_speech
async def test_what_may_not_be_done_with_a_job_is_refused_in_the_words_of_aws(factory: Factory, speech: Speech) -> None:
    device_id, job_id = f"clumsy-{speech}", f"hard-{speech}"
    thing = {"thing_name": device_id}
    mine = {**thing, "job_id": job_id}
    async with speech.connected(factory.bundle(device_id), iotjobs) as connected:
        client = connected.client
        nexts = await client.hear("next_job_execution_changed", **thing)
        error = await client.refused("describe_job_execution", **mine)
        assert (error.code, error.execution_state) == ("ResourceNotFound", None)
        await asyncio.to_thread(make_job, factory, job_id, device_id)
        await came(nexts)
        await client.ask("start_next_pending_job_execution", **thing)

        error = await client.refused("update_job_execution", **mine, status="SUCCEEDED", expected_version=1)
        assert (error.code, error.execution_state.version_number) == ("VersionMismatch", 2)
        error = await client.refused("update_job_execution", **mine, status="QUEUED")
        assert (error.code, error.execution_state.status) == ("InvalidStateTransition", "IN_PROGRESS")
        error = await client.refused("update_job_execution", **mine, status="ASLEEP")
        assert error.code == "InvalidRequest"
        error = await client.refused("update_job_execution", **thing, job_id="$next", status="SUCCEEDED")
        assert error.code == "InvalidTopic"
        error = await client.refused("update_job_execution", **mine, status="FAILED", execution_number=2)
        assert error.code == "ResourceNotFound"
        assert (await client.ask("describe_job_execution", **mine)).execution.version_number == 2

        await client.ask("update_job_execution", **mine, status="FAILED", expected_version=2)
        error = await client.refused("update_job_execution", **mine, status="SUCCEEDED")
        assert (error.code, error.execution_state.status) == ("InvalidStateTransition", "FAILED")
        assert (await client.refused("describe_job_execution", **mine)).code == "TerminalStateReached"
        # Nothing is the next, which is no error.
        assert (await client.ask("describe_job_execution", **thing, job_id="$next")).execution is None
    assert await asyncio.to_thread(ended, factory, job_id) == [("failed", 3)]
