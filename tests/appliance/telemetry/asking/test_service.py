"""Answers are what the readings say, whatever they are put together from; and a question cannot cost too much."""

import asyncio
import statistics
from collections.abc import AsyncIterator, Iterator
from itertools import product
from math import isclose
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.instant import DAY_MS, HOUR_MS, MINUTE_MS, from_text
from appliance.telemetry.asking.columns import columns_of
from appliance.telemetry.asking.edges import least_ms, width_of, zone_of
from appliance.telemetry.asking.model import (
    CELLS_LIMIT,
    LATEST,
    READINGS_AT_ONCE_LIMIT,
    READINGS_LIMIT,
    READS_LIMIT,
    Answer,
    Fill,
    Order,
    Question,
    TooManyQuestionsError,
    TooMuchError,
)
from appliance.telemetry.asking.service import QUESTIONS_AT_ONCE, SMALL_CELLS, WAITING_LIMIT, Asking
from appliance.telemetry.bins import number_of
from appliance.telemetry.model import Value
from tests.appliance.telemetry.asking.source import Listed, Sent, question
from tests.appliance.telemetry.asking.wall import ZONES, Asked, label
from tests.appliance.telemetry.reports import report
from tests.appliance.telemetry.test_service import Gateway

BINNED = "avg(p),min(p),max(p),sum(p),count(p),first(p),last(p),stddev(p),p90(q)"
NIGHTS = [from_text(text) for text in ("2026-03-29T00:00Z", "2026-10-25T00:00Z", "2026-04-04T15:00Z", "2026-03-08")]

values: st.SearchStrategy[Value] = st.one_of(st.floats(-1e3, 1e3), st.integers(-9, 9), st.sampled_from([None, "on"]))


@st.composite
def stories(draw: st.DrawFn) -> tuple[Sent, int, int]:
    night = draw(st.sampled_from(NIGHTS))
    steps = st.integers(-3 * DAY_MS, 3 * DAY_MS) | st.integers(-288, 288).map(lambda step: step * 15 * MINUTE_MS)
    sent = draw(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("pq"), steps, values), max_size=40))
    start, end = sorted(draw(st.tuples(steps, steps)))
    return [(device, metric, night + step, value) for device, metric, step, value in sent], night + start, night + end


def binned(source: Listed, asked: Question, text: str) -> dict[tuple[object, str], list[float]]:
    """By bin, and `device metric`: the numbers, by what the clock on the wall shows."""
    found: dict[tuple[object, str], list[float]] = {}
    for device, metric, at, value in source.sent:
        number = number_of(value)
        if asked.start <= at < asked.end and number is not None:
            found.setdefault((label(at, text, asked.zone), f"{device} {metric}"), []).append(number)
    return found


def close(one: Value, other: float) -> bool:
    assert isinstance(one, int | float)
    return isclose(one, other, rel_tol=1e-9, abs_tol=1e-6)


@settings(deadline=None, max_examples=50)
@given(stories(), st.sampled_from(ZONES), st.sampled_from(["30m", "1h", "90m", "6h", "1d", "2d", "1w", "1mo"]))
def test_bins_say_what_the_readings_of_their_local_time_say(story: tuple[Sent, int, int], name: str, text: str) -> None:
    sent, start, end = story
    source = Listed(sent)
    asked = question(columns=columns_of([BINNED]), start=start, end=end, width=width_of(text), zone=zone_of(name))
    answer = asyncio.run(Asking(source).answer(asked))
    expected = binned(source, asked, text)
    seen = set()
    for row in answer.rows:
        place, device = label(row.place.at, text, asked.zone), row.place.key
        numbers, others = expected.get((place, f"{device} p"), []), expected.get((place, f"{device} q"), [])
        seen |= {(place, f"{device} {metric}") for metric, each in (("p", numbers), ("q", others)) if each}
        assert numbers or others
        assert row.values[4] == len(numbers)
        if numbers:
            assert row.values[1:3] == (min(numbers), max(numbers))
            assert row.values[5:7] == (numbers[0], numbers[-1])
            assert close(row.values[0], statistics.fmean(numbers))
            assert close(row.values[3], sum(numbers))
            assert close(row.values[7], statistics.pstdev(numbers))
        if len(others) > 1:
            assert close(row.values[8], statistics.quantiles(others, n=10, method="inclusive")[8])
    assert seen == set(expected)
    assert len({(row.place.at, row.place.key) for row in answer.rows}) == len(answer.rows)


async def pages(asking: Asking, asked: Question) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    answer = Answer((), None)
    while not rows or answer.next is not None:
        changes = {name: getattr(asked, name) for name in asked.__struct_fields__} | {"after": answer.next}
        answer = await asking.answer(Question(**changes))
        rows += [(row.place.at, row.place.key, *row.values) for row in answer.rows]
        if not answer.rows:
            break
    return rows


@settings(deadline=None, max_examples=50)
@given(stories(), st.sampled_from(Order), st.integers(1, 9), st.sampled_from([None, "6h"]), st.sampled_from(Fill))
def test_pages_are_the_whole_in_parts(
    story: tuple[Sent, int, int], order: Order, limit: int, text: str | None, fill: Fill
) -> None:
    sent, start, end = story
    asking = Asking(Listed(sent))
    width = width_of(text) if text else None
    select = "avg(p),count(q)" if text else "p,rolling_avg(p, 90m),q"
    asked = {"columns": columns_of([select]), "start": start, "end": end, "width": width, "fill": fill, "order": order}
    whole = asyncio.run(asking.answer(question(**asked)))
    assert whole.next is None
    rows = [(row.place.at, row.place.key, *row.values) for row in whole.rows]
    assert asyncio.run(pages(asking, question(**asked, limit=limit))) == rows
    moments = [row.place.at for row in whole.rows]
    assert moments == sorted(moments, reverse=order is Order.NEWEST)


@settings(deadline=None, max_examples=50)
@given(stories())
def test_readings_stand_beside_the_average_of_the_hours_before_them(story: tuple[Sent, int, int]) -> None:
    sent, start, end = story
    source = Listed(sent)
    asked = question(columns=columns_of(["p, rolling_avg(p, 12h)"]), start=start, end=end, keys={"a": ("a",)})
    rows = asyncio.run(Asking(source).answer(asked)).rows
    assert [(row.place.at, row.values[0]) for row in rows] == source.readings("a", "p", start, end)
    for row in rows:
        inside = source.readings("a", "p", row.place.at - 12 * HOUR_MS + 1, row.place.at + 1)
        numbers = [number for _, value in inside if (number := number_of(value)) is not None]
        assert close(row.values[1], statistics.fmean(numbers)) if numbers else row.values[1] is None


@pytest.mark.parametrize("order", Order)
async def test_windows_reach_back_over_every_step_and_before_the_range(order: Order) -> None:
    source = Listed([("a", "p", step * 10 * MINUTE_MS, step) for step in range(300)])
    asked = question(
        columns=columns_of(["rolling_count(p, 12h), rolling_min(p, 12h)"]),
        start=100 * 10 * MINUTE_MS,
        end=2 * DAY_MS,
        keys={"a": ("a",)},
        order=order,
    )
    found = [row.values for row in (await Asking(source).answer(asked)).rows]
    expected = [(72, step - 71) for step in range(100, 288)]
    assert found == (expected if order is Order.OLDEST else expected[::-1])


# --- over a real store ---------------------------------------------------------------------------

NIGHT = NIGHTS[0]


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    """Two devices over three days around a night in which the clock is changed: old days rolled up, new ones not."""
    made = Gateway(tmp_path)
    made.now = NIGHT + DAY_MS
    async with made.running():
        for first in range(-36, 36, 24):
            await made.take(
                *(
                    report(
                        device, NIGHT + first * HOUR_MS + step * 7 * MINUTE_MS, values={"p": step % 13, "q": step / 7}
                    )
                    for step in range(24 * 60 // 7)
                    for device in "ab"
                )
            )
            if first < 12:
                await made.telemetry.seal_all()
                await made.telemetry.rollups.roll()
        yield made


async def test_a_store_answers_as_its_readings_do(gateway: Gateway) -> None:
    span = (NIGHT - 40 * HOUR_MS, NIGHT + 40 * HOUR_MS + MINUTE_MS)
    sent: Sent = []
    for device in "ab":
        for series in await gateway.telemetry.series(1, device, ["p", "q"], *span, 1_000_000):
            sent += [(device, series.metric, *pair) for pair in zip(series.at, series.values, strict=True)]
    assert len(sent) > 2000
    for name, text in product(ZONES, ("20m", "6h", "1d")):
        asked = question(
            columns=columns_of([BINNED]), start=span[0], end=span[1], width=width_of(text), zone=zone_of(name)
        )
        expected = await Asking(Listed(sent)).answer(asked)
        found = await gateway.telemetry.asking.answer(asked)
        assert [row.place for row in found.rows] == [row.place for row in expected.rows], (name, text)
        for row, other in zip(found.rows, expected.rows, strict=True):
            pairs = [(one, two) for one, two in zip(row.values, other.values, strict=True) if two is not None]
            assert all(close(one, float(two)) for one, two in pairs), (name, text)


@pytest.mark.parametrize(
    ("columns", "hours", "text", "devices", "is_aside"),
    [
        ("avg(p)", SMALL_CELLS - 1, "1h", 1, False),
        ("avg(p)", SMALL_CELLS, "1h", 1, True),
        ("avg(p)", SMALL_CELLS - 1, "1h", 2, True),
        ("avg(p),min(p)", SMALL_CELLS - 1, "1h", 1, True),
        ("p90(p)", 2, "1h", 1, True),
        # However few bins are asked for, what they are combined from is hours and days.
        ("avg(p)", SMALL_CELLS - 1, "60d", 1, False),
        ("avg(p)", SMALL_CELLS, "60d", 1, True),
        ("avg(p)", 30 * 24, "1d", 33, True),
        ("avg(p)", 365 * 24, "366d", 100, True),
    ],
)
async def test_only_few_bins_are_counted_on_the_loop(
    columns: str, hours: int, text: str, devices: int, *, is_aside: bool
) -> None:
    source = Listed([("a", "p", 5, 1.0)])
    keys = {"all": ("a", *map(str, range(devices - 1)))}
    asked = question(columns=columns_of([columns]), end=hours * HOUR_MS, width=width_of(text), keys=keys)
    [row] = (await Asking(source).answer(asked)).rows
    assert row.values[0] == 1.0
    assert (source.aside_count > 0) == is_aside


@pytest.mark.parametrize("select", ["avg(p)", "p90(p)"])
@pytest.mark.parametrize("fill", Fill)
async def test_a_question_about_no_device_is_answered_without_its_bins(select: str, fill: Fill) -> None:
    source = Listed([])
    asked = question(columns=columns_of([select]), keys={}, end=LATEST, width=width_of("1s"), zone=Asked(0), fill=fill)
    assert await Asking(source).answer(asked) == Answer((), None)
    assert (source.aside_count, source.read_count) == (0, 0)


async def test_many_bins_of_a_row_without_devices_are_filled_in_a_thread() -> None:
    source = Listed([])
    asked = question(columns=columns_of(["avg(p)"]), keys={"all": ()}, width=width_of("1m"), fill=Fill.ZERO)
    assert [row.values for row in (await Asking(source).answer(asked)).rows] == [(0,)] * (DAY_MS // MINUTE_MS)
    assert source.aside_count > 0


async def test_bounds_are_gone_through_in_a_thread_and_those_of_no_device_lead_to_nothing() -> None:
    source = Listed([])

    class Bounds(list[int]):
        def __iter__(self) -> Iterator[int]:
            assert source.aside_count
            return super().__iter__()

    asked = question(columns=columns_of(["avg(p)"]), keys={}, end=LATEST, width=width_of("1h"))
    gathered = await Asking(source).gathered(asked, Bounds([0, 1, LATEST]))
    assert gathered.whole("a", "p") == {}
    assert (source.aside_count, source.read_count) == (1, 0)


# --- what a question may cost --------------------------------------------------------------------


class Gate:
    """Where whoever reads has to wait."""

    def __init__(self) -> None:
        self.reached = asyncio.Semaphore(0)
        self.opened = asyncio.Event()

    async def pass_through(self) -> None:
        self.reached.release()
        await self.opened.wait()


async def test_too_many_bins_are_refused_before_anything_is_read() -> None:
    source = Listed([])
    asked = question(columns=columns_of(["avg(p)"]), end=CELLS_LIMIT * 1_000, width=width_of("1s"))
    with pytest.raises(TooMuchError, match="ask for wider bins"):
        await Asking(source).answer(asked)
    assert source.read_count == 0


async def test_bins_that_begin_anew_at_midnight_are_too_many_as_they_are() -> None:
    width = width_of("23h")
    asked = question(columns=columns_of(["avg(p)"]), end=(CELLS_LIMIT // 2 - 9) * least_ms(width), width=width)
    with pytest.raises(TooMuchError, match="287,"):
        await Asking(Listed([])).answer(asked)


async def test_too_many_readings_are_refused_and_not_left_out() -> None:
    source = Listed([("a", "p", 5, 1)])
    source.sent *= READINGS_LIMIT + 1
    source.readings = lambda *_: [(5, 1)] * (READINGS_LIMIT + 1)  # type: ignore[method-assign]
    for select, width in (("p50(p)", width_of("1h")), ("p", None)):
        with pytest.raises(TooMuchError, match="readings one by one"):
            await Asking(source).answer(question(columns=columns_of([select]), width=width, keys={"a": ("a",)}))


async def test_too_many_looks_are_refused() -> None:
    keys = {str(number): (str(number),) for number in range(READS_LIMIT + 1)}
    with pytest.raises(TooMuchError, match="looks into"):
        await Asking(Listed([])).answer(
            question(columns=columns_of(["p50(p)"]), keys=keys, end=5, width=width_of("1h"))
        )


async def test_a_question_that_takes_too_long_is_refused() -> None:
    source = Listed([])
    source.before_read = asyncio.Event().wait
    with pytest.raises(TooMuchError, match=r"more than 0\.01 s"):
        await Asking(source, time_limit_s=0.01).answer(question(columns=columns_of(["p"])))


async def test_a_few_questions_wait_and_more_are_sent_away_until_there_is_room() -> None:
    source, gate = Listed([("a", "p", 5, 1)]), Gate()
    source.before_read = gate.pass_through
    asking, asked = Asking(source), question(columns=columns_of(["p"]), keys={"a": ("a",)})
    waiting = [asyncio.create_task(asking.answer(asked)) for _ in range(QUESTIONS_AT_ONCE + WAITING_LIMIT)]
    for _ in range(QUESTIONS_AT_ONCE):
        await gate.reached.acquire()
    with pytest.raises(TooManyQuestionsError) as refused:
        await asking.answer(asked)
    assert refused.value.wait_s > 0
    assert source.read_count == QUESTIONS_AT_ONCE
    waiting.pop().cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    gate.opened.set()
    assert (await asking.answer(asked)).rows
    assert all(answer.rows for answer in await asyncio.gather(*waiting))


async def test_a_question_that_is_given_up_reads_no_further() -> None:
    source, gate = Listed([]), Gate()
    source.before_read = gate.pass_through
    asking = Asking(source)
    task = asyncio.create_task(asking.answer(question(columns=columns_of(["p"]))))
    await gate.reached.acquire()
    task.cancel()
    gate.opened.set()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    assert source.read_count == 1
    assert (await asking.answer(question(columns=columns_of(["p"])))).rows == ()


def crowded(count: int) -> Listed:
    """So many readings within the first minute, in the order of time."""
    return Listed([("a", "p", number * MINUTE_MS // count, number % 7) for number in range(count)])


async def test_more_readings_than_may_be_held_at_once_are_looked_at_in_parts() -> None:
    source, keys = crowded(READINGS_AT_ONCE_LIMIT + 9), {"a": ("a",)}
    asked = question(columns=columns_of(["p50(p), count(p)"]), keys=keys, end=HOUR_MS, width=width_of("1h"))
    assert [row.values for row in (await Asking(source).answer(asked)).rows] == [(3.0, READINGS_AT_ONCE_LIMIT + 9)]
    asked = question(columns=columns_of(["p"]), keys=keys, end=HOUR_MS, order=Order.NEWEST, limit=3)
    answer = await Asking(source).answer(asked)
    assert [row.place.at for row in answer.rows] == [source.sent[-1][2]] * 3


async def test_windows_over_more_readings_than_may_be_held_at_once_are_refused() -> None:
    source = crowded(READINGS_AT_ONCE_LIMIT + 9)
    asked = question(columns=columns_of(["rolling_avg(p, 2h)"]), keys={"a": ("a",)}, start=MINUTE_MS, end=HOUR_MS)
    with pytest.raises(TooMuchError, match="shorter ones"):
        await Asking(source).answer(asked)
