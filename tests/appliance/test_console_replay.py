import json
from pathlib import Path

import pytest

from appliance.console_replay import OPEN_LIMIT, ReplayEndedError, Replays
from appliance.errors import InvalidInputError
from appliance.instant import HOUR_MS, to_text
from tests.appliance.stream.replay.test_service import Unreadable
from tests.appliance.stream.story import Log
from tests.appliance.telemetry.reports import NOON, report

ASKED = {"start": to_text(NOON), "until": "", "devices": [], "topics": []}


async def test_pages_come_until_there_are_no_more(tmp_path: Path) -> None:
    async with Log(tmp_path).running() as log:
        await log.take(*[report(at=NOON + n, arrived_at=NOON + n, values={"n": n}) for n in range(2_500)])
        log.now += HOUR_MS
        calls = Replays(log.replay, log.messages).calls()
        opened = await calls["replay.open"](ASKED)
        numbers, sizes = [], []
        while (page := await calls["replay.next"]({"number": opened.number})).source:
            sizes.append(len(page.lines))
            numbers += [json.loads(line)["values"]["n"] for _, line in page.lines]
        assert numbers == list(range(2_500))
        assert max(sizes) <= 2_000
        await calls["replay.close"]({"number": opened.number})
        await calls["replay.close"]({"number": opened.number})


async def test_only_a_few_are_open_and_the_oldest_is_ended(tmp_path: Path) -> None:
    async with Log(tmp_path).running() as log:
        await log.take(report(arrived_at=NOON))
        log.now += HOUR_MS
        calls = Replays(log.replay, log.messages).calls()
        opened = [(await calls["replay.open"](ASKED)).number for _ in range(OPEN_LIMIT + 1)]
        with pytest.raises(ReplayEndedError):
            await calls["replay.next"]({"number": opened[0]})
        assert (await calls["replay.next"]({"number": opened[-1]})).source == "log"
        for number in opened:
            await calls["replay.close"]({"number": number})


async def test_what_is_no_moment_is_refused(tmp_path: Path) -> None:
    async with Log(tmp_path).running() as log:
        with pytest.raises(InvalidInputError):
            await Replays(log.replay, log.messages).calls()["replay.open"]({**ASKED, "start": "yesterday"})


async def test_messages_come_where_they_are_asked_for(tmp_path: Path) -> None:
    async with Log(tmp_path).running() as log:
        await log.take(report(at=NOON, arrived_at=NOON, values={"n": 1}))
        log.now += HOUR_MS
        calls = Replays(log.replay, log.messages).calls()
        opened = await calls["replay.open"]({**ASKED, "messages": True})
        page = await calls["replay.next"]({"number": opened.number})
        [(arrived_at, line)] = page.lines
        assert (page.source, arrived_at) == ("log", NOON)
        assert json.loads(json.loads(line)["payload"])["readings"] == {"n": 1}
        await calls["replay.close"]({"number": opened.number})


async def test_a_day_that_may_lack_something_is_named_before_what_is_there(tmp_path: Path) -> None:
    async with Log(tmp_path).running() as log:
        await log.take(report(at=NOON, arrived_at=NOON))
        await log.telemetry.seal_all()
        log.now += HOUR_MS
        log.telemetry.cold = Unreadable()
        calls = Replays(log.replay, log.messages).calls()
        opened = await calls["replay.open"](ASKED)
        page = await calls["replay.next"]({"number": opened.number})
        assert (page.source, page.lines, page.lacks) == ("chunks", (), ("2026-01-22: the bucket does not answer",))
        assert len((await calls["replay.next"]({"number": opened.number})).lines) == 1
        await calls["replay.close"]({"number": opened.number})
