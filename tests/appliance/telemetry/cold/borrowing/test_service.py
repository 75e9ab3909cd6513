"""A day that only the bucket has is answered, as long as the bucket answers; else it is said that it is missing."""

from pathlib import Path

import pytest

from appliance.instant import DAY_MS, HOUR_MS
from appliance.telemetry.cold.borrowing.service import Borrowed
from appliance.telemetry.cold.model import ColdError
from tests.appliance.telemetry.cold.rig import ColdGateway, needs_pyarrow
from tests.appliance.telemetry.cold.stubborn import Stubborn
from tests.appliance.telemetry.reports import DAY, NOON, report

pytestmark = needs_pyarrow


async def only_in_the_bucket(gateway: ColdGateway, *days: int) -> None:
    for day in days:
        at = NOON - day * DAY_MS
        await gateway.take(report("a", at, values={"n": 1}), report("person", at, values={"n": 1}))
    await gateway.seal()
    await gateway.well()
    await gateway.cold.upload_soon()
    await gateway.well()
    for day in days:
        await gateway.drop(DAY - day)
        await gateway.cold._shelf.remove(gateway.cold._shelf.known[DAY - day])


async def count(gateway: ColdGateway, device_id: str = "a") -> int:
    [series] = await gateway.telemetry.series(1, device_id, ["n"], 0, NOON + DAY_MS, 1_000)
    return len(series.at)


def missing(gateway: ColdGateway) -> list[int]:
    return gateway.telemetry.day_files.missing.between(1, ["a"], 0, NOON + DAY_MS)


def borrowed(gateway: ColdGateway) -> list[Path]:
    return sorted((gateway.folder / "cold" / "_borrowed").glob("*"))


async def test_a_day_that_only_the_bucket_has_is_fetched_once_and_answered(tmp_path: Path) -> None:
    bucket = Stubborn()
    async with bucket.gateway(tmp_path) as gateway:
        await only_in_the_bucket(gateway, 0, 1)
        bucket.asked.clear()
        assert await count(gateway) == 2
        assert await count(gateway) == 2
        assert sorted(bucket.asked) == ["GET 2026-01-30/part.parquet", "GET 2026-01-31/part.parquet"]
        assert missing(gateway) == []
        # On a full disk that goes first.
        assert await gateway.cold.give_way()
        assert borrowed(gateway) == []
        assert await count(gateway) == 2


async def test_a_bucket_that_does_not_answer_is_not_waited_for_again_and_again_and_the_day_is_named(
    tmp_path: Path,
) -> None:
    bucket = Stubborn()
    async with bucket.gateway(tmp_path) as gateway:
        await only_in_the_bucket(gateway, 0, 1)
        bucket.is_mute = True
        bucket.asked.clear()
        assert await count(gateway) == 0
        assert len(bucket.asked) == 1
        assert missing(gateway) == [DAY - 1, DAY]
        bucket.is_mute = False
        gateway.now += HOUR_MS
        assert await count(gateway) == 2
        assert missing(gateway) == []
        assert gateway.cold.status().ok


async def test_who_is_erased_is_in_no_file_that_was_fetched(tmp_path: Path) -> None:
    bucket = Stubborn()
    async with bucket.gateway(tmp_path) as gateway:
        await only_in_the_bucket(gateway, 0)
        assert await count(gateway, "person") == 1
        assert len(borrowed(gateway)) == 1
        await gateway.keeping.erase(1, ["person"])
        assert await count(gateway, "person") == 0
        await gateway.keeping.erase_pending()
        await gateway.well()
        assert borrowed(gateway) == []
        assert (await count(gateway), await count(gateway, "person")) == (1, 0)


async def test_what_lies_here_is_bounded_and_the_one_that_was_not_asked_for_longest_goes(tmp_path: Path) -> None:
    bucket = Stubborn()
    async with bucket.gateway(tmp_path) as gateway:
        await only_in_the_bucket(gateway, 0, 1, 2)
        cold = gateway.cold
        days = [cold._shelf.known[DAY - day] for day in (0, 1, 2)]
        room = sum(day.file_bytes for day in days[:2])
        few = Borrowed(cold._uploads, cold._rounds, tmp_path / "few", limit_bytes=room + 100)
        (tmp_path / "few").mkdir()
        for each in (days[0], days[1], days[0], days[2]):
            path = await few.path(each, cold._upkeep.free_bytes)
            assert path.stat().st_size == each.file_bytes
        assert {each.name for each in (tmp_path / "few" / "_borrowed").iterdir()} == {
            f"{each.sha256}.parquet" for each in (days[0], days[2])
        }
        with pytest.raises(ColdError, match="no room"):
            await Borrowed(cold._uploads, cold._rounds, tmp_path, limit_bytes=10).path(days[0], cold._upkeep.free_bytes)


async def test_a_file_that_does_not_come_in_time_is_given_up(tmp_path: Path) -> None:
    bucket = Stubborn()
    async with bucket.gateway(tmp_path) as gateway:
        await only_in_the_bucket(gateway, 0)
        cold = gateway.cold
        hasty = Borrowed(cold._uploads, cold._rounds, tmp_path, patience_s=0.0)
        with pytest.raises(ColdError, match="took too long"):
            await hasty.path(cold._shelf.known[DAY], cold._upkeep.free_bytes)
        assert not list(tmp_path.glob("_borrowed/*"))
