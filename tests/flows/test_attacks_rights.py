"""Attacks on rights: what may not be said or heard stays unsaid and unheard, also later and on other ways.

The numbers are those of the table in docs/reference/attacks.md.
"""

from collections.abc import AsyncIterator

import pytest

from appliance.registry.model import InvalidDeviceIdError, check_device_id
from broker.message import Message
from broker.packets import (
    Connack,
    Pingreq,
    Pingresp,
    Puback,
    Publish,
    ReturnCode,
    Subscribe,
    Subscription,
    Will,
)
from broker.ports import ALLOWED, Decision, Principal
from tests.broker.house import House
from tests.flows.attacks import PolicyAuthorizer, besieged, hello, published

WILDCARD_NAMES = ["#", "+", "a/b", "+/a", "$SYS", "a\u0000b", "", "a" * 300]


@pytest.fixture
async def house() -> AsyncIterator[House]:
    """A broker with the policy of the gateway; `operator` operates it."""
    async with besieged() as house:
        rights = PolicyAuthorizer()
        rights.operators |= {"operator", "witness"}
        rights.lend_to(house.authorizer)
        yield house


@pytest.mark.parametrize("topic", ["$foo/x", "$SYS/broker/version", "$SYS/broker/clients/connected", "$"])
@pytest.mark.parametrize("client_id", ["device", "operator"])
async def test_b_11_nobody_publishes_what_begins_with_a_dollar(house: House, topic: str, client_id: str) -> None:
    wire = await house.client(client_id)
    await wire.send(Publish(topic, b"forged", 1, retain=True, packet_id=1))
    assert await wire.until_closed() == []
    assert [refused.kind for refused in house.owner.refused] == ["not_authorized"]
    assert house.owner.messages == []
    assert [message.payload for message in house.broker.retained(1, topic)] != [b"forged"]


async def test_b_12_a_wildcard_shows_nothing_that_begins_with_a_dollar(house: House) -> None:
    wire = await house.client("operator")
    assert await wire.subscribe(("#", 0), ("+/broker/#", 0)) == (0, 0)
    house.broker.publish(Message(1, "", "", "$SYS/broker/x", b"secret", 0, True, 1_000))
    await wire.ping()


async def test_b_12_a_device_is_not_granted_what_is_for_operators(house: House) -> None:
    wire = await house.client("device")
    assert await wire.subscribe(("$SYS/#", 0), ("#", 0), ("$share/g/#", 0), ("$share/g/$SYS/#", 0)) == (0x80,) * 4


@pytest.mark.parametrize("name", WILDCARD_NAMES)
def test_b_19_no_device_has_a_name_that_means_something_in_a_topic(name: str) -> None:
    """The registry admits only its own devices, so nobody can be known by such a name."""
    with pytest.raises(InvalidDeviceIdError):
        check_device_id(name)


@pytest.mark.parametrize("name", ["#", "+", "a/b"])
async def test_b_19_a_client_with_such_a_name_may_do_nothing(house: House, name: str) -> None:
    wire = await house.client(name)
    assert await wire.subscribe(("cmd/victim/#", 0), ("cmd/+/x", 0)) == (0x80, 0x80)
    await wire.send(Publish("sensors/victim/telemetry", b"forged", 1, packet_id=1))
    assert await wire.until_closed() == []
    assert house.owner.messages == []


async def test_b_20_what_was_retained_is_not_shown_when_its_publisher_has_lost_the_right() -> None:
    async with besieged() as house:
        publisher = await house.client("publisher")
        await publisher.publish("t", b"stale", retain=True)
        house.authorizer.denied_topics.add("t")
        await house.broker.review(1)
        late = await house.client("late")
        await late.subscribe(("t", 1))
        await late.ping()
        house.broker.exchange.retained_source_is_checked = False
        await late.send(Subscribe(1, (Subscription("t", 1),)), Pingreq())
        assert [each.payload for each in published(await late.until(Pingresp))] == [b"stale"]


@pytest.mark.parametrize("is_away", [False, True], ids=["there", "away"])
async def test_b_21_a_session_that_is_kept_gets_nothing_when_its_right_is_lost(*, is_away: bool) -> None:
    async with besieged() as house:
        wire = await house.client("c", clean_start=False)
        await wire.subscribe(("t", 1))
        if is_away:
            wire.abort()
            await house.owner.until(lambda owner: bool(owner.left))
            house.broker.publish(Message(1, "", "", "t", b"queued", 1, False, 1_000))
        house.authorizer.denied_filters.add("t")
        house.authorizer.unreceivable_topics.add("t")
        await house.broker.review(1)
        house.broker.publish(Message(1, "", "", "t", b"late", 1, False, 1_000))
        again = await house.knock()
        assert await again.connect("c", clean_start=False) == Connack(True, ReturnCode.ACCEPTED)
        await again.ping()
        assert [list(session.subscriptions) for session in house.broker.sessions(1)] == [[]]


async def test_b_22_what_a_wider_filter_covers_and_a_rule_denies_is_never_delivered_on_any_way() -> None:
    async with besieged() as house:
        house.authorizer.unreceivable_topics.add("a/secret")
        house.broker.publish(Message(1, "", "", "a/secret", b"retained", 1, True, 1_000))
        wire = await house.client("c", clean_start=False)
        await wire.subscribe(("a/#", 1))
        sharer = await house.client("sharer")
        await sharer.subscribe(("$share/g/a/#", 1))
        publisher = await house.client("publisher")
        for qos in (0, 1):
            await publisher.publish("a/secret", b"live", qos, retain=True)
        await wire.ping()
        await sharer.ping()
        wire.abort()
        await house.owner.until(lambda owner: bool(owner.left))
        await publisher.publish("a/secret", b"queued", 1)
        await publisher.publish("a/open", b"queued", 1)
        again = await house.knock()
        await again.connect("c", clean_start=False)
        assert (await again.expect(Publish)).topic == "a/open"
        await again.send(Puback(1))
        await again.ping()


async def test_b_31_a_will_is_checked_when_it_is_left_and_again_when_it_is_published() -> None:
    async with besieged() as house:
        wire = await house.client("c", will=Will("t", b"", 0, retain=False))
        house.authorizer.denied_topics.add("t")
        wire.abort()
        await house.owner.until(lambda owner: bool(owner.left))
        assert house.owner.messages == []


@pytest.mark.parametrize("action", ["authenticate", "may_publish", "may_subscribe", "may_receive"])
async def test_b_32_an_authoriser_that_fails_denies(action: str) -> None:
    async with besieged() as house:
        wire = await house.client("c", clean_start=False)
        await wire.subscribe(("t", 0))

        def fail(*_: object) -> Decision:
            raise RuntimeError("the rules cannot be read")

        before = getattr(house.authorizer, action)
        setattr(house.authorizer, action, fail)
        newcomer = await house.knock()
        await newcomer.send(hello("newcomer"))
        connack = await newcomer.expect(Connack)
        assert (connack.code != 0) == (action == "authenticate")
        if action == "may_subscribe":
            assert await wire.subscribe(("u", 0)) == (0x80,)
        elif action == "may_publish":
            await wire.send(Publish("t", b"forged", 1, packet_id=1))
            assert await wire.until_closed() == []
        elif action == "may_receive":
            house.broker.publish(Message(1, "", "", "t", b"x", 0, False, 1_000))
            await wire.ping()
        setattr(house.authorizer, action, before)
        assert [message.payload for message in house.owner.messages] == []


async def test_b_32_what_no_rule_matches_is_denied(house: House) -> None:
    wire = await house.client("device")
    assert await wire.subscribe(("nothing/says/so", 0)) == (0x80,)
    await wire.send(Publish("nothing/says/so", b"x", 1, packet_id=1))
    assert await wire.until_closed() == []


async def test_b_32_an_answer_that_is_none_denies() -> None:
    async with besieged() as house:

        def shrug(_: Principal, __: str) -> Decision:
            return None  # type: ignore[return-value]  # what a careless plugin does

        house.authorizer.may_subscribe = shrug  # type: ignore[method-assign,assignment]  # a fake
        wire = await house.client("c")
        assert await wire.subscribe(("t", 0)) == (0x80,)
        house.authorizer.may_subscribe = lambda *_: ALLOWED  # type: ignore[method-assign]  # a fake
