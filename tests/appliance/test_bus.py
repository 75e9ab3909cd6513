import asyncio
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.bus import Bus, both


class Rain(NamedTuple):
    place: int


class Sun(NamedTuple):
    place: int


events = st.lists(st.builds(Rain, st.integers(0, 99)) | st.builds(Sun, st.integers(0, 99)), max_size=4)


async def taken(bus: Bus, batches: list[list[Rain | Sun]], limit: int) -> tuple[list[list[object]], int]:
    with bus.subscribe(Rain, limit=limit) as subscription:
        for batch in batches:
            bus.announce(batch)
        got = []
        while subscription._batches:
            got.append(await subscription.next_batch())
        return got, subscription.dropped_count


@settings(deadline=None, max_examples=50)
@given(st.lists(events, max_size=12), st.integers(1, 6))
def test_a_listener_gets_the_newest_batches_of_its_kinds_in_order_and_knows_how_many_it_missed(
    batches: list[list[Rain | Sun]], limit: int
) -> None:
    got, dropped_count = asyncio.run(taken(Bus(), batches, limit))
    wanted = [found for batch in batches if (found := [event for event in batch if isinstance(event, Rain)])]
    assert got == wanted[-limit:]
    assert dropped_count == max(0, len(wanted) - limit)


async def test_a_listener_that_waits_is_woken_by_the_first_batch_it_asked_for() -> None:
    bus = Bus()
    with bus.subscribe(Rain) as subscription:
        waiting = asyncio.create_task(subscription.next_batch())
        await asyncio.sleep(0)
        bus.announce([Sun(1)])
        bus.announce([])
        await asyncio.sleep(0)
        assert not waiting.done()
        bus.announce([Sun(2), Rain(3)])
        assert await waiting == [Rain(3)]


async def test_a_slow_listener_takes_nothing_from_another() -> None:
    bus = Bus()
    with bus.subscribe(Rain, limit=1) as slow, bus.subscribe(Rain, Sun) as quick:
        for place in range(5):
            bus.announce([Rain(place), Sun(place)])
            assert await quick.next_batch() == [Rain(place), Sun(place)]
        assert (slow.dropped_count, quick.dropped_count) == (4, 0)
        assert await slow.next_batch() == [Rain(4)]


async def test_who_asks_for_a_kind_gets_those_that_are_made_of_it() -> None:
    class Drizzle(Rain):
        pass

    bus = Bus()
    with bus.subscribe(Rain) as rain, bus.subscribe(Drizzle) as drizzle:
        bus.announce([Drizzle(1), Rain(2), Sun(3)])
        assert await rain.next_batch() == [Drizzle(1), Rain(2)]
        assert await drizzle.next_batch() == [Drizzle(1)]


async def test_a_listener_that_has_left_hears_nothing_more() -> None:
    bus = Bus()
    with bus.subscribe(Rain) as subscription:
        pass
    bus.announce([Rain(1)])
    assert not subscription._batches
    assert bus._subscriptions == []


async def test_a_listener_that_was_cancelled_while_it_waited_misses_nothing() -> None:
    bus = Bus()
    with bus.subscribe(Rain) as subscription:
        waiting = asyncio.create_task(subscription.next_batch())
        await asyncio.sleep(0)
        waiting.cancel()
        bus.announce([Rain(1)])
        await asyncio.gather(waiting, return_exceptions=True)
        assert await subscription.next_batch() == [Rain(1)]


def test_two_hear_the_same_in_their_order() -> None:
    heard: list[str] = []
    both(lambda word: heard.append(f"first {word}"), lambda word: heard.append(f"second {word}"))("rain")
    assert heard == ["first rain", "second rain"]
