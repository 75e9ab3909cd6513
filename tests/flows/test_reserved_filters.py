"""A topic filter under `$aws/` that nothing matches is refused with a word; nothing else of its client suffers."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.conformance.wire_format import MQTT_3_1_1, MQTT_5, Kind, Name, subscribe
from tests.flows.command_devices import Operator
from tests.flows.running import RunningGateway, running
from tests.flows.wires import wired

NOT_AUTHORIZED = 0x87
FAILURE = 0x80


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with running(tmp_path_factory.mktemp("reserved")) as process:
        yield process


@pytest.mark.parametrize(("level", "refusal"), [(MQTT_3_1_1, FAILURE), (MQTT_5, NOT_AUTHORIZED)])
async def test_one_filter_of_a_subscribe_is_refused_and_the_others_are_granted(
    gateway: RunningGateway, level: int, refusal: int
) -> None:
    name = f"reader-{level}"
    own = f"$aws/things/{name}"
    asked = (
        (f"{own}/shadow/get/+", 1, 1),
        ("$aws/foo", 1, refusal),
        (f"{own}/nonsense/#", 0, refusal),
        (f"cmd/{name}/request/+", 2, 2),
        ("$aws/things/somebody/shadow/get/accepted", 1, refusal),
        ("$aws/rules/mine/x", 1, refusal),
        (f"{own}/jobs/notify-next", 0, 0),
    )
    async with wired(gateway, name, gateway.add_device(name), level=level) as wire:
        requests = [(topic_filter, qos) for topic_filter, qos, _ in asked]
        await wire.send(subscribe(7, level, requests))
        answer = await wire.expect(Kind.SUBACK)
        assert (answer.number, answer.codes) == (7, tuple(code for _, _, code in asked))
        if level == MQTT_5:
            # Told where a client can see it, too.
            assert "$aws/foo" in str(answer.value_of(Name.REASON_STRING))
        # The connection is as it was: what was granted is heard, and it may ask again.
        assert await wire.publish(f"{own}/shadow/get", b"{}", 1) in (0, 0x10)
        assert (await wire.take()).topic == f"{own}/shadow/get/rejected"
        assert await wire.subscribe(("$aws/foo", 1)) == (refusal,)
        command = await asyncio.to_thread(Operator(gateway).send, name)
        assert (await wire.take()).topic == f"cmd/{name}/request/{command['execution_id']}"
        problems = gateway.get(f"/v1/devices/{name}", gateway.token())["problems"]
        assert any("$aws/foo" in problem["reason"] for problem in problems)
