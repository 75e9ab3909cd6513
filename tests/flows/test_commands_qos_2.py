"""A command at QoS 2 comes to its end exactly once, wherever on its way the connection or the gateway is lost."""

import asyncio
import contextlib
import json
import signal
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.wire import Wire
from tests.conformance.wire_format import Kind, Name
from tests.conformance.wire_reading import Received
from tests.flows.command_devices import Operator
from tests.flows.command_devices import until as eventually
from tests.flows.running import RunningGateway, running
from tests.flows.wires import wired


class Step(Enum):
    """How far a message has come when everything ends."""

    WRITTEN = "PUBLISH has come, and nothing was answered"
    UNHEARD = "PUBREC is on its way, and may be heard or not"
    RECORDED = "PUBREL has come, and nothing was answered"


CASES = [(step, may_repeat) for step in Step for may_repeat in (False, True)]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with running(tmp_path_factory.mktemp("qos-2")) as process:
        yield process


async def subscribed(wire: Wire, device_id: str, qos: int = 2) -> None:
    assert await wire.subscribe((f"cmd/{device_id}/request/+", qos)) == (qos,)


async def sent(operator: Operator, device_id: str, **told: Any) -> str:
    command = await asyncio.to_thread(operator.send, device_id, qos=2, **told)
    return str(command["execution_id"])


async def state(operator: Operator, execution_id: str) -> dict[str, Any]:
    return await asyncio.to_thread(operator.command, execution_id)


async def until(operator: Operator, execution_id: str, *states: str) -> dict[str, Any]:
    return await asyncio.to_thread(operator.wait, execution_id, *states)


async def told(wire: Wire, execution_id: str) -> Received:
    """The next message, which brings this command."""
    message = await wire.pick(Kind.PUBLISH)
    assert (message.topic.rpartition("/")[2], message.qos) == (execution_id, 2)
    assert json.loads(message.payload)["is_repeated"] is False
    return message


async def go(wire: Wire, execution_id: str, step: Step) -> None:
    """Take a command as far as this step."""
    message = await told(wire, execution_id)
    assert not message.duplicate
    if step is not Step.WRITTEN:
        await wire.acknowledge(Kind.PUBREC, message.number)
    if step is Step.RECORDED:
        assert (await wire.pick(Kind.PUBREL)).number == message.number


async def finish(wire: Wire, execution_id: str, step: Step) -> None:
    """Take it to its end over another connection: what comes first is where the first connection was left."""
    first = await wire.receive()
    if first.kind is Kind.PUBLISH:
        assert (step is not Step.RECORDED, first.duplicate) == (True, True)
        assert first.topic.endswith(execution_id)
        await wire.acknowledge(Kind.PUBREC, first.number)
        first = await wire.pick(Kind.PUBREL)
    else:
        assert (step is not Step.WRITTEN, first.kind) == (True, Kind.PUBREL)
    await wire.acknowledge(Kind.PUBCOMP, first.number)


async def test_each_step_is_taken_and_only_the_last_one_is_an_answer(gateway: RunningGateway) -> None:
    operator = Operator(gateway)
    async with wired(gateway, "lamp", gateway.add_device("lamp")) as wire:
        await subscribed(wire, "lamp")
        execution_id = await sent(operator, "lamp")
        message = await told(wire, execution_id)
        assert (await until(operator, execution_id, "sent"))["acknowledged_at"] is None
        await wire.acknowledge(Kind.PUBREC, message.number)
        assert (await wire.pick(Kind.PUBREL)).number == message.number
        # What the gateway has heard is on disk before the answer to a later command is.
        other = await sent(operator, "lamp")
        assert (await state(operator, other))["state"] == "queued"
        assert (await state(operator, execution_id))["state"] == "sent"
        await wire.acknowledge(Kind.PUBCOMP, message.number)
        done = await until(operator, execution_id, "acknowledged")
        assert done["acknowledged_at"] >= done["sent_at"] >= done["offered_at"]
        await told(wire, other)


async def test_a_device_that_says_no_to_it_has_answered_for_it(gateway: RunningGateway) -> None:
    operator = Operator(gateway)
    async with wired(gateway, "stubborn", gateway.add_device("stubborn")) as wire:
        await subscribed(wire, "stubborn")
        execution_id = await sent(operator, "stubborn", start_timeout_s=600)
        message = await told(wire, execution_id)
        await wire.acknowledge(Kind.PUBREC, message.number, 0x83)
        await until(operator, execution_id, "acknowledged")
        # There is no PUBREL, and room for the next one.
        following = await sent(operator, "stubborn")
        packet = await wire.receive()
        assert (packet.kind, packet.topic.rpartition("/")[2]) == (Kind.PUBLISH, following)


@pytest.mark.parametrize("ending", [None, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.timeout(120)
async def test_whatever_is_lost_on_the_way_it_is_done_once_and_the_ledger_knows(
    tmp_path: Path, ending: signal.Signals | None
) -> None:
    """Also of those that may be repeated: their session brings them to their end, and nothing else does."""
    names = {f"{step.name}-{may_repeat}".lower(): (step, may_repeat) for step, may_repeat in CASES}
    async with contextlib.AsyncExitStack() as stack:
        gateway = stack.enter_context(running(tmp_path))
        bundles = {name: gateway.add_device(name) for name in names}
        made = {}
        for name, (step, may_repeat) in names.items():
            async with wired(gateway, name, bundles[name], keeps=True) as wire:
                await subscribed(wire, name)
                made[name] = await sent(Operator(gateway), name, may_repeat=may_repeat, start_timeout_s=600)
                await go(wire, made[name], step)
        if ending is not None:
            gateway.end(ending)
            gateway = stack.enter_context(running(tmp_path))
        operator = Operator(gateway)
        for name, (step, _) in names.items():
            assert (await state(operator, made[name]))["acknowledged_at"] is None
            async with wired(gateway, name, bundles[name], keeps=True) as wire:
                assert wire.connack.session_present
                await finish(wire, made[name], step)
                done = await until(operator, made[name], "acknowledged")
                assert (done["is_repeated"], done["attempt"]) == (False, 1)
                assert done["sent_at"] is not None
                # Nothing else was on its way: this comes at once.
                marker = await sent(operator, name, priority=-1)
                assert (await wire.take()).topic.rpartition("/")[2] == marker


async def test_one_that_comes_to_its_end_late_says_that_it_has_expired_and_its_device_has_the_last_word(
    gateway: RunningGateway,
) -> None:
    operator, bundle = Operator(gateway), gateway.add_device("late")
    async with wired(gateway, "late", bundle, keeps=True) as wire:
        await subscribed(wire, "late")
        execution_id = await sent(operator, "late", expires_in_s=1, start_timeout_s=1)
        await told(wire, execution_id)
    over = await until(operator, execution_id, "timed_out")
    assert (over["reason_code"], over["ended_by"]) == ("NOT_CONFIRMED", "gateway")
    async with wired(gateway, "late", bundle, keeps=True) as wire:
        message = await wire.take()
        assert (message.duplicate, message.value_of(Name.MESSAGE_EXPIRY)) == (True, 0)
        said = b'{"status": "rejected", "reason_code": "TOO_LATE"}'
        assert await wire.publish(f"cmd/late/response/{execution_id}", said, 1) in (0, 0x10)
        done = await until(operator, execution_id, "rejected")
        assert (done["reason_code"], done["ended_by"]) == ("TOO_LATE", "device")


@pytest.mark.timeout(120)
async def test_what_waits_behind_another_is_in_no_session_when_the_gateway_comes_back(tmp_path: Path) -> None:
    with running(tmp_path, "[commands]\nin_flight_per_device = 2\n") as gateway:
        bundle = gateway.add_device("slow")
        async with wired(gateway, "slow", bundle, keeps=True, receive_maximum=1) as wire:
            await subscribed(wire, "slow")
            first = await sent(Operator(gateway), "slow")
            second = await sent(Operator(gateway), "slow")
            message = await told(wire, first)
            assert (await state(Operator(gateway), second))["offered_at"] is not None
            # Both deliveries are on disk: so is what came after them.
            assert await wire.publish("sensors/slow/telemetry", b'{"n": 1}', 1) == 0
        gateway.end(signal.SIGKILL)
    with running(tmp_path, "[commands]\nin_flight_per_device = 2\n") as gateway:
        operator = Operator(gateway)
        await asyncio.to_thread(eventually, lambda: operator.command(second)["offered_at"] is None)
        _, cancelled = await asyncio.to_thread(operator.call, "POST", f"/v1/commands/{second}/cancel")
        assert cancelled["state"] == "cancelled"
        async with wired(gateway, "slow", bundle, keeps=True) as wire:
            again = await wire.take()
            assert (again.topic, again.duplicate) == (message.topic, True)
            await until(operator, first, "acknowledged")
            await wire.expect_nothing()
