import msgspec

from appliance.broker_health import broker_status
from broker.limits import Limits
from broker.packets import Publish
from tests.broker.stage import QUIET, staged


async def test_what_the_broker_has_in_hand_is_told_in_numbers() -> None:
    async with staged() as stage:
        away = await stage.kept("away", "t")
        away.vanish()
        here = await stage.line("here")
        await here.send(Publish("t", b"four", 1, retain=True, packet_id=1))
        status = broker_status(stage.broker)
        assert status.ok
        assert status.summary == "1 connections"
        wanted = {"connections": 1, "sessions": 2, "retained_messages": 1, "queued_bytes": 5, "accepted_messages": 1}
        assert {key: status.details[key] for key in wanted} == wanted


async def test_whom_it_refused_is_told_by_the_reason() -> None:
    async with staged() as stage:
        stage.authorizer.denied_clients.add("stranger")
        line = stage.knock()
        await line.send(b"\x10\x14\x00\x04MQTT\x04\x02\x00\x00\x00\x08stranger")
        assert broker_status(stage.broker).details["refused_connect_denied"] == 1


async def test_it_is_unwell_while_nobody_else_can_connect() -> None:
    limits = msgspec.structs.replace(QUIET, connections=2)
    async with staged(limits) as stage:
        await stage.line("one")
        assert broker_status(stage.broker).ok
        two = await stage.line("two")
        status = broker_status(stage.broker)
        assert (status.ok, status.summary) == (False, "2 connections: no further client can connect")
        two.vanish()
        assert broker_status(stage.broker).ok


async def test_it_is_unwell_while_what_waits_for_clients_fills_its_bound() -> None:
    limits = Limits(packet_bytes=1_000, queues_bytes=2_000, sweep_interval_s=0.01)
    async with staged(limits) as stage:
        line = await stage.kept("away", "t")
        line.vanish()
        assert broker_status(stage.broker).ok
        for _ in range(2):
            stage.broker.publish(stage.say("t", b"x" * 600, 1))
        status = broker_status(stage.broker)
        assert (status.ok, status.summary) == (False, "0 connections: the queues of all clients are full")
