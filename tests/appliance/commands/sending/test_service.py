"""What people send and take back."""

import asyncio
import contextlib
from collections.abc import Iterator

import msgspec
import pytest

from appliance.audit.acting import acting_as
from appliance.commands import check
from appliance.commands.catalogue.model import CommandType, Parameter
from appliance.commands.delivery.keeping.service import LONGEST_HURRY_S
from appliance.commands.model import (
    DeviceGoneError,
    InvalidCommandError,
    NewCommand,
    OtherContentError,
    Selection,
    State,
    TooManyCommandsError,
)
from appliance.commands.sending import service
from appliance.registry.model import DeviceState, UnknownDeviceError
from appliance.registry.service import Registry
from appliance.store.database import Database, UnwritableError
from tests.appliance.commands.room import TENANT, Hall
from tests.appliance.registry.examples import FakeClock

ONCE = NewCommand("blink", idempotency_key="monday")


async def test_what_is_asked_for_twice_with_a_key_is_sent_once(hall: Hall) -> None:
    first, second = await asyncio.gather(*(hall.commands.send(TENANT, "lamp", ONCE) for _ in range(2)))
    assert first == second
    assert len(await hall.commands.commands(TENANT)) == 1
    with pytest.raises(OtherContentError):
        await hall.commands.send(TENANT, "lamp", NewCommand("glow", idempotency_key="monday"))


async def test_a_batch_that_was_cut_short_goes_on_when_it_is_asked_for_again(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "PIECE", 2)
    await hall.add("a", "b", "c", "d", groups=("choir",))
    sender = hall.commands._sender
    together, done = sender.together, [0]

    async def cut(work: object) -> None:
        done[0] += 1
        if done[0] == 3:
            raise UnwritableError("full")
        await together(work)  # type: ignore[arg-type]

    sender.together = sender.first = cut
    with pytest.raises(UnwritableError):
        await hall.commands.send_to_many(TENANT, Selection(group="choir"), ONCE)
    [cut_short] = await hall.commands.batches(TENANT)
    assert (cut_short.completed_at, cut_short.counts) == (None, {State.QUEUED: 2})
    batch = await hall.commands.send_to_many(TENANT, Selection(group="choir"), ONCE)
    assert batch.batch_id == cut_short.batch_id
    told = [message for message in hall.told if message.topic.endswith("/CREATED")]
    assert sorted(msgspec.json.decode(message.payload)["executionId"] for message in told) == sorted(
        one.execution_id for one in await hall.commands.commands(TENANT, batch_id=batch.batch_id)
    )
    assert (batch.counts, batch.device_count) == ({State.QUEUED: 5}, 5)
    again = await hall.commands.send_to_many(TENANT, Selection(group="choir"), ONCE)
    assert again == batch
    with pytest.raises(OtherContentError):
        await hall.commands.send_to_many(TENANT, Selection(zone="north"), ONCE)


async def test_each_kind_of_selection_finds_its_devices(hall: Hall) -> None:
    await hall.add("other", type="pump", zone="south")
    for selection, count in (
        (Selection(group="choir"), 1),
        (Selection(zone="south"), 1),
        (Selection(type="pump"), 1),
        (Selection(query="zone:north,south"), 2),
        (Selection(device_ids=("lamp", "other", "lamp")), 2),
    ):
        assert (await hall.commands.send_to_many(TENANT, selection, NewCommand("blink"))).device_count == count
    with pytest.raises(InvalidCommandError, match="no device in service"):
        await hall.commands.send_to_many(TENANT, Selection(zone="west"), NewCommand("blink"))
    with pytest.raises(UnknownDeviceError):
        await hall.commands.send_to_many(TENANT, Selection(device_ids=("nobody",)), NewCommand("blink"))


async def test_no_more_are_open_than_may_be(database: Database, registry: Registry, clock: FakeClock) -> None:
    hall = Hall(database, registry, clock, open_per_device=1)
    await hall.add("lamp", "other")
    async with hall.commands.running(hall.exchange):
        first = await hall.commands.send(TENANT, "lamp", NewCommand("blink"))
        with pytest.raises(TooManyCommandsError):
            await hall.commands.send(TENANT, "lamp", NewCommand("blink"))
        batch = await hall.commands.send_to_many(TENANT, Selection(device_ids=("lamp", "other")), NewCommand("blink"))
        assert batch.counts == {State.QUEUED: 1, State.CANCELLED: 1}
        [beyond] = await hall.commands.commands(TENANT, batch_id=batch.batch_id, states=(State.CANCELLED,))
        assert (beyond.device_id, beyond.reason_code, beyond.ended_at) == ("lamp", check.TOO_MANY, clock.now)
        await hall.commands.cancel(TENANT, first.execution_id)
        await hall.commands.send(TENANT, "lamp", NewCommand("blink"))


async def test_nothing_is_sent_to_a_device_that_takes_no_part(hall: Hall) -> None:
    await hall.registry.set_state(TENANT, "lamp", DeviceState.SUSPENDED)
    with pytest.raises(DeviceGoneError):
        await hall.commands.send(TENANT, "lamp", NewCommand("blink"))
    with pytest.raises(UnknownDeviceError):
        await hall.commands.send(TENANT, "nobody", NewCommand("blink"))


async def test_parameters_are_as_the_type_describes_them(hall: Hall) -> None:
    with pytest.raises(InvalidCommandError, match="not described"):
        await hall.commands.send(TENANT, "lamp", NewCommand("blink", parameters={}))
    kind = CommandType("blink", parameters=(Parameter("colour", default="red"),), may_repeat=True)
    await hall.commands.catalogue.put(TENANT, "light", kind)
    sent = await hall.commands.send(TENANT, "lamp", NewCommand("blink", parameters={}))
    assert (sent.payload, sent.may_repeat) == (b'{"colour":"red"}', True)
    with pytest.raises(InvalidCommandError, match="a string"):
        await hall.commands.send(TENANT, "lamp", NewCommand("blink", parameters={"colour": 7}))


async def test_who_sent_and_took_back_what_is_in_the_audit_log_without_the_payload(hall: Hall) -> None:
    with acting_as("user maria"):
        sent = await hall.commands.send(TENANT, "lamp", NewCommand("blink", b'{"secret": 1}'))
        assert sent.author == "user maria"
        await hall.commands.cancel(TENANT, sent.execution_id)
        batch = await hall.commands.send_to_many(TENANT, Selection(zone="north"), NewCommand("blink"))
        await hall.commands.cancel_batch(TENANT, batch.batch_id)
    entries = await hall.registry.audit.entries(TENANT, limit=4)
    assert [(one.action, one.subject, one.actor) for one in entries] == [
        ("command.cancel_many", "zone: north", "user maria"),
        ("command.send_to_many", "zone: north", "user maria"),
        ("command.cancel", "lamp", "user maria"),
        ("command.send", "lamp", "user maria"),
    ]
    assert "secret" not in "".join(one.details for one in entries)


async def test_while_an_order_to_many_goes_out_clients_are_listened_to_less(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []

    @contextlib.contextmanager
    def read_less(longest_s: float) -> Iterator[None]:
        assert longest_s == LONGEST_HURRY_S
        heard.append("less")
        yield
        heard.append("as usual")

    await hall.add("bell", groups=("choir",))
    line = hall.connect("bell")
    hall.commands.read_less(read_less)
    await hall.commands.send_to_many(TENANT, Selection(group="choir"), NewCommand("blink"))
    assert heard == [], "what few are told is over at once"
    monkeypatch.setattr(service, "HURRIED_FROM", 1)
    await hall.commands.send_to_many(TENANT, Selection(group="choir"), NewCommand("blink"))
    assert heard == ["less", "as usual"]
    assert len(line.written) == 2
