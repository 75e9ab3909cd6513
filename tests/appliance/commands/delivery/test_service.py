"""The courier: what is written to whom, and what is heard of it."""

import asyncio

import pytest

from appliance.commands import ruling
from appliance.commands.as_jobs.service import Kept
from appliance.commands.delivery.service import AGAIN_MS, IMPATIENT_MS
from appliance.commands.dialects.dialect import Wanted, Wire
from appliance.commands.dialects.plain import Plain
from appliance.commands.model import Command, NewCommand, State
from appliance.registry.service import Registry
from appliance.store.database import Database, UnwritableError
from broker.message import Message
from broker.ports import Refused, Subscribed
from tests.appliance.commands.room import TENANT, Hall, until
from tests.appliance.registry.examples import FakeClock

BLINK = NewCommand("blink")


async def test_a_device_that_is_away_or_wants_nothing_is_sent_nothing(hall: Hall) -> None:
    sent = await hall.commands.send(TENANT, "lamp", BLINK)
    line = hall.connect("lamp", "sensors/lamp/#")
    await hall.settled()
    found = await hall.commands.command(TENANT, sent.execution_id)
    assert (found.state, found.offered_at, line.written) == (State.QUEUED, None, [])
    topic = "cmd/lamp/request/+"
    line.subscriptions[topic] = line.subscriptions["sensors/lamp/#"]
    hall.commands.heard_subscribed(Subscribed(TENANT, "lamp", (topic,), "c", hall.clock()))
    await hall.until(sent.execution_id, lambda one: one.state is State.ACKNOWLEDGED)


async def test_the_next_is_written_when_the_one_before_was_answered_for(hall: Hall) -> None:
    line = hall.connect("lamp")
    line.acknowledges = False
    made = [await hall.commands.send(TENANT, "lamp", NewCommand("blink", priority=place)) for place in (0, 0, 9)]
    await until(lambda: len(line.written) == 1)
    await hall.settled()
    assert len(line.written) == hall.commands.courier.flight_count == 1
    line.evidence[0].acknowledged("lamp")
    await until(lambda: len(line.written) == 2)
    assert [message.topic.rpartition("/")[2] for message in line.written] == [
        made[0].execution_id,
        made[2].execution_id,
    ]


async def test_at_qos_0_nobody_answers_and_nobody_waits(hall: Hall) -> None:
    line = hall.connect("lamp", qos=0)
    made = [await hall.commands.send(TENANT, "lamp", BLINK) for _ in range(2)]
    await until(lambda: len(line.written) == 2)
    for one in made:
        found = await hall.until(one.execution_id, lambda one: one.state is State.SENT)
        assert found.acknowledged_at is None


async def test_what_was_written_and_not_answered_for_is_not_written_again(hall: Hall) -> None:
    line = hall.connect("lamp")
    line.acknowledges = False
    strict = await hall.commands.send(TENANT, "lamp", NewCommand("blink", may_repeat=False))
    await hall.until(strict.execution_id, lambda one: one.state is State.SENT)
    hall.disconnect(line)
    again = hall.connect("lamp")
    marker = await hall.commands.send(TENANT, "lamp", BLINK)
    await hall.until(marker.execution_id, lambda one: one.state is State.ACKNOWLEDGED)
    assert [message.topic.rpartition("/")[2] for message in again.written] == [marker.execution_id]
    assert (await hall.commands.command(TENANT, strict.execution_id)).state is State.SENT
    assert "lamp" in hall.exchange.abandoned


async def test_what_may_be_repeated_is_written_again_and_marked(hall: Hall) -> None:
    line = hall.connect("lamp")
    line.acknowledges = False
    sent = await hall.commands.send(TENANT, "lamp", NewCommand("blink", may_repeat=True))
    await hall.until(sent.execution_id, lambda one: one.state is State.SENT)
    hall.disconnect(line)
    again = hall.connect("lamp")
    found = await hall.until(sent.execution_id, lambda one: one.state is State.ACKNOWLEDGED)
    assert found.is_repeated
    assert dict(again.written[0].properties.user_properties)["is_repeated"] == "true"


async def test_a_connection_that_is_taken_over_is_over(hall: Hall) -> None:
    line = hall.connect("lamp")
    line.is_full = True
    sent = await hall.commands.send(TENANT, "lamp", BLINK)
    await until(lambda: len(line.waiting) == 1)
    # No end of the first is heard: the second has its session.
    line.client = None
    hall.exchange.lines["lamp"].remove(line)
    again = hall.connect("lamp")
    await hall.until(sent.execution_id, lambda one: one.state is State.ACKNOWLEDGED)
    assert len(again.written) == 1


async def test_what_waits_too_long_behind_others_is_taken_back_and_offered_later(hall: Hall, clock: FakeClock) -> None:
    line = hall.connect("lamp")
    line.is_full = True
    sent = await hall.commands.send(TENANT, "lamp", BLINK)
    await until(lambda: len(line.waiting) == 1)
    clock.now += IMPATIENT_MS + 1
    await hall.commands.tending.tend()
    released = await hall.until(sent.execution_id, lambda one: one.offered_at is None)
    assert (released.state, released.not_before, line.waiting) == (State.QUEUED, clock.now + AGAIN_MS, [])
    line.is_full = False
    clock.now += AGAIN_MS
    await hall.commands.tending.tend()
    await hall.until(sent.execution_id, lambda one: one.state is State.ACKNOWLEDGED)


async def test_what_waits_behind_others_is_taken_back_by_a_person(hall: Hall) -> None:
    line = hall.connect("lamp")
    line.is_full = True
    sent = await hall.commands.send(TENANT, "lamp", BLINK)
    await until(lambda: len(line.waiting) == 1)
    over = await hall.commands.cancel(TENANT, sent.execution_id)
    assert (over.state, line.waiting) == (State.CANCELLED, [])


@pytest.mark.parametrize("is_new", [True, False])
async def test_nothing_is_written_to_a_connection_that_has_ended_meanwhile(hall: Hall, is_new: bool) -> None:
    offering = hall.commands._sender if is_new else hall.commands.courier
    together = offering.together
    line = hall.connect("lamp", *(() if is_new else ("fw/lamp/offer",)))

    async def slow(work: object) -> None:
        offering.together = together
        line.client = None
        hall.exchange.lines["lamp"].remove(line)
        await together(work)  # type: ignore[arg-type]

    if is_new:
        offering.together = slow
    sent = await hall.commands.send(TENANT, "lamp", BLINK)
    if not is_new:
        await hall.settled()
        offering.together = slow
        line.subscriptions["cmd/lamp/#"] = line.subscriptions["fw/lamp/offer"]
        hall.commands.heard_subscribed(Subscribed(TENANT, "lamp", ("cmd/lamp/#",), "c", hall.clock()))
    await until(lambda: line.client is None)
    await hall.settled()
    found = await hall.until(sent.execution_id, lambda one: one.offered_at is None)
    assert (found.state, line.written, line.waiting) == (State.QUEUED, [], [])


async def test_a_full_disk_delays_and_loses_nothing(hall: Hall) -> None:
    courier = hall.commands.courier
    together, failures = courier.together, [0]

    async def failing(work: object) -> None:
        failures[0] += 1
        if failures[0] in {1, 3}:
            raise UnwritableError("full")
        await together(work)  # type: ignore[arg-type]

    courier.together = courier.keeping.together = failing
    sent = await hall.commands.send(TENANT, "lamp", BLINK)
    line = hall.connect("lamp")
    await hall.until(sent.execution_id, lambda one: one.state is State.ACKNOWLEDGED)
    assert len(line.written) == 1
    assert failures[0] >= 4
    await until(lambda: hall.commands.status().ok)


async def test_it_says_how_much_is_under_way_and_that_the_disk_is_full(hall: Hall) -> None:
    await hall.commands.send(TENANT, "lamp", BLINK)
    assert hall.commands.status().details == {"in_flight": 0, "waiting_devices": 1, "set_aside": 0}
    line = hall.connect("lamp")
    line.acknowledges = False
    await until(lambda: len(line.written) == 1)
    assert hall.commands.status().details == {"in_flight": 1, "waiting_devices": 0, "set_aside": 0}
    await hall.settled()

    async def full(_work: object) -> None:
        raise UnwritableError("no room")

    hall.commands.courier.keeping.together = full
    line.evidence[0].acknowledged("lamp")
    await until(lambda: not hall.commands.status().ok)
    assert "no room" in hall.commands.status().summary


async def test_a_device_that_waits_for_nothing_else_is_offered_a_command_as_it_is_written_down(hall: Hall) -> None:
    line = hall.connect("lamp")

    async def never(_work: object) -> None:
        raise UnwritableError("full")

    hall.commands.courier.together = never
    sent = await hall.commands.send(TENANT, "lamp", BLINK)
    assert (sent.offered_at, len(line.written)) == (hall.clock(), 1)
    assert await hall.commands.command(TENANT, sent.execution_id) == sent


async def test_two_at_the_same_time_are_written_one_after_the_other(hall: Hall) -> None:
    line = hall.connect("lamp")
    line.acknowledges = False
    await asyncio.gather(*(hall.commands.send(TENANT, "lamp", BLINK) for _ in range(3)))
    await hall.settled()
    # Of the others nothing was changed.
    assert [one.version for one in await hall.commands.commands(TENANT)][:2] == [1, 1]
    for count in (1, 2, 3):
        await until(lambda wanted=count: len(line.written) == wanted)  # type: ignore[misc]
        await hall.settled()
        assert len(line.written) == count
        line.evidence[-1].acknowledged("lamp")
    await hall.settled()
    assert len({message.topic for message in line.written}) == 3


async def test_what_cannot_be_written_down_keeps_nothing_else_from_its_device(hall: Hall) -> None:
    line = hall.connect("lamp")
    sender = hall.commands._sender
    together = sender.together

    async def full(_work: object) -> None:
        raise UnwritableError("full")

    sender.together = full
    with pytest.raises(UnwritableError):
        await hall.commands.send(TENANT, "lamp", BLINK)
    sender.together = together
    assert line.written == []
    await hall.commands.send(TENANT, "lamp", BLINK)
    assert len(line.written) == 1


async def test_who_gave_up_waiting_makes_no_room_in_a_device(hall: Hall) -> None:
    line = hall.connect("lamp")
    line.acknowledges = False
    sender = hall.commands._sender
    together, may_go = sender.together, asyncio.Event()

    async def held(work: object) -> None:
        async def later() -> None:
            await may_go.wait()
            await together(work)  # type: ignore[arg-type]

        await asyncio.shield(asyncio.ensure_future(later()))

    sender.together = held
    given_up = asyncio.create_task(hall.commands.send(TENANT, "lamp", BLINK))
    await asyncio.sleep(0)
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    sender.together = together
    await hall.commands.send(TENANT, "lamp", BLINK)
    may_go.set()
    await until(lambda: hall.commands.courier.flight_count == 1)
    await hall.settled()
    [second, first] = await hall.commands.commands(TENANT)
    await hall.until(second.execution_id, lambda one: one.offered_at is None)
    assert (len(line.written), first.offered_at is not None) == (1, True)
    line.evidence[0].acknowledged("lamp")
    await until(lambda: len(line.written) == 2)


async def test_a_new_start_knows_what_was_under_way(database: Database, registry: Registry, clock: FakeClock) -> None:
    hall = Hall(database, registry, clock)
    await hall.add("lamp", "other")
    async with hall.commands.running(hall.exchange):
        for name in ("lamp", "other"):
            hall.connect(name).acknowledges = False
        made = [
            await hall.commands.send(TENANT, name, NewCommand("blink", may_repeat=name == "lamp"))
            for name in ("lamp", "other")
        ]
        for one in made:
            await hall.until(one.execution_id, lambda one: one.offered_at is not None)
    again = Hall(database, registry, clock)
    async with again.commands.running(again.exchange):
        lines = [again.connect(name) for name in ("lamp", "other")]
        done = await again.until(made[0].execution_id, lambda one: one.state is State.ACKNOWLEDGED)
        assert done.is_repeated
        clock.now += 60_000
        await again.commands.tending.tend()
        over = await again.until(made[1].execution_id, lambda one: one.is_over)
        assert (over.state, over.reason_code) == (State.TIMED_OUT, ruling.NOT_CONFIRMED)
        assert [len(line.written) for line in lines] == [1, 0]


async def test_a_client_identifier_may_be_another_than_the_device_s(hall: Hall) -> None:
    sent = await hall.commands.send(TENANT, "lamp", BLINK)
    line = hall.connect("lamp", client_id="lamp-radio")
    await hall.until(sent.execution_id, lambda one: one.state is State.ACKNOWLEDGED)
    hall.disconnect(line)
    hall.commands.heard(Refused(TENANT, "lamp", "lamp", "", "x", "y", hall.clock()))


async def test_what_no_device_can_read_ends_at_once(hall: Hall) -> None:
    hall.connect("lamp", "$aws/commands/things/lamp/executions/+/request/cbor")
    sent = await hall.commands.send(TENANT, "lamp", NewCommand("blink", b"99999999999999999999999999"))
    over = await hall.until(sent.execution_id, lambda one: one.is_over)
    assert (over.state, over.reason_code) == (State.CANCELLED, "NOT_ENCODABLE")


def test_only_commands_are_kept_from_the_next_connection(hall: Hall) -> None:
    is_request = hall.commands.courier._is_request

    def published(topic: str, client_id: str = "") -> Message:
        return Message(TENANT, client_id, client_id, topic, b"", 1, False, 0)

    assert is_request(published("cmd/lamp/request/x"))
    assert is_request(published("$aws/commands/things/lamp/executions/x/request/json"))
    assert is_request(published("cmd/request-7/request/x"))
    assert not is_request(published("cmd/lamp/request/x", "script"))
    assert not is_request(published("fw/lamp/offer"))


@pytest.mark.parametrize("is_row", [True, False])
async def test_a_command_that_cannot_be_offered_keeps_no_other_from_its_device_or_from_others(
    hall: Hall, is_row: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    wire = Plain.wire

    def broken(self: Plain, command: Command, wants: Wanted) -> Wire | None:
        if not is_row and command.name == "boom":
            raise ValueError(command.payload)
        return wire(self, command, wants)

    monkeypatch.setattr(Plain, "wire", broken)
    await hall.add("other")
    first = await hall.commands.send(TENANT, "lamp", NewCommand("blink", priority=9))
    bad = await hall.commands.send(TENANT, "lamp", NewCommand("boom", b'"secret"'))
    rest = [await hall.commands.send(TENANT, name, BLINK) for name in ("lamp", "other")]
    if is_row:
        sql = "UPDATE command SET dialect = 'nonsense' WHERE tenant_id = ? AND execution_id = ?"
        await hall.database.write(lambda connection: connection.execute(sql, (TENANT, bad.execution_id)) and None)
    for name in ("lamp", "other"):
        hall.connect(name)
    for one in (first, *rest):
        await hall.until(one.execution_id, lambda one: one.state is State.ACKNOWLEDGED)
    over = await hall.commands.command(TENANT, bad.execution_id)
    assert (over.state, over.reason_code) == (State.CANCELLED, ruling.GATEWAY_ERROR)
    # On its page, too.
    assert [one.reason_code for one in await hall.commands.commands(TENANT, states=(State.CANCELLED,))] == [
        ruling.GATEWAY_ERROR
    ]
    assert "command set aside" in caplog.text
    assert "secret" not in caplog.text
    await hall.settled()
    assert hall.commands.status().ok


async def test_a_device_that_cannot_be_looked_at_keeps_no_other_waiting(hall: Hall) -> None:
    hall.commands.courier._later._after_s = 0.01
    await hall.add("other")
    made = {name: await hall.commands.send(TENANT, name, BLINK) for name in ("lamp", "other")}
    courier = hall.commands.courier

    def type_of(_tenant_id: int, device_id: str) -> str:
        if device_id == "lamp":
            raise ZeroDivisionError
        return ""

    known, courier.type_of = courier.type_of, type_of
    for name in ("lamp", "other"):
        hall.connect(name)
    await hall.until(made["other"].execution_id, lambda one: one.state is State.ACKNOWLEDGED)
    courier.type_of = known
    # It need not come again.
    await hall.until(made["lamp"].execution_id, lambda one: one.state is State.ACKNOWLEDGED)


async def test_an_error_that_is_no_command_s_ends_nothing_and_is_told(hall: Hall) -> None:
    sent = await hall.commands.send(TENANT, "lamp", BLINK)
    courier = hall.commands.courier

    def keep(*_: object) -> Kept:
        raise ZeroDivisionError

    kept, courier.as_jobs.keep = courier.as_jobs.keep, keep  # type: ignore[method-assign, assignment]
    line = hall.connect("lamp")
    await until(lambda: not hall.commands.status().ok or hall.commands.status().details["set_aside"] == 1)
    over = await hall.commands.command(TENANT, sent.execution_id)
    assert (over.state, line.written) == (State.CANCELLED, [])
    courier.as_jobs.keep = kept  # type: ignore[method-assign]
    again = await hall.commands.send(TENANT, "lamp", BLINK)
    await hall.until(again.execution_id, lambda one: one.state is State.ACKNOWLEDGED)


async def test_devices_whose_offering_failed_unforeseen_are_tried_again_by_themselves(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    courier = hall.commands.courier
    courier._later._after_s = 0.01
    await hall.add("other")
    made = [await hall.commands.send(TENANT, name, BLINK) for name in ("lamp", "other")]
    for part, name in ((courier, "_claim"), (courier.as_jobs, "mend")):
        monkeypatch.setattr(part, name, lambda *_: 1 / 0)
    for name in ("lamp", "other"):
        hall.connect(name)
    await until(lambda: not hall.commands.status().ok)
    monkeypatch.undo()
    for one in made:
        await hall.until(one.execution_id, lambda one: one.state is State.ACKNOWLEDGED)
