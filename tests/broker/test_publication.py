"""A message as it is published: its own properties, its bytes, and where it went."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.codec import Decoder
from broker.exchange import Exchange
from broker.limits import Limits
from broker.message import Message
from broker.packets import NO_PROPERTIES, V4, V5, Properties, Publish, Will
from broker.permissions import Permissions
from broker.ports import ALLOWED, Allowed, Decision, Denied, Pending, Principal
from broker.publication import Publication, Rendering, delivered_properties, travelling, will_message
from broker.session_table import SessionTable
from tests.broker.parts import Timers, delivery, message, session
from tests.broker.stage import Hearing, Stage, staged
from tests.broker.stage import payloads as payloads_of
from tests.broker.strategies import levels, names, payloads, properties_of
from tests.fakes import FakeAuthorizer, FakeOwner

publish_properties = properties_of(Publish)
own_properties = publish_properties.map(travelling)
identifiers = st.lists(st.integers(1, 100), max_size=3).map(tuple)
OWN = {"payload_format_indicator", "content_type", "response_topic", "correlation_data", "user_properties"}


def exchange() -> Exchange:
    limits, timers = Limits(), Timers()
    permissions = Permissions(FakeAuthorizer(), limits, timers.time, timers.later)
    return Exchange(FakeOwner(), SessionTable(limits), permissions, limits, lambda: 0, lambda call: None)


@given(publish_properties | properties_of(Will))
def test_what_travels_is_the_messages_own(properties: Properties) -> None:
    own = travelling(properties)
    for name in Properties.__struct_fields__:
        expected = getattr(properties if name in OWN else NO_PROPERTIES, name)
        assert getattr(own, name) == expected, name
    assert (own == NO_PROPERTIES) == (own is NO_PROPERTIES), "nothing is the one value that stands for it"
    assert travelling(own) == own


@given(names, payloads, own_properties, levels)
def test_a_message_at_qos_0_reads_as_it_was_published(
    topic: str, payload: bytes, properties: Properties, level: int
) -> None:
    data = Rendering(message(topic, payload, properties=properties)).at_qos_0(level)
    decoder = Decoder(protocol_level=level)
    expected = Publish(topic, payload, properties=properties if level == V5 else NO_PROPERTIES)
    assert decoder.feed(data) == [expected]
    assert decoder.failure is None


@given(names, payloads, own_properties, levels, st.sampled_from((1, 2)), st.booleans(), st.integers(1, 65_535))
def test_a_message_with_an_identifier_reads_as_it_was_published(
    topic: str, payload: bytes, properties: Properties, level: int, qos: int, retain: bool, packet_id: int
) -> None:
    rendering = Rendering(message(topic, payload, properties=properties))
    told = properties if level == V5 else NO_PROPERTIES
    first = 0x30 | qos << 1 | retain
    for number in (packet_id, 65_536 - packet_id):
        data = rendering.with_identifier(level, first, number)
        expected = Publish(topic, payload, qos, retain, packet_id=number, properties=told)
        assert Decoder(protocol_level=level).feed(data) == [expected]


@given(own_properties, st.none() | st.integers(1, 10**6), st.integers(0, 10**6), identifiers, st.none() | st.just(4))
def test_what_is_delivered_says_what_is_left_of_its_time(
    properties: Properties, expires_at: int | None, now: int, identifiers: tuple[int, ...], alias: int | None
) -> None:
    delivered = delivered_properties(message(properties=properties, expires_at=expires_at), now, identifiers, alias)
    left_s = delivered.message_expiry_s
    assert delivered.subscription_identifiers == identifiers
    assert delivered.topic_alias == alias
    assert travelling(delivered) == properties
    if expires_at is None:
        assert left_s is None
    elif expires_at <= now:
        assert left_s == 0
    else:
        assert left_s is not None
        assert left_s * 1_000 >= expires_at - now > (left_s - 1) * 1_000, "rounded up"


def test_what_has_nothing_added_is_delivered_with_the_very_same_properties() -> None:
    properties = Properties(content_type="text/plain")
    assert delivered_properties(message(properties=properties), 0, (), None) is properties


@given(payloads, properties_of(Will), st.integers(0, 10**12), st.integers(0, 2), st.booleans())
def test_a_will_becomes_a_message_of_its_client(
    payload: bytes, properties: Properties, now: int, qos: int, retain: bool
) -> None:
    made = will_message(Will("w", payload, qos, retain, properties), session("sensor"), now)
    expiry_s = properties.message_expiry_s
    expires_at = None if expiry_s is None else now + expiry_s * 1_000
    assert made == Message(1, "sensor", "sensor", "w", payload, qos, retain, now, travelling(properties), expires_at)


def test_a_publication_knows_whether_anybody_took_it() -> None:
    publication, notes = Publication(exchange()), Hearing()
    assert not publication.is_taken
    publication.was_written(session("a"), notes)
    assert publication.is_taken
    assert notes.heard == ["written a", "unanswerable a"]
    publication.was_written(session("b"), None)
    assert notes.heard == ["written a", "unanswerable a"]


def test_a_publication_is_withdrawn_from_those_to_whom_it_was_not_sent() -> None:
    publication = Publication(exchange())
    here, away, done = session("here", is_connected=True), session("away"), session("done")
    deliveries = [delivery(number) for number in (1, 2, 3)]
    for receiver, each in zip((here, away, done), deliveries, strict=True):
        receiver.deliveries.push(each)
        publication.was_taken(receiver, each)
    done.deliveries.clear()
    assert publication.is_taken
    assert publication.withdraw() == 1
    assert (len(here.deliveries), len(away.deliveries)) == (1, 0)
    assert publication.withdraw() == 0, "it is taken back once"


def test_the_first_byte_of_a_message_at_qos_0_has_no_flag() -> None:
    assert Rendering(message("t", b"x", retain=True)).at_qos_0(V4)[0] == 0x30


Thoughts = list[Callable[[Principal | Allowed | Denied], None]]


def thinking(stage: Stage) -> Thoughts:
    """Have the authoriser think about what may be received, until it is told what it thinks."""
    thoughts: Thoughts = []

    def may_receive(_principal: Principal, _topic: str) -> Decision:
        return Pending(thoughts.append)

    stage.authorizer.may_receive = may_receive  # type: ignore[method-assign, assignment]
    return thoughts


@pytest.mark.parametrize("qos", [0, 1])
async def test_what_becomes_of_a_message_is_heard_when_the_authoriser_has_thought(qos: int) -> None:
    async with staged() as stage:
        line, hearing = await stage.line("c"), Hearing()
        await line.subscribe("t")
        thoughts = thinking(stage)
        publication = stage.broker.answer(stage.say("t", qos=qos), "c", hearing)
        assert publication is not None
        assert (publication.is_taken, hearing.heard) == (True, [])
        thoughts.pop()(ALLOWED)
        assert payloads_of(await line.heard()) == [b"x"]
        assert hearing.heard == ["written c", *([] if qos else ["unanswerable c"])]
        assert publication.withdraw() == 0


async def test_nobody_took_what_the_authoriser_denies_after_a_thought() -> None:
    async with staged() as stage:
        line, hearing = await stage.line("c"), Hearing()
        await line.subscribe("t")
        thoughts = thinking(stage)
        publication = stage.broker.answer(stage.say("t", qos=1), "c", hearing)
        thoughts.pop()(Denied("no"))
        assert payloads_of(await line.heard()) == []
        assert publication is not None
        assert (hearing.heard, publication.is_taken) == (["untaken"], False)


async def test_what_was_taken_back_while_it_was_thought_about_reaches_nobody() -> None:
    async with staged() as stage:
        line, hearing = await stage.kept("c", "t"), Hearing()
        thoughts = thinking(stage)
        publication = stage.broker.answer(stage.say("t", qos=1), "c", hearing)
        assert publication is not None
        stage.broker.answer(stage.say("t", b"next", qos=1), "c")
        assert (publication.withdraw(), publication.withdraw()) == (1, 0)
        thoughts.pop()(ALLOWED)
        while thoughts:
            thoughts.pop()(ALLOWED)
        assert payloads_of(await line.heard()) == [b"next"]
        assert hearing.heard == []
