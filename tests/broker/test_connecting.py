"""CONNECT: who is let in, with which session, what becomes of the one before, and what CONNACK says."""

import pytest

from broker.changes import SessionGone
from broker.limits import Limits
from broker.packets import (
    V4,
    V5,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Properties,
    Puback,
    Publish,
    ReturnCode,
    Suback,
    Subscribe,
    Subscription,
    Will,
)
from broker.ports import ALLOWED, Connected, Denied, Disconnected, Pending, Principal
from broker.reason_codes import ReasonCode
from tests.broker.house import serving
from tests.broker.stage import KEPT, LONG_S, Line, Stage, kinds, payloads, staged, turn
from tests.broker.stored import FakeStore

WILL = Will("gone", b"c", 1, retain=False)


def asks(client_id: str = "c", level: int = V4, *, clean_start: bool = True, **rest: object) -> Connect:
    return Connect(level, client_id, clean_start, 0, **rest)  # type: ignore[arg-type]  # by name


async def refused(stage: Stage, connect: Connect) -> Connack:
    """The CONNACK of a client that is not let in."""
    line = stage.knock(connect.protocol_level)
    (answer,) = await line.send(connect)
    assert isinstance(answer, Connack)
    assert line.closed_for is not None
    return answer


class TestWho:
    async def test_who_may_not_is_told_and_the_owner_hears_why(self) -> None:
        async with staged() as stage:
            stage.authorizer.denied_clients.add("stranger")
            assert await refused(stage, asks("stranger")) == Connack(False, ReturnCode.NOT_AUTHORIZED)
            answer = await refused(stage, asks("stranger", V5))
            assert (answer.code, answer.properties.reason_string) == (0x87, "this client is not known")
            first, _ = stage.owner.refused
            assert (first.kind, first.client_id) == ("connect_denied", "stranger")

    async def test_the_owner_hears_whom_it_would_have_been_where_that_is_known(self) -> None:
        async with staged() as stage:
            answers = {"known": Denied("it was revoked", of=Principal(7, "pump")), "stranger": Denied("it is nobody")}
            stage.authorizer.authenticate = lambda shown: answers[shown.client_id]  # type: ignore[method-assign,assignment]  # a fake
            for client_id in answers:
                await refused(stage, asks(client_id))
            told = [(each.tenant_id, each.principal, each.client_id) for each in stage.owner.refused]
            assert told == [(7, "pump", "known"), (0, "", "stranger")]

    async def test_an_authoriser_that_fails_lets_nobody_in(self) -> None:
        async with staged() as stage:

            def fail(*_: object) -> Principal | Denied:
                raise RuntimeError("the list of devices cannot be read")

            stage.authorizer.authenticate = fail  # type: ignore[assignment]  # a fake
            assert await refused(stage, asks()) == Connack(False, ReturnCode.NOT_AUTHORIZED)

    async def test_what_a_client_shows_is_shown_to_the_authoriser(self) -> None:
        async with staged() as stage:
            line = stage.knock(V5, transport="websocket", certificate=b"DER")
            await line.send(asks("c", V5, username="u", password=b"p"))
            (shown,) = stage.authorizer.shown
            assert (shown.client_id, shown.username, shown.password) == ("c", "u", b"p")
            assert (shown.certificate, shown.transport, shown.address) == (b"DER", "websocket", "127.0.0.9:5")

    @pytest.mark.parametrize(("certificate", "username"), [(b"DER", None), (None, "?SDK=Python")])
    async def test_what_the_clients_of_aws_call_a_username_is_none_beside_a_certificate(
        self, certificate: bytes | None, username: str | None
    ) -> None:
        async with staged() as stage:
            await stage.knock(certificate=certificate).send(asks("c", username="?SDK=Python"))
            assert stage.authorizer.shown[0].username == username

    async def test_of_whom_it_is_known_that_is_not_asked_again(self) -> None:
        async with staged() as stage:
            line = stage.knock(principal=Principal(1, "somebody", is_operator=True))
            assert kinds(await line.send(asks())) == [Connack]
            assert stage.authorizer.shown == []

    async def test_the_session_of_another_is_not_to_be_had_whether_it_is_there_or_away(self) -> None:
        async with staged() as stage:
            line = await stage.kept("c")
            thief = asks("c", clean_start=True, username="thief")
            assert (await refused(stage, thief)).code == ReturnCode.NOT_AUTHORIZED
            assert line.closed_for is None
            line.vanish()
            assert (await refused(stage, thief)).code == ReturnCode.NOT_AUTHORIZED
            assert (await stage.back("c"))[0].session_present

    async def test_tenants_share_neither_topics_nor_identifiers(self) -> None:
        async with staged() as stage:
            first = await stage.line("c")
            await first.subscribe("#")
            stage.authorizer.tenants["c"] = 2
            second = await stage.line("c")
            await second.send(Publish("t", b"2", retain=True))
            assert await first.heard() == []
            assert first.closed_for is None
            assert await first.subscribe("t") == (2,)


class TestWhat:
    """What is refused whoever asks for it, and how each version says so."""

    @pytest.mark.parametrize(
        ("connect", "code"),
        [
            (asks("", V4, clean_start=False), ReturnCode.IDENTIFIER_REJECTED),
            (asks("x" * 300), ReturnCode.IDENTIFIER_REJECTED),
            (asks("x" * 300, V5), ReasonCode.CLIENT_IDENTIFIER_NOT_VALID),
            (asks("c", V5, properties=Properties(authentication_method="X")), ReasonCode.BAD_AUTHENTICATION_METHOD),
        ],
    )
    async def test_it_is_refused(self, connect: Connect, code: int) -> None:
        async with staged() as stage:
            assert (await refused(stage, connect)).code == code

    async def test_a_version_that_nobody_speaks_is_named(self) -> None:
        async with staged() as stage:
            line = stage.knock()
            packet = bytes.fromhex("10 0d 0004 4d515454 63 02 0000 0001 63")
            assert await line.send(packet) == [Connack(False, ReturnCode.UNACCEPTABLE_PROTOCOL_VERSION)]

    async def test_a_will_must_be_a_message_that_could_be_published(self) -> None:
        async with staged() as stage:
            for will in (Will("/" * 50, b"", 0, retain=False),):
                answer = await refused(stage, asks("c", V5, will=will))
                assert answer.code == ReasonCode.TOPIC_NAME_INVALID
            wrong = Will("t", b"", 0, retain=False, properties=Properties(response_topic="a/+"))
            assert (await refused(stage, asks("c", V5, will=wrong))).code == ReasonCode.PROTOCOL_ERROR
            stage.authorizer.denied_topics.add("gone")
            assert (await refused(stage, asks("c", will=WILL))).code == ReturnCode.NOT_AUTHORIZED

    async def test_a_will_that_may_not_be_retained_is_refused(self) -> None:
        async with staged() as stage:
            stage.authorizer.unretainable_topics.add("gone")
            kept = Will("gone", b"c", 1, retain=True)
            assert (await refused(stage, asks("c", will=kept))).code == ReturnCode.NOT_AUTHORIZED
            line = stage.knock()
            assert await line.send(asks("c", will=WILL)) == [Connack(False, 0)]

    async def test_who_is_refused_leaves_nothing_behind(self) -> None:
        async with staged() as stage:
            stage.authorizer.denied_topics.add("gone")
            for connect in (asks("c", will=WILL), asks("c", V5, properties=Properties(maximum_packet_bytes=4))):
                await stage.knock(connect.protocol_level).send(connect)
            assert list(stage.broker.sessions(1)) == []
            assert stage.owner.kept == {}
            assert stage.broker.connection_count == 0

    async def test_who_takes_no_connack_keeps_the_session_that_it_has(self) -> None:
        async with staged() as stage:
            line = await stage.kept("c", "t")
            line.vanish()
            tiny = Properties(maximum_packet_bytes=4, session_expiry_s=0)
            await stage.knock(V5).send(asks("c", V5, clean_start=False, properties=tiny))
            assert (await stage.back("c"))[0].session_present


class TestConnack:
    async def test_it_tells_a_client_of_mqtt_5_what_the_broker_takes_and_gives(self) -> None:
        limits = Limits(keep_alive_s=60, session_expiry_s=100, receive_maximum=7, topic_aliases=3)
        async with staged(limits) as stage:
            connect = Connect(V5, "", clean_start=True, keep_alive_s=0, properties=Properties(session_expiry_s=1_000))
            (answer,) = await stage.knock(V5).send(connect)
            assert isinstance(answer, Connack)
            told = answer.properties
            assert (told.server_keep_alive_s, told.session_expiry_s, told.receive_maximum) == (60, 100, 7)
            assert (told.topic_alias_maximum, told.maximum_packet_bytes) == (3, limits.packet_bytes)
            (session,) = stage.broker.sessions(1)
            assert told.assigned_client_id == session.client_id

    async def test_a_client_without_a_name_is_given_one_and_keeps_it_while_the_authoriser_thinks(self) -> None:
        async with staged() as stage:
            tell: list[object] = []
            stage.authorizer.may_publish = lambda *_: Pending(tell.append)  # type: ignore[method-assign]  # a fake
            line = stage.knock(V5)
            await line.send(asks("", V5, will=WILL))
            for each in tell:
                each(ALLOWED)  # type: ignore[operator]  # functions, by their port
            (answer,) = await line.heard()
            (session,) = stage.broker.sessions(1)
            assert isinstance(answer, Connack)
            assert answer.properties.assigned_client_id == session.client_id == stage.authorizer.shown[0].client_id

    async def test_it_waits_until_the_session_that_it_ends_is_gone_from_the_disk(self) -> None:
        """A power cut would bring it back, with subscriptions that its client has forgotten."""
        async with staged() as stage:
            await stage.kept("c", "t")
            stage.owner.holds_back = True
            line = stage.knock(V5)
            assert await line.send(asks("c", V5, clean_start=True, properties=KEPT)) == []
            stage.owner.release()
            assert kinds(await line.heard()) == [Connack]

    @pytest.mark.parametrize("way", ["expiry", "surplus", "by hand", "farewell"])
    async def test_it_waits_as_well_for_the_end_of_one_that_ended_just_before(self, way: str) -> None:
        async with staged(Limits(sweep_interval_s=0.01, sessions=1)) as stage:
            stage.owner.holds_back = False
            line = await stage.kept("c")
            await turn()
            stage.owner.holds_back = True
            if way == "by hand":
                stage.broker.end_session(1, "c", "by hand")
            elif way == "farewell":
                await line.send(Disconnect(0, Properties(session_expiry_s=0)))
            else:
                line.vanish()
                stage.now += LONG_S * 1_000 if way == "expiry" else 0
                other = await stage.line("other") if way == "surplus" else None
                await stage.owner.until(lambda owner: SessionGone(1) in owner.kept.values())
                assert other is None or other.closed_for is None
            line = stage.knock(V5)
            assert await line.send(asks("c", V5, clean_start=False, properties=KEPT)) == []
            stage.owner.release()
            assert not (await line.expect(Connack)).session_present
            line.vanish()
            await turn()
            stage.owner.release()
            connack, _ = await stage.back("c")
            assert connack.session_present

    async def test_nothing_comes_before_it_however_much_is_asked_meanwhile(self) -> None:
        async with staged() as stage:
            stage.broker.publish(stage.say("t", b"retained", retain=True))
            await stage.kept("c")
            stage.owner.holds_back = True
            line = stage.knock()
            subscribe = Subscribe(1, (Subscription("t", 0),))
            assert await line.send(asks("c"), Pingreq(), subscribe, Publish("t", b"live")) == []
            assert await line.send(Pingreq()) == []
            stage.owner.release()
            assert kinds(await line.heard()) == [Connack, Pingresp, Suback, Publish, Publish, Pingresp]

    async def test_not_even_a_farewell_does(self) -> None:
        async with staged() as stage:
            await stage.kept("c")
            stage.owner.holds_back = True
            line = stage.knock(V5)
            await line.send(asks("c", V5))
            assert stage.broker.disconnect(1, "c", "the owner said so")
            stage.owner.release()
            assert (await line.heard(), line.closed_for) == ([], "the owner said so")

    async def test_it_does_not_wait_for_anything_else(self) -> None:
        async with staged() as stage:
            stage.owner.holds_back = True
            await stage.kept("c")
            line, connack, _ = await stage.line_back("c")
            assert connack.session_present
            assert line.closed_for is None


class TestTakeOver:
    @pytest.mark.parametrize(("level", "told"), [(V4, []), (V5, [Disconnect])])
    async def test_it_closes_the_older_connection_and_publishes_its_will(
        self, level: int, told: list[type[Packet]]
    ) -> None:
        async with staged() as stage:
            old = await stage.line("c", level=level, will=WILL)
            await stage.line("c")
            assert kinds(await old.heard()) == told
            assert [message.payload for message in stage.owner.messages] == [b"c"]
            assert [each.reason for each in stage.owner.left] == ["another connection took the session over"]
            assert stage.broker.connection_count == 1

    async def test_the_session_lives_on_with_what_was_not_answered(self) -> None:
        async with staged() as stage:
            line = await stage.kept("c", "t")
            for qos in (1, 2):
                stage.broker.publish(stage.say("t", b"%d" % qos, qos))
            first = await line.heard()
            line, connack, again = await stage.line_back("c")
            assert connack.session_present
            assert payloads(first) == payloads(again) == [b"1", b"2"]
            assert all(isinstance(each, Publish) and each.duplicate for each in again)
            assert await line.send(Puback(1)) == []

    async def test_many_in_a_row_leave_one_connection_and_one_session(self) -> None:
        async with staged() as stage:
            for number in range(50):
                line = stage.knock(V4)
                await line.send(asks("c", clean_start=number % 2 == 0))
            assert stage.broker.connection_count == 1
            assert len(list(stage.broker.sessions(1))) == 1
            assert [type(each) for each in stage.owner.events] == [Connected] + [Disconnected, Connected] * 49


class TestSession:
    async def test_a_clean_start_begins_a_new_one(self) -> None:
        async with staged() as stage:
            line = await stage.kept("c", "t")
            line.vanish()
            await stage.line("c", level=V5)
            stage.broker.publish(stage.say("t"))
            assert [list(each.subscriptions) for each in stage.broker.sessions(1)] == [[]]

    async def test_it_is_not_taken_up_after_its_time(self) -> None:
        async with staged() as stage:
            line = await stage.line("c", level=V5, properties=Properties(session_expiry_s=5))
            await line.subscribe("t")
            line.vanish()
            stage.now += 5_000
            connack, _ = await stage.back("c")
            assert not connack.session_present

    async def test_one_that_is_to_be_kept_no_more_is_gone_from_the_disk_and_there_until_it_is_left(self) -> None:
        store = FakeStore()
        async with staged() as stage:
            line = await stage.kept("c", "t")
            line.vanish()
            line = await back_without_keeping(stage)
            for each in stage.owner.turns:
                store.commit(each)
            assert store.sessions() == []
            stage.broker.publish(stage.say("t"))
            assert payloads(await line.heard()) == [b"x"]
            line.vanish()
            assert list(stage.broker.sessions(1)) == []


async def back_without_keeping(stage: Stage) -> Line:
    line = stage.knock(V5)
    (answer,) = await line.send(asks("c", V5, clean_start=False))
    assert isinstance(answer, Connack)
    assert answer.session_present
    return line


async def test_each_connection_has_a_name_of_its_own_and_its_end_says_what_ended_it() -> None:
    async with serving() as house:
        first = await house.client("c")
        second = await house.client("c")
        await first.until_closed()
        await second.send(Disconnect())
        await house.owner.until(lambda owner: len(owner.left) == 2)
        third = await house.client("c")
        third.abort()
        await house.owner.until(lambda owner: len(owner.left) == 3)
        begun = [event.connection for event in house.owner.events if isinstance(event, Connected)]
    assert len(set(begun)) == 3
    assert [event.connection for event in house.owner.left] == begun
    ends = [ReasonCode.SESSION_TAKEN_OVER, ReasonCode.SUCCESS, None]
    assert [event.code for event in house.owner.left] == ends


async def test_a_client_that_is_not_let_in_is_told_apart_from_one_that_may_not_do_something() -> None:
    async with serving() as house:
        house.authorizer.denied_clients.add("stranger")
        house.authorizer.denied_filters.add("t")
        stranger = await house.knock()
        await stranger.connect("stranger")
        known = await house.client("c")
        await known.subscribe(("t", 0))
    assert [(event.client_id, event.at_connect) for event in house.owner.refused] == [("stranger", True), ("c", False)]
