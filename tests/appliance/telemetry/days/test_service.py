"""What lies in day files is found, and what was damaged of it is named."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from appliance.instant import DAY_MS
from appliance.telemetry import queries
from appliance.telemetry.days.service import Days, surveyed
from appliance.telemetry.merge import Part
from appliance.telemetry.packing import ChunkError
from appliance.telemetry.rows import Rows
from appliance.telemetry.wanted import Check, is_wanted
from tests.appliance.telemetry.reports import DAY, NOON, report
from tests.appliance.telemetry.test_service import Gateway


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with Gateway(tmp_path).running() as running:
        await running.take(report("a"), report("b", NOON + 1))
        await running.telemetry.seal_all()
        await running.take(report("a", NOON + 2), report("a", NOON + DAY_MS))
        await running.telemetry.seal_all()
        yield running


@pytest.fixture
def days(gateway: Gateway) -> Days:
    return gateway.telemetry.day_files


def test_days_are_known_by_their_files_and_by_what_is_in_memory(days: Days) -> None:
    assert days.numbers() == [DAY + 1, DAY]
    assert days.between(is_wanted, NOON, NOON + 1, []) == [DAY]
    assert days.between(is_wanted, NOON, NOON + DAY_MS, []) == [DAY + 1, DAY]
    assert days.path(DAY).name == queries.day_name(DAY)


def moments(
    days: Days, device_id: str, day: int, span: tuple[int, int], memory: Sequence[Rows] = ()
) -> list[list[int]]:
    def look(_check: Check, parts: Sequence[Part]) -> list[list[int]]:
        return [list(part.at) for part in parts]

    return days.looked_at(is_wanted, (1, device_id), day, span, memory, look)


def test_rows_are_those_of_the_device_and_the_span(days: Days) -> None:
    whole = (DAY * DAY_MS, (DAY + 1) * DAY_MS)
    assert moments(days, "a", DAY, whole) == [[NOON], [NOON + 2]]
    assert moments(days, "a", DAY, (NOON + 1, NOON + 9)) == [[NOON + 2]]
    assert moments(days, "unknown", DAY, whole) == []
    assert moments(days, "a", DAY - 1, whole) == []
    memory = [Rows.of([report("a", NOON + 5)], 9)]
    assert moments(days, "a", DAY, (NOON + 1, NOON + 9), memory) == [[NOON + 2], [NOON + 5]]


def test_each_device_says_how_far_its_chunks_cover_the_log(days: Days) -> None:
    assert days.last_log_ids(DAY) == {(1, "a"): 2, (1, "b"): 1}
    assert days.last_log_ids(DAY - 1) == {}


async def test_a_day_that_cannot_be_read_is_named_once(gateway: Gateway, days: Days) -> None:
    await gateway.telemetry._files.close(queries.day_name(DAY))
    days.path(DAY).write_bytes(b"no database" * 5000)
    with pytest.raises(ChunkError):
        days.last_log_ids(DAY)
    assert moments(days, "a", DAY, (NOON, NOON + 9)) == []
    assert days.missing.between(1, ["a"], NOON, NOON + 1) == [DAY]
    assert days.missing.between(1, ["a"], NOON + DAY_MS, NOON + 2 * DAY_MS) == []
    days.note_damage("more")
    days.note_damage("more")
    assert {each.split()[0] for each in days.damages} == {"2026-01-31.db", "more"}


def test_headers_tell_what_chunks_say_of_themselves(days: Days) -> None:
    devices = [(1, "a"), (1, "b")]
    [a, b] = days.headers(is_wanted, devices, DAY, (DAY * DAY_MS, NOON + 2))
    assert [
        [(each.report_count, each.first_at, each.last_at, each.last_log_id) for each in seen.chunks] for seen in (a, b)
    ] == [
        [(1, NOON, NOON, 1)],
        [(1, NOON + 1, NOON + 1, 1)],
    ]
    days.erase((1, "a"), 1)
    assert [len(each.chunks) for each in days.headers(is_wanted, devices, DAY, (DAY * DAY_MS, NOON + 2))] == [0, 1]


async def test_a_device_is_not_seen_whole_when_not_all_of_its_chunks_can_be_read(gateway: Gateway, days: Days) -> None:
    devices = [(1, "a"), (1, "b")]

    def seen(day: int) -> dict[str, tuple[int, bool]]:
        found = days.glances(is_wanted, devices, day, (day * DAY_MS, (day + 1) * DAY_MS))
        return {each.device[1]: (len(each.chunks), each.is_whole) for each in found}

    assert seen(DAY) == {"a": (2, True), "b": (1, True)}
    assert seen(DAY - 1) == {"a": (0, False), "b": (0, False)}
    file = await gateway.telemetry._files.writer(queries.day_name(DAY))
    await file.write(
        lambda connection: connection.execute("UPDATE chunk SET record = x'00' WHERE first_at = ?", (NOON,))
    )
    assert seen(DAY) == {"a": (1, False), "b": (1, True)}
    await gateway.telemetry._files.close(queries.day_name(DAY))
    days.path(DAY).write_bytes(b"no database" * 5000)
    assert seen(DAY) == {"a": (0, False), "b": (0, False)}


def test_a_survey_says_how_far_the_log_is_covered(gateway: Gateway) -> None:
    paths = queries.day_paths(gateway.folder / "days")
    survey = surveyed(paths, oldest_log_id=2, erased={})
    assert survey.covered == {(1, "a", DAY): 2, (1, "a", DAY + 1): 2}
    assert survey.last_log_ids == {DAY: 2, DAY + 1: 2}
    assert survey.highest_log_id == 2
    assert survey.damages == []
