import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from appliance.errors import UnavailableError
from appliance.instant import DAY_MS, HOUR_MS, day_of
from appliance.telemetry.asking.columns import columns_of
from appliance.telemetry.asking.edges import width_of
from appliance.telemetry.asking.service import QUESTIONS_AT_ONCE, WAITING_LIMIT
from appliance.telemetry.coarse.model import Lacking
from appliance.telemetry.exporting import reports, service
from appliance.telemetry.exporting.model import (
    Asked,
    InBins,
    Mark,
    Raw,
    TooManyExportsError,
    UnknownExportError,
    Wanted,
)
from appliance.telemetry.exporting.program.service import NoPyarrowError
from appliance.telemetry.exporting.reports import STRETCH_REPORTS
from appliance.telemetry.exporting.request import wanted
from appliance.telemetry.exporting.service import (
    BEGUN_LIMIT,
    EXPORTS_AT_ONCE,
    EXPORTS_OF_ONE,
    PARQUET_AT_ONCE,
    Exporting,
)
from appliance.telemetry.queries import day_name
from tests.appliance.telemetry.asking.source import question
from tests.appliance.telemetry.cold.rig import needs_pyarrow
from tests.appliance.telemetry.exporting.programs import programs, read, without_pyarrow
from tests.appliance.telemetry.promql.devices import device
from tests.appliance.telemetry.reports import NOON, report
from tests.appliance.telemetry.test_hourly import let_go
from tests.appliance.telemetry.test_service import Gateway

DAYS = 3
COUNT = 1_500
WHO = (1, "ann")


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    """A device that says much over three days, one that says little, and one that says nothing."""
    made = Gateway(tmp_path)
    made.now = NOON + DAYS * DAY_MS
    async with made.running():
        for day in range(DAYS):
            # Across five o'clock, where one look ends and the next one begins.
            at = NOON + day * DAY_MS - 15 * HOUR_MS // 2
            await made.take(*[report("a", at + number * 5_000, values={"x": number}) for number in range(COUNT)])
            if day == 0:
                await made.telemetry.seal_all()
        await made.take(report("b", NOON, values={"y": 1}))
        yield made


def raw(**changes: object) -> Raw:
    asked = msgspec.structs.replace(Asked(start=0, end=NOON + DAYS * DAY_MS, form="jsonl"), **changes)
    found = wanted(1, asked, [device(name) for name in "abc"], lambda _: ["x"])
    assert isinstance(found, Raw)
    return found


async def test_all_there_is_is_written_in_pieces_of_bounded_size(gateway: Gateway) -> None:
    exporting = Exporting(gateway.telemetry)
    mark: Mark | None = Mark()
    sizes, lines = [], []
    while mark is not None:
        piece = await exporting.piece(raw(), mark)
        sizes.append(piece.text.count("\n"))
        lines += piece.text.splitlines()
        mark = piece.next
    assert len(lines) == DAYS * COUNT + 1
    assert len(set(lines)) == len(lines)
    assert max(sizes) < 2 * STRETCH_REPORTS
    assert '"device_id":"b"' in lines[-1]


async def test_a_piece_that_is_asked_for_twice_is_the_same(gateway: Gateway) -> None:
    exporting = Exporting(gateway.telemetry)
    first = await exporting.piece(raw(), Mark())
    assert first.next is not None
    assert await exporting.piece(raw(), Mark()) == first
    again = msgspec.json.decode(msgspec.json.encode(first.next), type=Mark)
    assert await exporting.piece(raw(), again) == await exporting.piece(raw(), first.next)


async def test_only_some_are_written_at_once_and_who_leaves_makes_room(gateway: Gateway) -> None:
    exporting = Exporting(gateway.telemetry)
    running = [exporting.pieces(raw(), (1, str(number // EXPORTS_OF_ONE))) for number in range(EXPORTS_AT_ONCE)]
    for each in running:
        await anext(each)
    with pytest.raises(TooManyExportsError, match="4 exports are"):
        await anext(exporting.pieces(raw(), (1, "another")))
    await running[0].aclose()
    assert exporting.count == EXPORTS_AT_ONCE - 1
    assert await anext(exporting.pieces(raw(), (1, "another")))


@needs_pyarrow
async def test_fewer_are_written_as_parquet_and_no_program_outlives_whoever_leaves(gateway: Gateway) -> None:
    exporting, what = Exporting(gateway.telemetry), raw(form="parquet")
    running = [exporting.written(what, (1, str(number))) for number in range(PARQUET_AT_ONCE)]
    assert [await anext(each) for each in running] == [b"PAR1"] * PARQUET_AT_ONCE
    assert len(programs()) == PARQUET_AT_ONCE
    with pytest.raises(TooManyExportsError, match="2 exports are being written as Parquet"):
        await anext(exporting.written(what, WHO))
    assert await anext(exporting.written(raw(), WHO)), "other forms have places left"
    await running[0].aclose()
    assert len(programs()) == exporting._parquet_count == PARQUET_AT_ONCE - 1
    leaving = asyncio.create_task(anext(running[1]))
    await asyncio.sleep(0)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert len(programs()) == exporting._parquet_count == exporting.count == 0


async def test_who_is_sent_away_costs_no_program(
    gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nothing"))
    exporting = Exporting(gateway.telemetry)
    running = [exporting.written(raw(), WHO) for _ in range(EXPORTS_OF_ONE)]
    assert all([await anext(each) for each in running])
    with pytest.raises(TooManyExportsError):
        await anext(exporting.written(raw(form="parquet"), WHO))
    await running[0].aclose()
    with pytest.raises(UnavailableError):
        await anext(exporting.written(raw(form="parquet"), WHO))


@needs_pyarrow
async def test_parquet_is_one_file(gateway: Gateway) -> None:
    written = [more async for more in Exporting(gateway.telemetry).written(raw(form="parquet"), WHO)]
    column = read(b"".join(written))["device_id"].to_pylist()
    assert column == ["a"] * DAYS * COUNT + ["b"]


async def test_without_pyarrow_parquet_is_refused_with_what_to_install(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    exporting, asked = Exporting(gateway.telemetry), Asked(0, NOON, form="parquet")
    without_pyarrow(monkeypatch)
    assert not exporting.has_parquet
    with pytest.raises(NoPyarrowError, match=r"pip install 'headworks\[cold\]'"):
        await exporting.wanted(1, asked, [device("a")])
    assert (await exporting.wanted(1, msgspec.structs.replace(asked, form="csv"), [device("a")])).form == "csv"


async def test_one_user_leaves_places_for_the_others(gateway: Gateway) -> None:
    exporting = Exporting(gateway.telemetry)
    running = [exporting.pieces(raw(), WHO) for _ in range(EXPORTS_OF_ONE)]
    for each in running:
        await anext(each)
    with pytest.raises(TooManyExportsError, match="2 of your exports"):
        await anext(exporting.pieces(raw(), WHO))
    assert await anext(exporting.pieces(raw(), (2, WHO[1])))


async def test_a_burst_after_a_long_silence_is_given_in_pieces_of_bounded_size(tmp_path: Path) -> None:
    made = Gateway(tmp_path)
    made.now = NOON + 20 * DAY_MS
    async with made.running():
        # The time that is looked at in one go has grown to a day by then.
        await made.take(report("a", NOON, values={"x": -1}))
        await made.telemetry.seal_all()
        at, count = NOON + 15 * DAY_MS, 3 * STRETCH_REPORTS
        await made.take(*[report("a", at + number * 100, values={"x": number}) for number in range(count)])
        exporting, what = Exporting(made.telemetry), raw(end=made.now)
        mark: Mark | None = Mark()
        sizes, values = [], []
        while mark is not None:
            block = await exporting.block(what, mark)
            sizes.append(len(block.reports))
            values += [each.values["x"] for each in block.reports]
            mark = block.next
        assert values == list(range(-1, count))
        assert max(sizes) <= 2 * STRETCH_REPORTS


async def test_the_heading_is_written_once_though_the_first_moment_is_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "STRETCH_REPORTS", 2)
    monkeypatch.setattr(reports, "STRETCH_REPORTS", 2)
    async with Gateway(tmp_path).running() as made:
        await made.take(*[report("a", 0, values={"x": number}) for number in range(5)])
        lines = (await whole(Exporting(made.telemetry), raw(form="csv"))).splitlines()
    assert [line.split(",")[3] for line in lines] == ["x", "0", "1", "2", "3", "4"]


async def test_an_export_that_was_begun_keeps_what_it_is_of(gateway: Gateway) -> None:
    exporting = Exporting(gateway.telemetry)
    name = exporting.begin(raw())
    assert await exporting.further(name, Mark()) == await exporting.piece(raw(), Mark())
    others = [exporting.begin(raw(end=0)) for _ in range(BEGUN_LIMIT - 1)]
    assert await exporting.further(name, Mark()) == await exporting.piece(raw(), Mark())
    exporting.begin(raw())
    assert (await exporting.further(name, Mark())).next
    with pytest.raises(UnknownExportError):
        await exporting.further(others[0], Mark())
    assert (await exporting.further(others[1], Mark())).next is None
    with pytest.raises(UnknownExportError, match="begin it again"):
        await exporting.further(others[1], Mark())


async def test_the_last_piece_says_what_the_export_lacks(gateway: Gateway) -> None:
    exporting = Exporting(gateway.telemetry)

    async def told(of: Wanted) -> Lacking:
        name, mark = exporting.begin(of), Mark()
        while (piece := await exporting.further(name, mark)).next is not None:
            assert piece.lacking == Lacking()
            mark = piece.next
        assert piece.lacking == await exporting.lacking(of)
        return piece.lacking

    everything = raw()
    assert await told(everything) == Lacking()
    await let_go(gateway, NOON // DAY_MS)
    first, second = day_of(NOON), day_of(NOON + DAY_MS)
    assert await told(everything) == Lacking((), (first,))
    assert await told(raw(select=("z",))) == await told(raw(start=NOON + DAY_MS)) == Lacking()
    assert await told(raw(start=NOON, end=NOON)) == Lacking()
    assert await told(in_bins("1h")) == Lacking()
    assert await told(in_bins("10m")) == Lacking((), (first,))
    file = await gateway.telemetry._files.writer(day_name(NOON // DAY_MS + 1))
    await file.write(lambda connection: connection.execute("UPDATE chunk SET record = x'00'"))
    # Damage is known once it was come across: the last piece tells of it.
    assert await exporting.lacking(everything) == Lacking((), (first,))
    assert await told(everything) == Lacking((second,), (first,))


def in_bins(width: str) -> InBins:
    asked = question(
        columns=columns_of(["count(x)"]), start=NOON - 12 * HOUR_MS, end=NOON + DAYS * DAY_MS, width=width_of(width)
    )
    return InBins(msgspec.structs.replace(asked, keys={"a": ("a",), "c": ("c",)}), "device_id", raw().form)


async def whole(exporting: Exporting, what: Wanted) -> str:
    return "".join([piece async for piece in exporting.pieces(what, WHO)])


async def test_bins_do_not_depend_on_the_pieces(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    exporting = Exporting(gateway.telemetry)
    at_once = await whole(exporting, in_bins("7m"))
    monkeypatch.setattr(service, "CELLS_AT_ONCE", 10)
    assert await whole(exporting, in_bins("7m")) == at_once
    assert sum(msgspec.json.decode(line)["count(x)"] for line in at_once.splitlines()) == DAYS * COUNT


async def test_an_export_waits_for_those_who_look_at_charts(gateway: Gateway) -> None:
    asking = gateway.telemetry.asking
    full = QUESTIONS_AT_ONCE + WAITING_LIMIT
    asking._asked_count = full
    exporting = Exporting(gateway.telemetry)
    pieces = exporting.pieces(in_bins("1d"), WHO)
    waiting = asyncio.ensure_future(anext(pieces))
    done, _ = await asyncio.wait([waiting], timeout=0.05)
    assert not done
    asking._asked_count = 0
    assert "count(x)" in await waiting


async def test_metrics_are_looked_up_on_the_loop_a_few_devices_at_a_time(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "DEVICES_AT_ONCE", 2)
    asked: list[str] = []
    turns: list[int] = []
    metrics = gateway.telemetry.metrics

    def told(tenant_id: int, device_id: str) -> list[str]:
        # What grows is looked at by nobody else.
        asyncio.get_running_loop().call_soon(lambda: turns.append(len(asked)))
        asked.append(device_id)
        return metrics(tenant_id, device_id)

    gateway.telemetry.metrics = told  # type: ignore[method-assign]
    devices = [device(name) for name in "abcde"]
    found = await Exporting(gateway.telemetry).wanted(1, Asked(0, NOON), devices)
    assert isinstance(found, Raw)
    assert found.layout.metrics == ("x", "y")
    assert asked == [*"abcde"]
    assert turns == [2, 2, 4, 4, 5]
    asked.clear()
    await Exporting(gateway.telemetry).wanted(1, Asked(0, NOON, select=("x",)), devices)
    assert asked == []
