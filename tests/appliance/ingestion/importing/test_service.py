import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.bus import Subscription
from appliance.ingestion.importing import service
from appliance.ingestion.importing.model import REFUSALS_TOLD, BusyImportingError, InvalidReadingsError
from appliance.instant import DAY_MS
from appliance.telemetry.exporting.model import Asked
from appliance.telemetry.exporting.request import wanted
from appliance.telemetry.model import Report, ReportsCommitted
from appliance.telemetry.rows import identity_of
from tests.appliance.telemetry.kept import kept
from tests.appliance.telemetry.reports import NOON, report
from tests.web import house as houses
from tests.web.conftest import house
from tests.web.house import House

__all__ = ["house"]

cells = st.floats() | st.integers(-(2**63), 2**63 - 1) | st.booleans() | st.none() | st.text(max_size=5)
metrics = st.sampled_from(["flow", "pressure", "time", "x y"])
reports = st.lists(
    st.builds(
        report,
        st.sampled_from("ab"),
        st.integers(0, 40).map(lambda step: NOON + step * DAY_MS // 16),
        values=st.dictionaries(metrics, cells, min_size=1, max_size=3),
    ),
    max_size=25,
)


async def exported(house: House, form: str) -> str:
    devices = house.gateway.registry.devices(1)
    asked = Asked(start=0, end=NOON + 30 * DAY_MS, form=form, is_detailed=True)
    request = wanted(1, asked, devices, lambda device_id: house.gateway.telemetry.metrics(1, device_id))
    return "".join([piece async for piece in house.gateway.exporting.pieces(request, (1, "ann"))])


async def stored(house: House) -> Any:
    found = {}
    for device_id in "ab":
        for metric in house.gateway.telemetry.metrics(1, device_id):
            [series] = await house.gateway.telemetry.series(1, device_id, [metric], 0, NOON + 30 * DAY_MS, 10_000)
            found[device_id, metric] = sorted(zip(series.at, map(repr, series.values), strict=True))
    return found


async def stored_reports(house: House) -> list[set[str]]:
    every = [await kept(house.gateway.telemetry, device_id, 0, NOON + 30 * DAY_MS) for device_id in "ab"]
    return [{repr(identity_of(each)) for each in of_one} for of_one in every]


async def law(folder: Path, sent: list[Report], form: str, *, is_sealed: bool) -> None:
    (folder / "one").mkdir(parents=True)
    (folder / "two").mkdir()
    async with houses.opened(folder / "one") as house, houses.opened(folder / "two") as other:
        for each in (house, other):
            await each.add_device("a")
            await each.add_device("b")
        half = len(sent) // 2
        await house.gateway.ingestion.bring(sent[:half])
        if is_sealed:
            await house.gateway.telemetry.seal_all()
        await house.gateway.ingestion.bring(sent[half:])
        text = await exported(house, form)
        for is_first in (True, False):
            tally = await other.gateway.importing.table(1, text, is_dry_run=False)
            assert tally.refused == ()
            assert is_first or tally.reading_count == 0
        assert await stored(other) == await stored(house)
        # Rows of one reading do not tell to which of two reports of a moment they belong.
        assert form == "long" or await stored_reports(other) == await stored_reports(house)
        assert (await house.gateway.importing.table(1, text, is_dry_run=True)).reading_count == 0


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(reports, st.sampled_from(["csv", "long"]), st.booleans(), st.sampled_from([5, 1_000]))
def test_an_export_taken_by_an_empty_gateway_makes_the_same_store(
    tmp_path_factory: pytest.TempPathFactory, sent: list[Report], form: str, is_sealed: bool, at_once: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service, "BATCH_REPORTS", at_once)
        asyncio.run(law(tmp_path_factory.mktemp("law") / "law", sent, form, is_sealed=is_sealed))


async def test_a_table_of_many_rows_is_taken_in_batches_and_outlives_the_process(tmp_path: Path) -> None:
    count = service.BATCH_REPORTS * 2 + 1
    table = "time,flow\n" + "".join(f"{NOON + number * 1_000},{number}\n" for number in range(count))
    async with houses.opened(tmp_path) as house:
        await house.add_device("a")
        tally = await house.gateway.importing.table(1, table, device_id="a", is_dry_run=False)
        assert (tally.row_count, tally.reading_count) == (count, count)
    async with houses.opened(tmp_path) as house:
        [series] = await house.gateway.telemetry.series(1, "a", ["flow"], 0, NOON + DAY_MS, count + 1)
        assert list(series.values) == list(range(count))
        assert house.gateway.telemetry.last_seen(1, "a") == NOON + (count - 1) * 1_000


async def sizes_of_commits(heard: Subscription, count: int) -> list[int]:
    """How many of so many reports were committed together."""
    sizes: list[int] = []
    while sum(sizes) < count:
        sizes += [event.counts[1] for event in await heard.next_batch() if isinstance(event, ReportsCommitted)]
    return sizes


@pytest.mark.parametrize("columns", ["metric,value", "x"])
async def test_of_one_moment_there_may_be_any_number_of_rows(columns: str, house: House) -> None:
    await house.add_device("a")
    count = 2 * service.BATCH_REPORTS + 500
    begin = "x," if "metric" in columns else ""
    table = f"time,{columns}\n" + "".join(f"{NOON},{begin}{number}\n" for number in range(count))
    with house.gateway.bus.subscribe(ReportsCommitted) as heard:
        tally = await house.gateway.importing.table(1, table, device_id="a", is_dry_run=False)
        sizes = await sizes_of_commits(heard, count)
    assert (tally.reading_count, tally.duplicate_count) == (count, 0)
    assert max(sizes) <= service.BATCH_REPORTS
    again = await house.gateway.importing.table(1, table, device_id="a", is_dry_run=False)
    assert (again.reading_count, again.duplicate_count) == (0, count)


async def test_wide_rows_are_taken_in_smaller_batches(house: House) -> None:
    await house.add_device("a")
    width, count = 250, 100
    heading = ",".join(f"m{number}" for number in range(width))
    row = ",".join(["1"] * width)
    table = f"time,{heading}\n" + "".join(f"{NOON + number},{row}\n" for number in range(count))
    with house.gateway.bus.subscribe(ReportsCommitted) as heard:
        await house.gateway.importing.table(1, table, device_id="a", is_dry_run=False)
        sizes = await sizes_of_commits(heard, count)
    assert max(sizes) * width <= service.BATCH_READINGS


async def test_what_a_device_sent_with_a_number_is_known_again_without_it(house: House) -> None:
    await house.add_device("a")
    await house.gateway.ingestion.bring([report("a", NOON, values={"x": 1, "y": 2}, sequence=7)])

    async def taken(table: str) -> tuple[int, int]:
        tally = await house.gateway.importing.table(1, table, device_id="a", is_dry_run=False)
        return tally.reading_count, tally.duplicate_count

    assert await taken(f"time,x\n{NOON},1\n") == (0, 1)
    assert await taken(f"time,sequence,x,z\n{NOON},7,5,3\n") == (1, 1)
    assert await taken(f"time,x\n{NOON},2\n") == (1, 0)
    assert await taken(f"time,sequence,x\n{NOON},8,1\n") == (1, 0)


async def test_rows_that_are_refused_are_told_up_to_a_limit(house: House) -> None:
    table = "device_id,time,x\n" + "nobody,0,1\n" * (REFUSALS_TOLD + 5)
    tally = await house.gateway.importing.table(1, table, is_dry_run=False)
    assert (tally.refused_count, len(tally.refused)) == (REFUSALS_TOLD + 5, REFUSALS_TOLD)
    assert [refusal.line for refusal in tally.refused[:3]] == [2, 3, 4]
    actions = [entry.action for entry in await house.gateway.registry.audit.entries(1)]
    assert "telemetry.import" not in actions


async def test_a_table_that_breaks_off_is_taken_as_far_as_it_goes(house: House) -> None:
    await house.add_device("a")
    tally = await house.gateway.importing.table(1, 'time,x\n0,1\n1,"2\n', device_id="a", is_dry_run=False)
    assert (tally.reading_count, tally.refused_count) == (1, 1)
    assert "nothing after it was looked at" in tally.refused[0].reason
    with pytest.raises(InvalidReadingsError, match="no text"):
        await house.gateway.importing.table(1, "a\0b", is_dry_run=False)


async def test_what_arrived_in_the_future_is_refused(house: House) -> None:
    await house.add_device("a")
    table = "time,x,arrived_at\n0,1,8999-01-01\n1,1,1970-01-02\n"
    tally = await house.gateway.importing.table(1, table, device_id="a", is_dry_run=False)
    assert [(each.line, "lies in the future" in each.reason) for each in tally.refused] == [(2, True)]
    assert house.gateway.telemetry.last_seen(1, "a") == DAY_MS


async def test_a_table_that_waits_for_the_disk_makes_no_other_wait_with_it(house: House) -> None:
    await house.add_device("a")
    importing = house.gateway.importing
    importing.turn_timeout_s = 0.05
    async with importing._turn:
        with pytest.raises(BusyImportingError, match="try again later"):
            await importing.table(1, "time,x\n0,1\n", device_id="a", is_dry_run=False)
        assert (await importing.table(1, "time,x\n0,1\n", device_id="a", is_dry_run=True)).reading_count == 1
    assert (await importing.table(1, "time,x\n0,1\n", device_id="a", is_dry_run=False)).reading_count == 1


async def test_lines_are_counted_on_from_the_part_before(house: House) -> None:
    tally = await house.gateway.importing.table(1, "device_id,time,x\nb,0,1\n", first_line=50, is_dry_run=True)
    assert [refusal.line for refusal in tally.refused] == [51]


async def test_nobody_is_alerted_by_what_is_over(house: House) -> None:
    await house.add_device("a")
    with house.gateway.bus.subscribe(object) as heard:
        await house.gateway.importing.table(1, "time,x\n0,1\n", device_id="a", is_dry_run=False)
        assert [type(event).__name__ for event in await heard.next_batch()] == ["ReportsCommitted"]
