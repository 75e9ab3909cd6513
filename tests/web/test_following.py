"""Streams as their readers see them: slow ones, unwanted ones, and those of a gateway that stops."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from typing import Any, cast

import pytest

from appliance.errors import NotSignedInError
from appliance.instant import HOUR_MS
from appliance.stream.model import Position, Start, TooManyStreamsError
from appliance.stream.replay.model import Interval
from appliance.stream.wanted import EVERYTHING, Wanted
from tests.appliance.stream.replay.test_service import Unreadable
from tests.web.house import House
from web.following import FINISHED, STOPPING, Again, Followers, Live

DEADLINE_S = 30


async def allowed() -> None:
    """Somebody may read."""


async def refused() -> None:
    raise NotSignedInError("the token was revoked")


class Reading:
    """The events of a stream, one after the other."""

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces = pieces
        self._waiting: list[tuple[str, str, Any]] = []

    async def next(self) -> tuple[str, str, Any]:
        async with asyncio.timeout(DEADLINE_S):
            while not self._waiting:
                piece = await anext(self._pieces)
                self._waiting = [_read(each) for each in piece.decode().split("\n\n") if each and "data: " in each]
        return self._waiting.pop(0)

    async def rest(self) -> list[tuple[str, str, Any]]:
        found = []
        while True:
            try:
                found.append(await self.next())
            except StopAsyncIteration:
                return found


def _read(text: str) -> tuple[str, str, Any]:
    fields = dict(line.split(": ", 1) for line in text.split("\n") if not line.startswith(":"))
    return fields["event"], fields.get("id", ""), json.loads(fields["data"])


def live(house: House, followers: Followers, check: Any = allowed, wanted: Wanted = EVERYTHING) -> Any:
    return followers.live(Live(1, Position(1), wanted), check)


async def test_what_is_committed_comes_and_the_stop_ends_it(house: House) -> None:
    followers = Followers(house.gateway)
    async with aclosing(live(house, followers)) as pieces:
        async with followers.running():
            reading = Reading(pieces)
            assert (await reading.next())[0] == "begin"
            waiting = asyncio.create_task(reading.next())
            await house.send("pump-1", {"pressure": 1.5})
            kind, event_id, about = await waiting
            assert (kind, event_id, about["values"]) == ("report", "2", {"pressure": 1.5})
            assert followers.count == 1
        assert await reading.rest() == [("end", "", {"why": STOPPING})]
    assert followers.count == 0


async def test_nobody_follows_what_does_not_run(house: House) -> None:
    async with aclosing(live(house, Followers(house.gateway))) as pieces:
        assert [kind for kind, _, _ in await Reading(pieces).rest()] == ["begin", "end"]


async def test_a_reader_that_takes_nothing_slows_nobody_and_is_told_what_it_missed(house: House) -> None:
    followers = Followers(house.gateway)
    async with followers.running(), aclosing(live(house, followers)) as slow, aclosing(live(house, followers)) as quick:
        slow_reading, quick_reading = Reading(slow), Reading(quick)
        await slow_reading.next()
        await quick_reading.next()
        for number in range(3):
            await house.send("pump-1", {"n": number})
            assert (await quick_reading.next())[2]["values"] == {"n": number}
        await house.gateway.telemetry.seal_all()
        await house.send("pump-1", {"n": 3})
        kind, event_id, gap = await slow_reading.next()
        assert (kind, event_id, gap["from"], gap["through"]) == ("gap", "4", "1", "3")
        assert (await slow_reading.next())[2]["values"] == {"n": 3}


async def test_who_may_read_no_more_gets_no_further_report(house: House) -> None:
    followers = Followers(house.gateway, check_s=0.0)
    await house.send("pump-1", {"n": 1})
    async with followers.running(), aclosing(live(house, followers, refused)) as pieces:
        events = await Reading(pieces).rest()
        assert [(kind, about) for kind, _, about in events[1:]] == [("end", {"why": "the token was revoked"})]
    interval = house.gateway.replay.interval(1, house.clock() - HOUR_MS, house.clock() + 1)
    async with followers.running(), aclosing(followers.again(Again(interval, 0), refused)) as again:
        events = await Reading(again).rest()
        assert [kind for kind, _, _ in events] == ["begin", "end"]
        assert events[-1][2] == {"why": "the token was revoked"}


async def test_a_reader_of_what_it_does_not_want_moves_on_by_signs_of_life(house: House) -> None:
    followers = Followers(house.gateway, beat_s=0.0)
    await house.send("pump-1", {"n": 1})
    async with followers.running(), aclosing(live(house, followers, wanted=Wanted(frozenset({"other"})))) as pieces:
        assert b"event: begin" in await anext(pieces)
        assert await anext(pieces) == b"id: 2\n: beat\n\n"


async def test_what_came_comes_once_more_in_its_time(house: House) -> None:
    followers = Followers(house.gateway)
    start = house.clock()
    for number in range(4):
        await house.send("pump-1", {"n": number}, arrived_at=start + number * 100)
    interval = Interval(1, start, start + HOUR_MS)
    loop = asyncio.get_running_loop()
    for speed, least_s in ((0.0, 0.0), (1.0, 0.3)):
        begun = loop.time()
        async with followers.running(), aclosing(followers.again(Again(interval, speed), allowed)) as pieces:
            events = await Reading(pieces).rest()
        assert loop.time() - begun >= least_s
        assert [kind for kind, _, _ in events] == ["begin", *["report"] * 4, "end"]
        assert events[-1][1:] == ("end", {"why": FINISHED})
        assert events[0][2]["source"] == "log"
        assert [event_id for _, event_id, _ in events[1:-1]] == [f"{start + n * 100}.1" for n in range(4)]


async def test_a_day_that_a_replay_lacks_is_told_before_what_it_has(house: House) -> None:
    followers = Followers(house.gateway)
    await house.send("pump-1", {"n": 1})
    await house.gateway.telemetry.seal_all()
    house.gateway.telemetry.cold = Unreadable()
    interval = Interval(1, house.clock() - HOUR_MS, house.clock() + 1)
    async with followers.running(), aclosing(followers.again(Again(interval, 0), allowed)) as pieces:
        events = await Reading(pieces).rest()
    assert [kind for kind, _, _ in events] == ["begin", "gap", "report", "end"]
    assert events[1][2] == {"day": "2026-01-22", "why": "the bucket does not answer"}


async def test_there_is_an_end_to_how_many_may_follow_and_one_user_has_a_part_of_them(house: House) -> None:
    house.gateway.stream.streams_limit = 5
    followers = Followers(house.gateway)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(followers.running())

        async def begin(user: str) -> str:
            pieces = followers.live(Live(1, Position(1), EVERYTHING, user=user), allowed)
            await stack.enter_async_context(aclosing(pieces))
            return (await Reading(pieces).next())[0]

        followers.require_room(1, "a")
        assert await begin("a") == "begin"
        with pytest.raises(TooManyStreamsError, match="open already for a,"):
            followers.require_room(1, "a")
        # Somebody of another tenant may be called the same.
        followers.require_room(2, "a")
        # Two asked at once, and there was room for one of them.
        assert await begin("a") == "end"
        assert [await begin(user) for user in "bcde"] == ["begin"] * 4
        with pytest.raises(TooManyStreamsError, match="5 streams are open already"):
            followers.require_room(1, "f")
    assert followers.count == 0
    followers.require_room(1, "a")


async def test_a_consumer_is_told_exactly_how_many_reports_it_has_lost(house: House) -> None:
    stream = house.gateway.stream
    await stream.add(1, "slow", Start.OLDEST)
    stream.hold_bytes = 0
    for number in range(3):
        await house.send("pump-1", {"n": number})
    await house.gateway.telemetry.seal_all()
    followers = Followers(house.gateway)
    for position, count in ((Position(1), 3), (Position(2), None)):
        pieces = followers.live(Live(1, position, EVERYTHING, "slow"), allowed)
        async with followers.running(), aclosing(pieces):
            reading = Reading(pieces)
            await reading.next()
            kind, event_id, gap = await reading.next()
            assert (kind, event_id, gap["through"], gap["report_count"]) == ("gap", "4", "3", count)


async def test_a_stream_that_is_let_go_of_is_not_open(house: House) -> None:
    followers = Followers(house.gateway)
    pieces = cast("Any", live(house, followers))
    await anext(pieces)
    assert followers.count == 1
    await pieces.aclose()
    assert followers.count == 0
