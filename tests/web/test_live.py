import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.alerts.model import NewRule
from broker.packets import Pingreq
from tests.web.house import House, app_of
from tests.web.wired import plugged
from web.live import GOING_AWAY, IDLE_SECONDS, NOT_THERE, SESSION_ENDED, UPDATES_LIMIT, Hub, Topic, Viewer

DEVICES = Topic(1, "devices", ())


def viewer(topic: Topic = DEVICES, session: str = "mine") -> Viewer:
    return Viewer(topic, session)


async def taken(seen: Viewer) -> list[str]:
    """Every update that waits, and no waiting for more."""
    updates: list[str] = []
    while True:
        try:
            async with asyncio.timeout(0):
                update = await seen.next_update()
        except TimeoutError:
            return updates
        if update is None:
            return updates
        updates.append(update)


@asynccontextmanager
async def seeing(hub: Hub, *viewers: Viewer) -> AsyncIterator[None]:
    for each in viewers:
        hub.join(each)
    try:
        yield
    finally:
        for each in viewers:
            hub.leave(each)


@given(st.lists(st.integers(0, 5), max_size=60))
async def test_a_slow_page_never_shows_a_change_of_what_it_has_missed(takes: list[int]) -> None:
    """The state is a number that each update counts up; the whole says it, a change adds one to it."""
    slow = viewer()
    shown = 0
    for state, take in enumerate(takes, start=1):
        slow.feed(["change"], lambda state=state: [f"whole {state}"])  # type: ignore[misc]
        assert len(slow._updates) <= UPDATES_LIMIT
        for _ in range(min(take, len(slow._updates))):
            shown = after(shown, await slow.next_update())
    for update in await taken(slow):
        shown = after(shown, update)
    assert shown == len(takes)


def after(shown: int, update: str | None) -> int:
    assert update is not None
    return shown + 1 if update == "change" else int(update.removeprefix("whole "))


async def test_what_a_slow_page_has_lost_is_counted() -> None:
    slow = viewer()
    for _ in range(UPDATES_LIMIT + 1):
        slow.feed(["change"], lambda: ["whole"])
    assert slow.dropped_count == UPDATES_LIMIT
    assert await taken(slow) == ["whole"]


async def test_the_first_update_is_the_whole_and_the_next_only_what_changed(house: House) -> None:
    hub: Hub = app_of(house).state.hub
    await house.add_device("a")
    await house.add_device("b")
    await house.send("a", {"pressure": 41.0})
    await house.send("b", {"pressure": 42.0})
    page = viewer()
    async with seeing(hub, page):
        await hub.paint_all(house.clock())
        whole = "".join(await taken(page))
        assert 'id="device-list"' in whole
        assert 'id="row-a"' in whole
        await hub.paint_all(house.clock())
        await taken(page)
        await house.send("b", {"pressure": 55.5})
        await hub.paint_all(house.clock())
        changed = "".join(await taken(page))
        assert "55.5" in changed
        assert 'id="row-a"' not in changed
        assert 'id="device-list"' not in changed
    assert hub.viewer_count == 0


async def test_another_device_brings_the_whole_list(house: House) -> None:
    hub: Hub = app_of(house).state.hub
    await house.add_device("a")
    page = viewer()
    async with seeing(hub, page):
        await hub.paint_all(house.clock())
        await taken(page)
        await house.add_device("b")
        await hub.paint_all(house.clock())
        assert 'id="device-list"' in "".join(await taken(page))


async def test_rows_of_tables_travel_by_themselves(house: House) -> None:
    hub: Hub = app_of(house).state.hub
    await house.add_device("a")
    page = viewer()
    async with seeing(hub, page):
        await hub.paint_all(house.clock())
        await taken(page)
        await house.send("a", {"pressure": 61.0})
        await hub.paint_all(house.clock())
        await taken(page)
        await house.gateway.alerts.add_rule(1, NewRule("High", "pressure", "GREATER_THAN", 60.0))
        await house.send("a", {"pressure": 62.0})
        await hub.paint_all(house.clock())
        rows, others = await taken(page)
        assert rows.startswith("<tr")
        assert "<tr" not in others


async def test_a_page_is_painted_once_for_all_who_see_it(house: House) -> None:
    hub: Hub = app_of(house).state.hub
    pages = [viewer() for _ in range(5)]
    async with seeing(hub, *pages):
        await hub.paint_all(house.clock())
        updates = [await taken(page) for page in pages]
        assert all(one is other for one, other in zip(updates[0], updates[4], strict=True))


async def test_every_live_page_is_painted(house: House) -> None:
    hub: Hub = app_of(house).state.hub
    await house.gateway.alerts.add_rule(1, NewRule("High pressure", "pressure", "GREATER_THAN", 60.0))
    await house.add_device("a")
    await house.send("a", {"pressure": 61.0})
    pages = {
        "overview": viewer(Topic(1, "overview", ())),
        "device": viewer(Topic(1, "device", (("device_id", "a"),))),
        "alerts": viewer(Topic(1, "alerts", (("state", "firing"),))),
    }
    async with seeing(hub, *pages.values()):
        await hub.paint_all(house.clock())
        for name, page in pages.items():
            assert hub.knows(name)
            assert "High pressure" in "".join(await taken(page)), name


async def test_a_device_that_is_not_there_ends_its_page(house: House) -> None:
    hub: Hub = app_of(house).state.hub
    page = viewer(Topic(1, "device", (("device_id", "nobody"),)))
    async with seeing(hub, page):
        await hub.paint_all(house.clock())
        assert page.close_code == NOT_THERE


async def test_a_page_that_cannot_be_painted_stops_no_other(house: House, caplog: pytest.LogCaptureFixture) -> None:
    async def fail(_: object) -> object:
        raise ZeroDivisionError

    hub: Hub = app_of(house).state.hub
    hub._painters = {**hub._painters, "broken": fail}  # type: ignore[dict-item]
    broken, good = viewer(Topic(1, "broken", ())), viewer()
    async with seeing(hub, broken, good):
        await hub.paint_all(house.clock())
        assert broken.close_code is not None
        assert await taken(good)
    assert "could not be painted page=broken" in caplog.text


async def test_ending_a_session_ends_its_pages_alone(house: House) -> None:
    hub: Hub = app_of(house).state.hub
    mine, other = viewer(), viewer(session="other")
    async with seeing(hub, mine, other):
        hub.end_session("mine")
        assert await mine.next_update() is None
        assert (mine.close_code, other.close_code) == (SESSION_ENDED, None)
        hub.end_all(GOING_AWAY)
        assert other.close_code == GOING_AWAY


async def test_what_is_committed_reaches_an_open_page(house: House) -> None:
    hub: Hub = app_of(house).state.hub
    await house.add_device("a")
    page = viewer()
    async with hub.running(), asyncio.timeout(30), seeing(hub, page):
        while "row-a" not in (await page.next_update() or ""):
            pass
        await house.send("a", {"pressure": 47.25})
        while "47.2" not in (await page.next_update() or ""):
            pass


async def test_packets_reach_an_open_page_at_once(house: House) -> None:
    app = app_of(house)
    hub: Hub = app.state.hub
    await house.add_device("a")
    wire = plugged(house, "a")
    app.state.packet_logs.switch_on(1, "a")
    page = viewer(Topic(1, "device", (("device_id", "a"),)))
    # Less than a page is otherwise looked at when nothing is committed.
    async with hub.running(), asyncio.timeout(30), seeing(hub, page):
        while "No packet yet" not in (await page.next_update() or ""):
            pass
        async with asyncio.timeout(IDLE_SECONDS * 0.75):
            wire.say(Pingreq())
            while "PINGREQ" not in (await page.next_update() or ""):
                pass
        assert page.dropped_count == 0
