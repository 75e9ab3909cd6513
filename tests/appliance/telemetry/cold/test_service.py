"""Days become Parquet, are answered from it when their chunks have gone, and what is erased is nowhere."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from appliance.cold_settings import ColdConfig
from appliance.config import TelemetryConfig
from appliance.instant import DAY_MS, MINUTE_MS
from appliance.registry.model import Device, DeviceState
from appliance.telemetry.cold import plan, service
from appliance.telemetry.cold.model import Arrivals, ColdDay, ColdError
from appliance.telemetry.cold.service import Cold
from appliance.telemetry.cold.worker.model import Written
from appliance.telemetry.keeping.room.service import Room
from appliance.telemetry.model import Report
from tests.appliance.telemetry.cold.rig import ColdGateway, needs_bucket, needs_pyarrow, objects, s3, served, until
from tests.appliance.telemetry.reports import DAY, NOON, report, reports

OBJECT = "cold/day=2026-01-31/part.parquet"
METRICS = ["a", "b"]


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[ColdGateway]:
    async with ColdGateway(tmp_path).running() as running:
        yield running


async def answered(gateway: ColdGateway, device_id: str = "a") -> list[Any]:
    """Every reading of a device, in what can be compared exactly."""
    found = await gateway.telemetry.series(1, device_id, METRICS, 0, NOON + DAY_MS, 100_000)
    return [(series.metric, list(series.at), list(map(repr, series.values))) for series in found]


of_a_day = st.lists(
    reports(devices=st.sampled_from(["a", "b"]), moments=st.integers(NOON, NOON + 3)).map(
        lambda each: report(
            each.device_id,
            each.at,
            values=dict(zip(METRICS, each.values.values(), strict=False)),
            sequence=each.sequence,
        )
    ),
    min_size=1,
    max_size=12,
)


@needs_pyarrow
@settings(max_examples=6, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(of_a_day, of_a_day)
def test_parquet_answers_what_chunks_did_for_every_form_of_value_and_any_late_reading(
    first: list[Report], late: list[Report]
) -> None:
    async def story(folder: Path) -> None:
        async with ColdGateway(folder).running() as gateway:
            await gateway.take(*first)
            await gateway.seal()
            await gateway.well()
            before = [await answered(gateway, name) for name in ("a", "b")]
            await gateway.drop()
            assert [await answered(gateway, name) for name in ("a", "b")] == before
            await gateway.take(*late)
            expected = [await answered(gateway, name) for name in ("a", "b")]
            await gateway.seal()
            # The sealed day has only what came late, and the file still has the rest.
            assert [await answered(gateway, name) for name in ("a", "b")] == expected
            await gateway.well()
            assert [await answered(gateway, name) for name in ("a", "b")] == expected
            await gateway.drop()
            assert [await answered(gateway, name) for name in ("a", "b")] == expected

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(story(Path(folder)))


@needs_pyarrow
async def test_a_day_is_written_once_it_is_sealed_and_again_when_something_came_late(gateway: ColdGateway) -> None:
    await gateway.take(report())
    await gateway.telemetry.seal_all()
    await gateway.well()
    assert not gateway.file().exists()
    await gateway.seal()
    await gateway.well()
    usage = gateway.cold.usage()
    assert (usage.day_count, usage.oldest_day, usage.waiting_count) == (1, DAY, 0)
    assert usage.file_bytes == gateway.file().stat().st_size
    inode = gateway.file().stat().st_ino
    await gateway.well()
    assert gateway.file().stat().st_ino == inode
    await gateway.take(report(at=NOON + 1))
    await gateway.seal()
    await gateway.well()
    assert gateway.cold._shelf.known[DAY].reading_count == 4


@needs_pyarrow
async def test_a_day_stays_until_it_is_written_however_often_the_disk_refuses_it(gateway: ColdGateway) -> None:
    await gateway.take(report())
    await gateway.seal()
    assert not gateway.cold.may_go(DAY)
    # Nothing can be written where a file lies in the place of the folder.
    (gateway.folder / "cold").touch()
    for _ in range(plan.PATIENCE_NIGHTS + 1):
        await gateway.cold.look()
        assert "2026-01-31 could not be written as Parquet" in gateway.cold.status().summary
        assert not gateway.cold.may_go(DAY)
        gateway.cold._upkeep.end_night()
        gateway.now += DAY_MS
    (gateway.folder / "cold").unlink()
    await gateway.well()
    assert gateway.cold.may_go(DAY)
    assert gateway.cold.status().ok


@needs_pyarrow
async def test_an_erased_device_is_not_seen_from_then_on_and_is_gone_from_the_file_soon(gateway: ColdGateway) -> None:
    await gateway.take(report("person", values={"a": 1.5}), report("other", values={"a": 2.5}))
    await gateway.seal()
    await gateway.well()
    await gateway.drop()
    assert await answered(gateway, "person") != [("a", [], []), ("b", [], [])]
    await gateway.keeping.erase(1, ["person"])
    assert await answered(gateway, "person") == [("a", [], []), ("b", [], [])]
    await gateway.keeping.erase_pending()
    assert await answered(gateway, "person") == [("a", [], []), ("b", [], [])]
    assert b"person" in gateway.file().read_bytes()
    await gateway.well()
    assert b"person" not in gateway.file().read_bytes()
    assert await answered(gateway, "other") == [("a", [NOON], ["2.5"]), ("b", [], [])]
    # What it sends after that is its own again.
    await gateway.take(report("person", NOON + 1, values={"a": 3.5}))
    await gateway.seal()
    await gateway.well()
    await gateway.drop()
    assert await answered(gateway, "person") == [("a", [NOON + 1], ["3.5"]), ("b", [], [])]
    assert gateway.cold._shelf.known[DAY].reading_count == 2


@needs_pyarrow
async def test_the_last_device_of_a_day_takes_the_file_with_it(gateway: ColdGateway) -> None:
    await gateway.take(report("person"))
    await gateway.seal()
    await gateway.well()
    await gateway.drop()
    await gateway.keeping.erase(1, ["person"])
    await gateway.keeping.erase_pending()
    await gateway.well()
    assert not gateway.file().parent.exists()
    assert gateway.cold._shelf.known == {}


@needs_pyarrow
async def test_files_that_are_too_old_or_too_many_go_and_are_not_written_again(tmp_path: Path) -> None:
    gateway = ColdGateway(tmp_path)
    gateway.cold_config = ColdConfig(parquet=True, keep_days=2)
    async with gateway.running():
        for day in (-3, -2, 0):
            await gateway.take(report(at=NOON + day * DAY_MS))
        await gateway.seal()
        await gateway.well()
        assert [gateway.file(DAY + day).exists() for day in (-3, -2, 0)] == [False, False, True]
        gateway.now += 60 * MINUTE_MS
        await gateway.well()
        assert gateway.cold.usage().day_count == 1
        assert gateway.cold.may_go(DAY - 3)


@needs_pyarrow
async def test_on_a_full_disk_what_chunks_have_too_goes_first(gateway: ColdGateway) -> None:
    await gateway.take(report(), report(at=NOON - DAY_MS))
    await gateway.seal()
    await gateway.well()
    await gateway.drop(DAY - 1)
    assert await gateway.cold.give_way()
    assert (gateway.file(DAY).exists(), gateway.file(DAY - 1).exists()) == (False, True)
    assert not await gateway.cold.give_way()


@needs_pyarrow
async def test_devices_of_which_less_is_kept_are_taken_out(gateway: ColdGateway) -> None:
    await gateway.take(report("camera"), report("pump"))
    await gateway.seal()
    await gateway.well()
    await gateway.drop()
    gateway.cold.keep_days_of = lambda: {(1, "camera"): 3}
    await gateway.well()
    assert gateway.cold._shelf.known[DAY].reading_count == 4
    gateway.now += 4 * DAY_MS
    await gateway.well()
    assert gateway.cold._shelf.known[DAY].reading_count == 2


@needs_pyarrow
async def test_a_start_does_not_look_again_at_files_that_have_nothing_left_to_be_taken_out(tmp_path: Path) -> None:
    gateway = ColdGateway(tmp_path)
    async with gateway.running():
        await gateway.take(report("camera"), report("pump"))
        await gateway.seal()
        await gateway.well()
        await gateway.drop()
        gateway.now += 4 * DAY_MS
        gateway.cold.keep_days_of = lambda: {(1, "camera"): 3}
        await gateway.well()
        assert gateway.cold._shelf.known[DAY].reading_count == 2
    looks: list[object] = []

    async def looked_at(*asked: object) -> Written:
        looks.append(asked)
        raise ColdError("not now")

    async with gateway.running():
        gateway.cold._shelf._written = looked_at  # type: ignore[method-assign, assignment]
        gateway.cold.keep_days_of = lambda: {(1, "camera"): 3}
        await gateway.well()
        assert looks == []
        # Of another device it is not known.
        gateway.cold.keep_days_of = lambda: {(1, "camera"): 3, (1, "pump"): 3}
        await gateway.cold.look()
        assert len(looks) == 1


@needs_pyarrow
@needs_bucket
async def test_the_bucket_gets_what_is_new_when_it_is_time_and_loses_what_is_erased_at_once(tmp_path: Path) -> None:
    with served(tmp_path / "s3") as endpoint:
        gateway = ColdGateway(tmp_path / "data")
        (tmp_path / "data").mkdir()
        gateway.cold_config = ColdConfig(parquet=True, s3=s3(tmp_path, endpoint))
        async with gateway.running():
            await gateway.take(report("person"), report("other"))
            await gateway.seal()
            await gateway.well()
            assert objects(tmp_path / "s3") == {}
            assert gateway.cold.usage().upload_waiting_count == 1
            await gateway.cold.upload_soon()
            await gateway.well()
            assert objects(tmp_path / "s3") == {OBJECT: gateway.file().read_bytes()}
            assert (gateway.cold.usage().uploaded_count, gateway.cold.usage().upload_waiting_count) == (1, 0)
            assert (await gateway.cold.upload_now()).day_count == 0
            await gateway.drop()
            # Only the bucket has it now: it is fetched, and put back without the device.
            await gateway.cold._shelf.remove(gateway.cold._shelf.known[DAY])
            await gateway.keeping.erase(1, ["person"])
            await gateway.keeping.erase_pending()
            await gateway.well()
            assert b"person" not in objects(tmp_path / "s3")[OBJECT]
            assert b"other" in objects(tmp_path / "s3")[OBJECT]
            await gateway.keeping.erase(1, ["other"])
            await gateway.keeping.erase_pending()
            await gateway.well()
            assert objects(tmp_path / "s3") == {}
            assert gateway.cold._shelf.known == {}


@needs_pyarrow
async def test_a_bucket_that_cannot_be_reached_is_told_and_asked_less_and_less_often(tmp_path: Path) -> None:
    gateway = ColdGateway(tmp_path)
    gateway.cold_config = ColdConfig(parquet=True, s3=s3(tmp_path, "http://127.0.0.1:1"))
    async with gateway.running():
        await gateway.take(report())
        await gateway.seal()
        await gateway.cold.upload_soon()
        await gateway.cold.look()
        assert "127.0.0.1:1 did not answer" in gateway.cold.status().summary
        assert gateway.cold.status().is_serving
        rounds = gateway.cold._rounds
        assert not rounds.may_ask
        gateway.now += MINUTE_MS
        assert rounds.may_ask
        await gateway.cold.look()
        gateway.now += 2 * MINUTE_MS - 1
        assert not rounds.may_ask
        gateway.now += 1
        assert rounds.may_ask


@needs_pyarrow
async def test_days_are_dropped_and_erased_with_the_cold_tier_knowing(gateway: ColdGateway) -> None:
    room = Room(gateway.database, gateway.telemetry, gateway.folder, gateway.config, lambda: gateway.now)
    config = TelemetryConfig(keep_days_of_devices={"camera": 3})
    room.devices = lambda: [Device(1, "camera", "", "", "", "", DeviceState.ACTIVE, 0, 1)]
    gateway.cold.follow(room, config)
    assert gateway.cold.keep_days_of() == {(1, "camera"): 3}
    await gateway.take(report())
    await gateway.telemetry.seal_all()
    await room.keeping.seal_due()
    assert not await room.keeping.may_go(DAY)
    await room.keeping.sealed()
    assert gateway.cold._asked.is_set()
    await gateway.well()
    await gateway.telemetry.rollups.roll()
    assert await room.keeping.may_go(DAY)
    assert await room.give_way()
    assert 0 < await gateway.cold.budget() < 1 << 62


async def test_nothing_is_uploaded_where_no_bucket_is_set(gateway: ColdGateway) -> None:
    with pytest.raises(ColdError, match="no bucket"):
        await gateway.cold.upload_now()


async def test_without_pyarrow_chunks_stay_until_they_are_dropped_and_that_is_told(tmp_path: Path) -> None:
    async with ColdGateway(tmp_path).running() as gateway:
        gateway.cold._has_pyarrow = False
        await gateway.take(report())
        await gateway.seal()
        assert gateway.cold.may_go(DAY)
        assert not gateway.cold.is_on
        assert gateway.cold.status().summary == service.MISSING
        assert (gateway.cold.status().ok, gateway.cold.status().is_serving) == (False, True)
        assert await gateway.cold.parts((1, "a"), DAY, (0, 1)) == ()


async def test_it_is_off_unless_it_is_asked_for(tmp_path: Path) -> None:
    async with ColdGateway(tmp_path).running() as gateway:
        cold = Cold(gateway.database, tmp_path, ColdConfig(), lambda: gateway.now)
        async with cold.running():
            assert not cold.is_on
            assert cold.status().ok
            assert cold.usage().bucket == ""


@needs_pyarrow
async def test_its_own_task_writes_what_is_due(tmp_path: Path) -> None:
    async with ColdGateway(tmp_path).running() as gateway:
        await gateway.take(report())
        await gateway.seal()
        cold = Cold(gateway.database, tmp_path, ColdConfig(parquet=True), lambda: gateway.now)
        async with cold.running():
            await until(lambda: cold.usage().day_count > 0)
    with contextlib.suppress(FileNotFoundError):
        assert [path.name for path in gateway.file().parent.iterdir()] == ["part.parquet"]


async def test_a_day_that_only_the_bucket_has_is_not_fetched_for_what_may_have_come_late(gateway: ColdGateway) -> None:
    await gateway.take(report("a"))
    await gateway.seal()
    await gateway.well()
    await gateway.drop()
    shelf = gateway.cold._shelf
    asked = Arrivals(1, (), (NOON, NOON + DAY_MS), (NOON + 9 * DAY_MS, NOON + 10 * DAY_MS), 0)
    lent = []

    async def lend(known: ColdDay) -> Path:
        lent.append(known.day)
        return gateway.file()

    shelf.is_elsewhere, shelf.lend = lambda _: True, lend
    await shelf.note(msgspec.structs.replace(shelf.known[DAY], is_local=False))
    # Nothing came late, and that is known.
    assert gateway.cold.days_arrived(*asked.arrivals) == []
    await asyncio.to_thread((gateway.folder / "cold" / "_arrivals.json").unlink)
    shelf._arrivals.load()
    assert gateway.cold.days_arrived(*asked.arrivals) == [DAY]
    with pytest.raises(ColdError, match="only the bucket has 2026-01-31"):
        await gateway.cold.arrived(DAY, asked)
    assert not lent
    # For what arrived in its own time it is.
    in_time = msgspec.structs.replace(asked, arrivals=(NOON, NOON + DAY_MS))
    assert [rows.count for rows in await gateway.cold.arrived(DAY, in_time)] == [1]
    assert lent == [DAY]
