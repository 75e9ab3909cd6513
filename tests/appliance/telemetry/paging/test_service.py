"""Pages are the whole in parts, each reading once, however many have the same moment and whatever comes in between."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.telemetry.model import Value
from appliance.telemetry.paging import cut
from appliance.telemetry.paging.cursor import beginning, read, written
from appliance.telemetry.paging.model import NAMES_LIMIT, PLACES_LIMIT, Page
from appliance.telemetry.paging.service import Paging
from tests.appliance.telemetry.asking.source import Listed, Sent
from tests.appliance.telemetry.reports import NOON, report
from tests.appliance.telemetry.test_service import Gateway

METRICS = ("x", "y", "z")
START, END = 0, 6
PUMP = (1, "pump")

sent = st.lists(st.tuples(st.sampled_from(METRICS), st.integers(START - 1, END)), max_size=30)
Kept = dict[str, list[tuple[int, Value]]]


def listed(found: list[tuple[str, int]], first: int = 0) -> Sent:
    """Readings whose values tell them apart."""
    return [("pump", metric, at, first + number) for number, (metric, at) in enumerate(found)]


def kept(source: Listed) -> Kept:
    return {metric: source.readings("pump", metric, START, END) for metric in METRICS}


def add(page: Page, told: Kept, limit: int) -> None:
    """Put a page before those that were told."""
    for series in page.series:
        assert len(series.at) == len(series.values) <= limit
        told[series.metric] = [*zip(series.at, series.values, strict=True), *told[series.metric]]


@given(sent, st.lists(sent, max_size=3), st.integers(1, 5), st.integers(1, PLACES_LIMIT), st.sampled_from([0, 2, 100]))
def test_pages_are_all_readings_each_once(
    found: list[tuple[str, int]], late: list[list[tuple[str, int]]], limit: int, place_count: int, name_count: int
) -> None:
    source = Listed(listed(found))
    before = kept(source)

    async def told() -> Kept:
        result: Kept = {metric: [] for metric in METRICS}
        cursor = beginning(START, END)
        for number in range(len(found) + sum(map(len, late)) + 1):
            page = await Paging(source).page(PUMP, METRICS, cursor, limit)
            add(page, result, limit)
            if page.next is None:
                return result
            assert any(series.truncated for series in page.series)
            assert any(series.at for series in page.series), "every page gets on"
            cursor = read(written(page.next))
            if number < len(late):
                more = listed(late[number], 1_000 * (number + 1))
                source.sent = sorted([*source.sent, *more], key=lambda each: each[2])
        raise AssertionError("the pages have no end")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cut, "PLACES_LIMIT", place_count)
        patch.setattr(cut, "NAMES_LIMIT", name_count)
        result = asyncio.run(told())
    for metric in METRICS:
        assert len({value for _, value in result[metric]}) == len(result[metric]), "none is told twice"
        assert [each for each in result[metric] if each in before[metric]] == before[metric]
        assert result[metric] == [each for each in kept(source)[metric] if each in result[metric]]
        if not any(late):
            assert result[metric] == before[metric]


async def test_the_first_page_has_the_newest_of_each_metric() -> None:
    found = [("x", at) for at in range(5)] + [("y", 0), ("z", 2)]
    page = await Paging(Listed(listed(found))).page(PUMP, METRICS, beginning(START, END), 2)
    assert {series.metric: (list(series.at), series.truncated) for series in page.series} == {
        "x": ([3, 4], True),
        "y": ([0], False),
        "z": ([2], False),
    }
    assert page.next is not None
    assert [going.metrics for going in page.next.going] == [("x",)], "the others have ended"


async def test_a_cursor_has_a_bounded_length_however_many_metrics_go_on() -> None:
    metrics = [f"{number:03}{'ü' * 125}" for number in range(300)]
    source = Listed(listed([(metric, number % 100 + step) for number, metric in enumerate(metrics) for step in (0, 1)]))
    cursor, given_count = beginning(0, 200), 0
    for _ in range(600):
        page = await Paging(source).page(PUMP, metrics, cursor, 1)
        given_count += sum(len(series.at) for series in page.series)
        if page.next is None:
            break
        cursor = page.next
        assert len(written(cursor)) < 8 * NAMES_LIMIT
    assert given_count == 600


async def test_pages_are_of_day_files_and_memory_and_what_comes_late(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    async with gateway.running():
        for number in range(40):
            await gateway.take(report("pump", NOON + number // 8, sequence=number, values={"x": number, "y": -number}))
            if number == 20:
                await gateway.telemetry.seal_all()
        told: dict[str, list[Value]] = {"x": [], "y": []}
        cursor, page_count = beginning(0, 1 << 45), 0
        while True:
            page = await gateway.telemetry.paging.page((1, "pump"), ["x", "y"], cursor, 3)
            page_count += 1
            for series in page.series:
                told[series.metric] = [*series.values, *told[series.metric]]
            if page.next is None:
                break
            cursor = page.next
            if page_count == 5:
                await gateway.telemetry.seal_all()
                late = [
                    report("pump", NOON + at, sequence=100 + at, values={"x": 1_000 + at, "y": 0.5}) for at in range(5)
                ]
                await gateway.take(*late)
    assert [value for value in told["x"] if value not in range(1_000, 1_005)] == list(range(40))
    assert [value for value in told["y"] if value != 0.5] == [-number for number in range(40)]
    assert sorted(set(told["x"])) == sorted(told["x"]), "none is told twice"  # type: ignore[type-var]
