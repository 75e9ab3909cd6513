"""What is done for clients that are not there themselves."""

import asyncio
from collections.abc import Callable

import pytest

from broker.changes import SessionGone
from broker.errors import ProtocolError
from broker.message import Message
from broker.packets import V5, Disconnect, Puback, Publish, Will
from broker.ports import Allowed, Credentials, Decision, Denied, Pending, Principal
from broker.reason_codes import ReasonCode
from tests.broker.stage import KEPT, Hearing, payloads, staged, turn
from tests.broker.stored import FakeStore

PUMP = Principal(1, "pump")
WILL = Will("gone", b"bye", 1, retain=False)


def said(topic: str = "t", qos: int = 1, *, retain: bool = False) -> Message:
    return Message(1, "pump", "pump", topic, b"x", qos, retain, 1_000_000)


class Told:
    """What whoever submitted something has heard."""

    def __init__(self) -> None:
        self.heard: list[Denied | None] = []

    def __call__(self, denied: Denied | None) -> None:
        self.heard.append(denied)


class TestSubmitting:
    async def test_it_goes_to_the_owner_and_to_subscribers_and_is_told_once_it_is_on_disk(self) -> None:
        async with staged() as stage:
            line = await stage.line("listener")
            await line.subscribe("t")
            stage.owner.holds_back = True
            told = Told()
            stage.broker.proxy.submit(said(), told)
            assert payloads(await line.heard()) == [b"x"]
            assert (stage.owner.messages, told.heard) == ([said()], [])
            stage.owner.holds_back = False
            stage.owner.release()
            assert told.heard == [None]

    async def test_of_qos_0_it_is_told_once_it_was_taken(self) -> None:
        async with staged() as stage:
            stage.owner.holds_back = True
            told = Told()
            stage.broker.proxy.submit(said(qos=0), told)
            assert told.heard == [None]

    async def test_what_is_acknowledged_at_once_is_told_at_once(self) -> None:
        async with staged() as stage:
            stage.owner.holds_back = True
            stage.broker.exchange.now_filters = ("t",)
            told = Told()
            stage.broker.proxy.submit(said(), told)
            assert told.heard == [None]

    async def test_what_may_not_be_published_or_retained_goes_nowhere_and_the_owner_hears_why(self) -> None:
        async with staged() as stage:
            stage.authorizer.denied_topics.add("secret")
            stage.authorizer.unretainable_topics.add("t")
            told = Told()
            stage.broker.proxy.submit(said("secret"), told)
            stage.broker.proxy.submit(said(retain=True), told)
            await turn()
            assert [denied is not None for denied in told.heard] == [True, True]
            assert stage.owner.messages == []
            assert list(stage.broker.retained(1, "#")) == []
            assert [(each.kind, each.client_id) for each in stage.owner.refused] == [("publish_denied", "pump")] * 2

    async def test_a_name_that_no_client_may_use_is_refused(self) -> None:
        async with staged() as stage:
            for topic in ("", "a/+", "x" * 2_000):
                with pytest.raises(ProtocolError):
                    stage.broker.proxy.submit(said(topic), Told())

    async def test_an_authoriser_that_thinks_is_waited_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async with staged() as stage:
            asked: list[object] = []
            monkeypatch.setattr(stage.authorizer, "may_publish", lambda _, __: Pending(asked.append))
            told = Told()
            stage.broker.proxy.submit(said(), told)
            assert (stage.owner.messages, told.heard) == ([], [])
            [hear] = asked
            hear(Allowed())  # type: ignore[operator]
            await turn()
            assert (stage.owner.messages, told.heard) == ([said()], [None])


class TestHanding:
    @pytest.mark.parametrize("qos", [0, 1])
    async def test_one_client_has_it_whatever_it_has_subscribed_to_and_nobody_else(self, qos: int) -> None:
        async with staged() as stage:
            line, other = await stage.line("fan"), await stage.line("other")
            await line.subscribe("t", qos=0)
            await other.subscribe("#")
            session = stage.broker.proxy.session(1, "fan")
            assert session is not None
            hearing = Hearing()
            stage.broker.proxy.hand(said(qos=qos), session, hearing)
            packet = await line.expect(Publish)
            assert (packet.topic, packet.qos) == ("t", qos)
            assert hearing.heard == ["written fan", *([] if qos else ["unanswerable fan"])]
            await line.send(*[Puback(packet.packet_id)] * qos)
            assert hearing.heard == ["written fan", "acknowledged fan" if qos else "unanswerable fan"]
            assert (payloads(await other.heard()), stage.owner.messages) == ([], [])

    async def test_what_its_connection_does_not_take_is_said(self) -> None:
        async with staged() as stage:
            line = await stage.line("fan")
            session = stage.broker.proxy.session(1, "fan")
            assert session is not None
            line.vanish()
            hearing = Hearing()
            stage.broker.proxy.hand(said(qos=0), session, hearing)
            assert hearing.heard == ["untaken"]
            assert stage.broker.proxy.session(1, "nobody") is None


class TestRights:
    async def test_what_is_refused_to_whoever_is_not_there_is_counted_and_the_owner_hears_it(self) -> None:
        async with staged() as stage:
            stage.broker.proxy.note_refused(PUMP, "publish_denied", "t: why")
            [refused] = stage.owner.refused
            assert (refused.principal, refused.client_id, refused.kind, refused.reason, refused.at) == (
                "pump",
                "pump",
                "publish_denied",
                "t: why",
                stage.now,
            )
            assert stage.broker.refusals["publish_denied"] == 1

    async def test_whoever_is_not_there_may_what_it_might_if_it_were(self) -> None:
        async with staged() as stage:
            stage.authorizer.denied_topics.add("secret")
            stage.authorizer.denied_filters.add("hidden")
            stage.authorizer.unreceivable_topics.add("kept")
            told = Told()
            for topic in ("secret", "open"):
                stage.broker.proxy.may_publish(PUMP, topic, told)
            for topic in ("hidden", "kept", "open"):
                stage.broker.proxy.may_hear(PUMP, topic, told)
            for topic in ("hidden", "kept", "open"):
                stage.broker.proxy.may_be_sent(PUMP, topic, told)
            assert [denied is None for denied in told.heard] == [False, True, False, False, True, True, False, True]

    @pytest.mark.parametrize("is_slow", [False, True])
    async def test_whoever_is_not_let_in_is_told_why(self, monkeypatch: pytest.MonkeyPatch, *, is_slow: bool) -> None:
        async with staged() as stage:
            stage.authorizer.denied_clients.add("fan")
            at_once = stage.authorizer.authenticate

            def later(credentials: Credentials) -> Pending:
                word = at_once(credentials)
                assert not isinstance(word, Pending)

                def tell(hear: Callable[[Principal | Allowed | Denied], None]) -> None:
                    asyncio.get_running_loop().call_soon(hear, word)

                return Pending(tell)

            if is_slow:
                monkeypatch.setattr(stage.authorizer, "authenticate", later)
            told = Told()
            for client_id in ("pump", "fan"):
                stage.broker.proxy.admit(Credentials(client_id, None, None, b"", "", "https"), told)
            await turn()
            assert [denied is None for denied in told.heard] == [True, False]

    async def test_an_answer_that_takes_time_or_fails_is_never_a_yes_before_it_is_one(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with staged() as stage:
            asked: list[object] = []

            def fail(_: Principal, __: str) -> Decision:
                raise RuntimeError

            monkeypatch.setattr(stage.authorizer, "may_subscribe", lambda _, __: Pending(asked.append))
            told = Told()
            stage.broker.proxy.may_hear(PUMP, "a", told)
            assert told.heard == []
            asked[0](Denied("no"))  # type: ignore[operator]
            monkeypatch.setattr(stage.authorizer, "may_subscribe", fail)
            stage.broker.proxy.may_hear(PUMP, "a", told)
            assert [denied is None for denied in told.heard] == [False, False]


class TestHangingUp:
    @pytest.mark.parametrize("leaves_will", [True, False])
    async def test_a_connection_ends_and_its_session_stays(self, leaves_will: bool) -> None:
        async with staged() as stage:
            listener = await stage.line("listener")
            await listener.subscribe("gone")
            line = await stage.line("pump", clean_start=False, will=WILL, level=V5, properties=KEPT)
            [session] = stage.broker.sessions(1, "pump")
            stage.broker.proxy.hang_up(session, "it asked for it", is_clean=False, leaves_will=leaves_will)
            goodbye = await line.expect(Disconnect)
            assert goodbye.code == ReasonCode.ADMINISTRATIVE_ACTION
            assert payloads(await listener.heard()) == [b"bye"] * leaves_will
            connack, _ = await stage.back("pump")
            assert connack.session_present

    async def test_a_clean_end_ends_the_session_on_disk_too(self) -> None:
        async with staged() as stage:
            line = await stage.line("pump", clean_start=False, will=WILL, level=V5, properties=KEPT)
            [session] = stage.broker.sessions(1, "pump")
            stage.broker.proxy.hang_up(session, "it asked for it", is_clean=True, leaves_will=True)
            await line.heard()
            assert [message.payload for message in stage.owner.messages] == [b"bye"]
            store = FakeStore()
            for each in stage.owner.turns:
                store.commit(each)
            assert list(store.sessions()) == []
            connack, _ = await stage.back("pump")
            assert not connack.session_present

    async def test_a_session_that_is_away_can_be_ended_too(self) -> None:
        async with staged() as stage:
            line = await stage.kept("pump", "t")
            line.vanish()
            [session] = stage.broker.sessions(1, "pump")
            stage.broker.proxy.hang_up(session, "it asked for it", is_clean=True, leaves_will=True)
            await turn()
            assert list(stage.broker.sessions(1, "pump")) == []
            assert isinstance(stage.owner.kept["session", session.number, ""], SessionGone)
            stage.broker.publish(stage.say("t", b"late", 1))

    async def test_a_message_after_it_comes_to_nobody(self) -> None:
        async with staged() as stage:
            line = await stage.line("pump")
            await line.subscribe("t")
            [session] = stage.broker.sessions(1, "pump")
            stage.broker.proxy.hang_up(session, "it asked for it", is_clean=True, leaves_will=False)
            stage.broker.publish(stage.say("t", b"late", 1))
            assert not any(isinstance(packet, Publish) for packet in await line.heard())
