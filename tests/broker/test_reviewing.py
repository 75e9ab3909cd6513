"""Sessions whose access may be gone are ended before sessions whose rights have changed are looked at."""

import asyncio
from collections.abc import Callable

import pytest

from broker.packets import Subscribe, Subscription, Will
from broker.ports import Allowed, Credentials, Denied, Pending, Principal
from broker.reviewing import ASKED_AT_ONCE, ENDED_AT_ONCE, REVIEWED_AT_ONCE
from tests.broker.stage import Line, Stage, payloads, staged, turn

Answers = Callable[[Principal | Allowed | Denied], None]
MANY = 3 * REVIEWED_AT_ONCE
RETAINED_WILL = Will("last/words", b"gone", 1, retain=True)


async def crowd(stage: Stage, count: int) -> dict[str, Line]:
    return {f"c{number}": await stage.line(f"c{number}") for number in range(count)}


def asked(stage: Stage) -> list[str]:
    return [shown.client_id for shown in stage.authorizer.shown]


async def until_asked(stage: Stage, count: int) -> None:
    for _ in range(10 * MANY):
        if len(stage.authorizer.shown) >= count:
            return
        await asyncio.sleep(0)
    raise AssertionError(len(stage.authorizer.shown))


async def test_a_revocation_that_comes_with_a_review_of_many_is_served_first() -> None:
    async with staged() as stage:
        lines = await crowd(stage, MANY)
        stage.authorizer.shown.clear()
        for name in lines:
            stage.broker.review_soon(1, name)
        stage.broker.end_soon(1, ["c7"])
        await until_asked(stage, 1)
        assert asked(stage)[0] == "c7"


async def test_a_revocation_that_comes_while_many_are_reviewed_waits_for_one_slice_at_most() -> None:
    async with staged() as stage:
        await crowd(stage, MANY)
        stage.authorizer.shown.clear()
        stage.broker.review_soon(1)
        await until_asked(stage, 1)
        begun = len(stage.authorizer.shown)
        assert begun < MANY
        stage.broker.end_soon(1, ["c299"])
        await until_asked(stage, begun + 1)
        assert asked(stage)[begun] == "c299"
        await until_asked(stage, MANY + 1)


async def test_whoever_is_let_in_today_keeps_connection_and_subscriptions() -> None:
    async with staged() as stage:
        denied, allowed = await stage.line("denied"), await stage.line("allowed")
        await allowed.subscribe("t")
        stage.authorizer.denied_clients.add("denied")
        stage.broker.end_soon(1, ["denied", "allowed", "nobody"])
        await turn()
        assert (denied.closed_for, allowed.closed_for) == ("this client is not known", None)
        stage.broker.publish(stage.say("t", b"1"))
        assert payloads(await allowed.heard()) == [b"1"]
        assert [(each.client_id, each.kind) for each in stage.owner.refused] == [("denied", "connection_ended")]


async def test_a_principal_of_the_same_name_in_another_tenant_is_not_asked_about() -> None:
    async with staged() as stage:
        await stage.line("c")
        stage.authorizer.shown.clear()
        stage.broker.end_soon(2, ["c"])
        await turn()
        assert asked(stage) == []


async def test_many_are_ended_a_slice_at_a_time() -> None:
    async with staged() as stage:
        lines = await crowd(stage, ENDED_AT_ONCE + 10)
        stage.authorizer.denied_clients |= set(lines)
        stage.broker.end_soon(1, lines)
        # What follows from their ends waits until the last of them is out.
        assert stage.broker.traffic.is_held()
        closed_counts = set()
        for _ in range(50):
            await asyncio.sleep(0)
            closed_counts.add(sum(line.closed_for is not None for line in lines.values()))
        assert closed_counts - {0} == {ENDED_AT_ONCE, len(lines)}
        assert not stage.broker.traffic.is_held()


async def test_rights_that_changed_count_for_the_next_message_though_thousands_are_still_to_be_reviewed() -> None:
    async with staged() as stage:
        line = await stage.line("c")
        await line.subscribe("t", qos=0)
        stage.broker.publish(stage.say("t", b"1"))
        version = stage.broker.exchange.permissions.version
        stage.authorizer.unreceivable_topics.add("t")
        for number in range(1_000):
            stage.broker.review_soon(1, f"other{number}")
        assert stage.broker.exchange.permissions.version > version
        await turn()
        stage.broker.publish(stage.say("t", b"2"))
        assert payloads(await line.heard()) == [b"1"]


async def test_routes_are_forgotten_once_for_a_batch_of_reviews() -> None:
    async with staged() as stage:
        await stage.line("c")
        subscriptions = stage.broker.exchange.sessions.router(1).subscriptions
        before = subscriptions.version
        for number in range(50):
            stage.broker.review_soon(1, f"other{number}")
        await turn()
        assert subscriptions.version == before + 1


async def test_subscriptions_that_a_policy_takes_away_end() -> None:
    async with staged() as stage:
        line = await stage.line("c")
        await line.send(Subscribe(1, (Subscription("a", 0), Subscription("b", 0))))
        stage.authorizer.denied_filters.add("a")
        stage.broker.review_soon(1, "c")
        await turn()
        [session] = stage.broker.sessions(1, "c")
        assert list(session.subscriptions) == ["b"]


async def test_a_will_that_may_be_published_but_no_more_retained_is_dropped() -> None:
    async with staged() as stage:
        line = await stage.line("c", will=RETAINED_WILL)
        stage.authorizer.unretainable_topics.add("last/words")
        await stage.broker.review(1, "c")
        stage.authorizer.unretainable_topics.clear()
        line.vanish()
        await turn()
        assert stage.owner.messages == []


async def test_a_retained_will_is_judged_again_when_it_is_published() -> None:
    async with staged() as stage:
        denied, allowed = await stage.line("c", will=RETAINED_WILL), await stage.line("d", will=RETAINED_WILL)
        stage.authorizer.unretainable_topics.add("last/words")
        denied.vanish()
        await turn()
        assert stage.owner.messages == []
        stage.authorizer.unretainable_topics.clear()
        allowed.vanish()
        await turn()
        assert [message.payload for message in stage.owner.messages] == [b"gone"]


async def test_everybody_who_is_connected_is_judged_whatever_the_tenant_and_it_is_done_then() -> None:
    async with staged() as stage:
        stage.authorizer.tenants["far"] = 2
        lines = {name: await stage.line(name) for name in ("near", "far", "fine")}
        stage.authorizer.denied_clients |= {"near", "far"}
        await stage.broker.judge_everybody()
        assert {name for name, line in lines.items() if line.closed_for} == {"near", "far"}


async def test_one_that_is_let_in_today_is_reviewed_as_well() -> None:
    async with staged() as stage:
        line = await stage.line("c")
        await line.subscribe("t")
        stage.authorizer.denied_filters.add("t")
        stage.broker.judge_soon(1, "c")
        await turn()
        [session] = stage.broker.sessions(1, "c")
        assert (line.closed_for, dict(session.subscriptions)) == (None, {})


async def test_who_was_cut_off_during_a_review_is_not_asked_about_again_before_the_broker_hears_of_its_end() -> None:
    async with staged() as stage:
        await crowd(stage, REVIEWED_AT_ONCE - 1)
        lines = [await stage.line(name) for name in ("first", "second")]
        allow = stage.authorizer.authenticate

        def authenticate(credentials: Credentials) -> Principal | Denied | Pending:
            # When the last one of the first slice is looked at, what it is about changes for one of the next.
            if credentials.client_id == "first" and not stage.authorizer.denied_clients:
                stage.authorizer.denied_clients.add("second")
                stage.broker.end_soon(1, ["second"])
            return allow(credentials)

        stage.authorizer.authenticate = authenticate  # type: ignore[method-assign]  # a fake
        await stage.broker.review(1)
        assert [bool(line.closed_for) for line in lines] == [False, True]
        await turn()
        assert [session.client_id for session in stage.broker.sessions(1, "second")] == []


class Narrow:
    """An authoriser that can be asked a few questions at a time, and answers when it is told to."""

    def __init__(self, stage: Stage, places: int) -> None:
        self.open: list[tuple[str, Answers]] = []
        self.turned_away: list[str] = []
        self.known = stage.authorizer.denied_clients
        """Those that are denied at once."""
        self._places = places
        self._first = stage.authorizer.authenticate
        stage.authorizer.authenticate = self.authenticate  # type: ignore[method-assign]  # a fake

    def authenticate(self, credentials: Credentials) -> Principal | Denied | Pending:
        client_id = credentials.client_id
        if client_id in self.known:
            return self._first(credentials)
        if len(self.open) >= self._places:
            self.turned_away.append(client_id)
            return Denied("too many questions", is_judgement=False)
        return Pending(lambda hear: self.open.append((client_id, hear)))

    def answer(self, *denied: str) -> set[str]:
        """Answer everything that is open; gives who it was about."""
        said, self.open = self.open, []
        for client_id, hear in said:
            hear(Denied("a plugin does not like it") if client_id in denied else Principal(1, client_id))
        return {client_id for client_id, _ in said}


@pytest.mark.parametrize("way", ["everybody", "suspects", "review"])
async def test_nobody_is_ended_because_nobody_could_be_asked_and_all_are_asked_in_the_end(way: str) -> None:
    async with staged() as stage:
        lines = await crowd(stage, 20)
        narrow = Narrow(stage, places=3)
        if way == "everybody":
            await stage.broker.judge_everybody()
        elif way == "suspects":
            stage.broker.end_soon(1, lines)
        else:
            stage.broker.review_soon(1)
        asked_about: set[str] = set()
        async with asyncio.timeout(30):
            while len(asked_about) < len(lines):
                asked_about |= narrow.answer("c19")
                await asyncio.sleep(0.001)
        assert narrow.turned_away
        assert {name for name, line in lines.items() if line.closed_for} == {"c19"}


async def test_a_review_leaves_places_to_ask_for_whoever_connects() -> None:
    async with staged() as stage:
        lines = await crowd(stage, ASKED_AT_ONCE + 50)
        narrow = Narrow(stage, places=10 * MANY)
        await stage.broker.review(1)
        assert len(narrow.open) == ASKED_AT_ONCE
        asked_about: set[str] = set()
        async with asyncio.timeout(30):
            while len(asked_about) < len(lines):
                asked_about |= narrow.answer()
                await asyncio.sleep(0.001)
        assert not any(line.closed_for for line in lines.values())


async def test_a_denial_at_once_waits_for_no_place_to_ask() -> None:
    async with staged() as stage:
        lines = await crowd(stage, 20)
        narrow = Narrow(stage, places=3)
        await stage.broker.judge_everybody()
        narrow.known |= {"c0", "c19"}
        stage.broker.end_soon(1, ["c1", "c19"])
        await turn()
        assert {name for name, line in lines.items() if line.closed_for} == {"c19"}
        await stage.broker.judge_everybody()
        assert {name for name, line in lines.items() if line.closed_for} == {"c0", "c19"}


async def test_a_subscription_and_a_will_that_nobody_could_be_asked_about_stay() -> None:
    async with staged() as stage:
        line = await stage.line("c", will=RETAINED_WILL)
        await line.subscribe("t")
        for ask in ("may_subscribe", "may_publish"):
            setattr(stage.authorizer, ask, lambda *_: Denied("too many questions", is_judgement=False))
        await stage.broker.review(1)
        [session] = stage.broker.sessions(1, "c")
        assert (list(session.subscriptions), session.will) == (["t"], RETAINED_WILL)
