"""What time brings: silence ends connections, sessions and wills fall due, and the broker says how it is."""

import pytest

from broker.changes import SessionGone
from broker.exchange import NOTED_BYTES
from broker.limits import Limits
from broker.packets import V5, Connect, Disconnect, Pingreq, Pingresp, Properties, Publish, Will
from broker.ports import ALLOWED, Decision, Denied
from broker.reason_codes import ReasonCode
from tests.broker.stage import KEPT, Line, Stage, payloads, staged, turn
from tests.broker.stored import FakeStore


def will(delay_s: int | None = None) -> Will:
    return Will("gone", b"late" if delay_s else b"now", 1, retain=False, properties=Properties(will_delay_s=delay_s))


async def leave_with_will(stage: Stage, delay_s: int, expiry_s: int) -> Line:
    line = await stage.line("c", level=V5, will=will(delay_s), properties=Properties(session_expiry_s=expiry_s))
    line.vanish()
    await turn()
    return line


def said(stage: Stage) -> list[bytes]:
    return [message.payload for message in stage.owner.messages]


async def swept(stage: Stage) -> None:
    """Wait until the sweep has passed once: it ends somebody who was silent for too long."""
    count = len(stage.owner.refused)
    stage.fall_silent(await stage.line(f"silent-{count}", keep_alive_s=1), 1_000)
    await stage.owner.until(lambda owner: len(owner.refused) > count)
    await turn()


class TestSilence:
    @pytest.mark.parametrize(("silent_s", "is_ended"), [(14.0, False), (16.0, True)])
    async def test_one_and_a_half_times_the_keep_alive_is_too_much(self, silent_s: float, is_ended: bool) -> None:
        async with staged() as stage:
            line = await stage.line("c", keep_alive_s=10, will=will())
            stage.fall_silent(line, silent_s)
            await swept(stage)
            assert (line.closed_for is not None) == is_ended
            assert said(stage) == [b"now"] * is_ended

    async def test_a_client_of_mqtt_5_is_told(self) -> None:
        async with staged() as stage:
            line = await stage.line("c", keep_alive_s=10, level=V5)
            stage.fall_silent(line, 100)
            await swept(stage)
            (farewell,) = await line.heard()
            assert isinstance(farewell, Disconnect)
            assert farewell.code == ReasonCode.KEEP_ALIVE_TIMEOUT

    async def test_without_a_keep_alive_it_may_last(self) -> None:
        async with staged() as stage:
            line = await stage.line("c")
            stage.fall_silent(line, 1_000_000)
            await swept(stage)
            assert line.closed_for is None

    async def test_who_never_connects_is_let_go(self) -> None:
        async with staged(Limits(connect_timeout_s=5, sweep_interval_s=0.01)) as stage:
            line, patient = stage.knock(), stage.knock()
            line.stream.feed(b"\x10")
            stage.fall_silent(line, 6)
            stage.fall_silent(patient, 4)
            await stage.owner.until(lambda owner: bool(owner.refused))
            assert line.closed_for == "no CONNECT within 5 s"
            assert patient.closed_for is None

    async def test_nobody_is_called_silent_while_nobody_is_heard_nor_just_afterwards(self) -> None:
        async with staged() as stage:
            line = await stage.line("c", keep_alive_s=1)
            stage.broker.pause_reading()
            stage.fall_silent(line, 1_000)
            stage.broker.resume_reading()
            await swept(stage)
            assert await line.send(Pingreq()) == [Pingresp()]


class TestRelief:
    """What all clients together do not take is bounded: those go who have the most to take."""

    @pytest.mark.parametrize(
        ("sizes", "ended"),
        [
            ((4_000, 3_000, 3_000), set()),
            ((4_001, 3_000, 3_000), {0}),
            ((3_000, 9_000, 7_000), {1}),
            ((3_000, 9_000, 7_001), {1, 2}),
            ((NOTED_BYTES, 3_000, 3_001, 3_000, 10_000), {4}),
            ((NOTED_BYTES + 1, 3_000, 3_001, 3_000, 10_000), {4, 2}),
        ],
    )
    async def test_those_with_the_most_are_ended_until_it_is_enough(
        self, sizes: tuple[int, ...], ended: set[int]
    ) -> None:
        limits = Limits(
            unsent_bytes=10_000,
            unsent_bytes_of_all=10_000,
            in_flight_bytes=100,
            packet_bytes=100,
            connect_packet_bytes=100,
            sweep_interval_s=0.01,
        )
        async with staged(limits) as stage:
            lines = [await stage.line(f"c{place}") for place in range(len(sizes))]
            for line, size in zip(lines, sizes, strict=True):
                line.stream.is_stuck = True
                line.stream.written.clear()
                stage.client(line).send(bytes(size))
            await swept(stage)
            assert {place for place, line in enumerate(lines) if line.closed_for is not None} == ended
            told = [refused.client_id for refused in stage.owner.refused if "had the most" in refused.reason]
            assert sorted(told) == sorted(f"c{place}" for place in ended)


class TestWill:
    """One that was put off is published when it is due, or when its session ends, whichever is first [3.1.3.2.2]."""

    async def test_it_is_published_after_its_delay_and_once(self) -> None:
        async with staged() as stage:
            await leave_with_will(stage, 10, 100)
            stage.now += 9_999
            await swept(stage)
            assert said(stage) == []
            stage.now += 1
            await swept(stage)
            assert said(stage) == [b"late"]
            stage.now += 1_000_000
            await swept(stage)
            assert said(stage) == [b"late"]

    async def test_it_is_not_published_when_its_client_is_back_in_time(self) -> None:
        async with staged() as stage:
            await leave_with_will(stage, 10, 100)
            await stage.back("c")
            stage.now += 20_000
            await swept(stage)
            assert said(stage) == []

    async def test_it_is_published_when_its_client_comes_back_and_wants_a_new_session(self) -> None:
        async with staged() as stage:
            await leave_with_will(stage, 10, 100)
            await stage.knock(V5).send(Connect(V5, "c", clean_start=True, keep_alive_s=0))
            assert said(stage) == [b"late"]

    async def test_it_is_published_when_the_session_ends_before(self) -> None:
        async with staged() as stage:
            await leave_with_will(stage, 100, 10)
            stage.now += 10_000
            await swept(stage)
            assert said(stage) == [b"late"]

    async def test_a_session_that_is_not_kept_cannot_put_it_off(self) -> None:
        async with staged() as stage:
            await leave_with_will(stage, 100, 0)
            assert said(stage) == [b"late"]

    async def test_who_takes_over_a_connection_cancels_it_too(self) -> None:
        async with staged() as stage:
            await stage.line("c", level=V5, will=will(10), properties=KEPT)
            await stage.back("c")
            stage.now += 20_000
            await swept(stage)
            assert said(stage) == []

    async def test_it_is_not_published_where_the_right_is_lost_meanwhile(self) -> None:
        async with staged() as stage:
            await leave_with_will(stage, 10, 100)
            stage.authorizer.denied_topics.add("gone")
            stage.now += 10_000
            await swept(stage)
            assert said(stage) == []

    async def test_a_client_that_says_goodbye_has_none(self) -> None:
        async with staged() as stage:
            line = await stage.line("c", level=V5, will=will(10), properties=KEPT)
            await line.send(Disconnect())
            stage.now += 20_000
            await swept(stage)
            assert said(stage) == []

    async def test_an_answer_that_takes_time_is_none(self) -> None:
        async with staged() as stage:
            line = await stage.line("c", will=will())

            def fail(*_: object) -> Decision:
                raise RuntimeError("the rules cannot be read")

            stage.authorizer.may_publish = fail  # type: ignore[method-assign,assignment]  # a fake
            line.vanish()
            assert said(stage) == []


class TestSessions:
    async def test_one_that_was_left_for_too_long_ends_also_on_disk(self) -> None:
        store = FakeStore()
        async with staged() as stage:
            line = await stage.line("c", level=V5, properties=Properties(session_expiry_s=10))
            await line.subscribe("t")
            line.vanish()
            stage.now += 9_999
            await swept(stage)
            assert [each.client_id for each in stage.broker.sessions(1)] == ["c"]
            stage.now += 1
            await swept(stage)
            assert list(stage.broker.sessions(1)) == []
            for each in stage.owner.turns:
                store.commit(each)
            assert store.sessions() == []

    async def test_one_whose_will_was_taken_from_it_ends_all_the_same(self) -> None:
        async with staged() as stage:
            await leave_with_will(stage, 5, 10)
            stage.authorizer.denied_topics.add("gone")
            await stage.broker.review(1)
            stage.now += 10_000
            await swept(stage)
            assert "c" not in {each.client_id for each in stage.broker.sessions(1)}

    async def test_too_many_end_with_those_who_are_away_longest(self) -> None:
        async with staged(Limits(sessions=3, sweep_interval_s=0.01)) as stage:
            for number in range(4):
                line = await stage.kept(f"c{number}")
                if number != 1:
                    stage.now += 1
                    line.vanish()
            await stage.owner.until(lambda owner: SessionGone(1) in owner.kept.values())
            assert [each.client_id for each in stage.broker.sessions(1)] == ["c1", "c2", "c3"]


class TestFigures:
    LIMITS = Limits(sys_interval_s=0.02, sweep_interval_s=0.01)

    async def test_operators_see_them_and_nobody_else(self) -> None:
        async with staged(self.LIMITS) as stage:
            stage.authorizer.operators.add("operator")
            stage.authorizer.may_subscribe = lambda principal, topic: (  # type: ignore[method-assign,assignment]  # a fake
                ALLOWED if principal.is_operator or not topic.startswith("$") else Denied("for operators")
            )
            operator, device = await stage.line("operator"), await stage.line("device")
            assert await device.subscribe("$SYS/#", "#", "+/broker/uptime") == (0x80, 2, 2)
            assert await operator.subscribe("$SYS/#") == (2,)
            topics: set[str] = set()
            while len(topics) < 12:
                topics |= {each.topic for each in await operator.heard() if isinstance(each, Publish)}
            assert "$SYS/broker/clients/connected" in topics
            assert await device.heard() == []

    async def test_they_stay_out_of_the_turns_of_the_owner(self) -> None:
        async with staged(self.LIMITS) as stage:
            line = await stage.line("c")
            await line.subscribe("$SYS/broker/version", qos=0)
            packets = await line.heard()
            while not packets:
                packets = await line.heard()
            assert payloads(packets)[0] == b"headworks"
            assert (stage.owner.messages, stage.owner.kept) == ([], {})

    async def test_they_count_what_there_is(self) -> None:
        async with staged(self.LIMITS) as stage:
            await stage.kept("away", "t")
            line = await stage.line("c")
            await line.subscribe("$SYS/broker/clients/#", "$SYS/broker/subscriptions/count", qos=0)
            told: dict[str, bytes] = {}
            while told.get("$SYS/broker/subscriptions/count") != b"3" or len(told) < 4:
                told |= {each.topic: each.payload for each in await line.heard() if isinstance(each, Publish)}
            assert told["$SYS/broker/clients/connected"] == b"2"
            assert told["$SYS/broker/clients/disconnected"] == b"0"

    async def test_retained_messages_that_expire_leave_the_disk(self) -> None:
        async with staged(self.LIMITS) as stage:
            line = await stage.line("c", level=V5)
            await line.send(Publish("t", b"x", retain=True, properties=Properties(message_expiry_s=1)))
            stage.now += 1_000
            await stage.owner.until(
                lambda owner: [type(each).__name__ for each in owner.kept.values()] == ["RetainedGone"]
            )
            assert list(stage.broker.retained(1, "#")) == []
