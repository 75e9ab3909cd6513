"""What is erased does not come back, what was readable stays so, and one bad day stands in nobody's way."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from appliance.cold_settings import ColdConfig
from appliance.instant import DAY_MS, HOUR_MS
from appliance.telemetry.cold import plan
from appliance.telemetry.cold.model import ColdDay, Erased
from appliance.telemetry.cold.shelf import files
from appliance.telemetry.cold.shelf.service import Shelf
from tests.appliance.telemetry.cold.rig import ColdGateway, needs_pyarrow
from tests.appliance.telemetry.cold.stubborn import Stubborn
from tests.appliance.telemetry.reports import DAY, NOON, report

pytestmark = needs_pyarrow


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[ColdGateway]:
    async with ColdGateway(tmp_path).running() as running:
        yield running


async def count(gateway: ColdGateway, device_id: str = "a") -> int:
    """How many readings of a device are answered."""
    [series] = await gateway.telemetry.series(1, device_id, ["n"], 0, NOON + 3 * DAY_MS, 1_000)
    return len(series.at)


def damage(path: Path, where: slice) -> None:
    content = bytearray(path.read_bytes())
    content[where] = bytes(len(content[where]))
    path.write_bytes(content)


async def some_days(gateway: ColdGateway, *days: int) -> None:
    """Days before that of NOON, each with a reading of two devices, written as Parquet."""
    for day in days:
        at = NOON - day * DAY_MS
        await gateway.take(report("person", at, values={"n": 1}), report("a", at, values={"n": 1}))
    await gateway.seal()
    await gateway.well()


class _Meddled(Shelf):
    """A shelf on which something else happens while a day is written."""

    gateway: ColdGateway
    steps: list[str]

    async def export(self, day: int, source: str, erased: Sequence[Erased]) -> None:
        await self.meddle()
        await super().export(day, source, erased)
        await self.meddle()

    async def meddle(self) -> None:
        match self.steps.pop(0) if self.steps else "":
            case "erase":
                await self.gateway.keeping.erase(1, ["person"])
            case "erase_pending":
                await self.gateway.keeping.erase_pending()
            case "read":
                await count(self.gateway)
            case _:
                pass


meddling = st.lists(st.sampled_from(["", "read", "erase", "erase_pending"]), max_size=6)


@settings(max_examples=3, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(meddling)
def test_what_is_erased_while_days_are_written_is_in_no_file_afterwards(steps: list[str]) -> None:
    async def story(folder: Path) -> None:
        async with ColdGateway(folder).running() as gateway:
            # One day is answered from Parquet alone, so whoever reads looks at what is erased.
            await some_days(gateway, 5)
            await gateway.drop(DAY - 5)
            for day in (1, 0):
                await gateway.take(report("person", NOON - day * DAY_MS, values={"n": 1}), report("a", NOON))
            await gateway.seal()
            shelf = gateway.cold._shelf
            shelf.__class__ = _Meddled
            assert isinstance(shelf, _Meddled)
            shelf.gateway, shelf.steps = gateway, ["", "read", "erase", *steps]
            await gateway.cold.look()
            shelf.steps = []
            await gateway.keeping.erase(1, ["person"])
            await gateway.keeping.erase_pending()
            await gateway.well()
            for day in (DAY - 5, DAY - 1, DAY):
                assert not gateway.file(day).exists() or b"person" not in gateway.file(day).read_bytes()
                await gateway.drop(day)
            assert await count(gateway, "person") == 0

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(story(Path(folder)))


async def test_what_was_erased_between_two_days_is_in_no_file_afterwards(gateway: ColdGateway) -> None:
    await some_days(gateway, 5)
    await gateway.drop(DAY - 5)
    for day in (1, 0):
        await gateway.take(report("person", NOON - day * DAY_MS, values={"n": 1}), report("a", NOON))
    await gateway.seal()
    shelf = gateway.cold._shelf
    shelf.__class__ = _Meddled
    assert isinstance(shelf, _Meddled)
    # An owner erases while the first day is written, and somebody looks at a chart.
    shelf.gateway, shelf.steps = gateway, ["", "erase", "read"]
    await gateway.cold.look()
    await gateway.keeping.erase_pending()
    await gateway.well()
    assert b"person" not in gateway.file().read_bytes()
    await gateway.drop()
    assert await count(gateway, "person") == 0


async def test_a_file_that_gave_way_is_written_again_before_its_day_goes(gateway: ColdGateway) -> None:
    await some_days(gateway, 0)
    assert await gateway.cold.give_way()
    assert not gateway.file().exists()
    assert not gateway.cold.may_go(DAY)
    await gateway.well()
    assert gateway.file().exists()
    assert gateway.cold.may_go(DAY)
    await gateway.drop()
    assert await count(gateway) == 1


async def test_a_file_that_somebody_removed_keeps_its_day_and_is_written_again(gateway: ColdGateway) -> None:
    await some_days(gateway, 0)
    gateway.file().unlink()
    assert not gateway.cold.may_go(DAY)
    await gateway.well()
    assert gateway.cold.may_go(DAY)


async def test_nothing_is_written_without_room_for_it(gateway: ColdGateway) -> None:
    free = 1_000

    async def free_bytes() -> int:
        return free

    gateway.cold._upkeep.free_bytes = free_bytes
    await gateway.take(report())
    await gateway.seal()
    await gateway.cold.look()
    assert "1000 are free" in gateway.cold.status().summary
    assert not gateway.file().exists()
    free = 1 << 30
    gateway.now += 2 * 60_000
    await gateway.well()
    assert gateway.file().exists()


async def test_a_damaged_file_is_written_again_from_its_day(gateway: ColdGateway) -> None:
    await some_days(gateway, 0)
    damage(gateway.file(), slice(20, 60))
    await gateway.take(report("a", NOON + 1, values={"n": 2}))
    await gateway.seal()
    await gateway.well()
    assert gateway.cold.status().ok
    await gateway.drop()
    assert await count(gateway) == 2


async def test_of_a_damaged_file_that_had_more_the_day_is_written_and_the_file_set_aside_until_something_is_erased(
    gateway: ColdGateway,
) -> None:
    await some_days(gateway, 0)
    await gateway.drop()
    damage(gateway.file(), slice(-12, -6))
    await gateway.take(report("a", NOON + 1, values={"n": 2}), report("a", NOON + 2, values={"n": 2}))
    await gateway.seal()
    # What only the file had is known to be more than the day has.
    gateway.cold._shelf.known[DAY] = _with_extra(gateway)
    await gateway.cold.look()
    assert "damaged files of days were set aside" in gateway.cold.status().summary
    assert [path.name for path in sorted(gateway.file().parent.iterdir())] == ["_damaged-0-1.parquet", "part.parquet"]
    await gateway.drop()
    assert await count(gateway) == 2
    # Nobody can say that it has nothing of who is erased now.
    await gateway.keeping.erase(1, ["nobody"])
    await gateway.keeping.erase_pending()
    await gateway.well()
    assert [path.name for path in gateway.file().parent.iterdir()] == ["part.parquet"]
    assert gateway.cold.status().ok


def _with_extra(gateway: ColdGateway) -> ColdDay:
    return msgspec.structs.replace(gateway.cold._shelf.known[DAY], extra_count=1)


async def test_a_damaged_file_comes_back_from_the_bucket(tmp_path: Path) -> None:
    bucket = Stubborn()
    async with bucket.gateway(tmp_path) as gateway:
        await some_days(gateway, 0)
        await gateway.cold.upload_soon()
        await gateway.well()
        await gateway.drop()
        damage(gateway.file(), slice(-12, -6))
        await gateway.take(report("a", NOON + 1, values={"n": 2}))
        await gateway.seal()
        await gateway.well()
        await gateway.drop()
        assert await count(gateway) == 2
        assert await gateway.cold._shelf.aside() == []


async def test_a_damaged_day_keeps_no_other_from_being_erased(gateway: ColdGateway) -> None:
    await some_days(gateway, 1, 0)
    await gateway.drop(DAY - 1)
    await gateway.drop(DAY)
    # Nothing of the first can be read any more: nobody can say that the person is not in it.
    damage(gateway.file(DAY - 1), slice(-12, -6))
    await gateway.keeping.erase(1, ["person"])
    await gateway.keeping.erase_pending()
    await gateway.well()
    assert b"person" not in gateway.file(DAY).read_bytes()
    assert not gateway.file(DAY - 1).exists()
    assert await count(gateway) == 1


async def test_a_day_that_cannot_be_rid_of_somebody_is_named_until_it_is_and_keeps_no_other(
    gateway: ColdGateway,
) -> None:
    await some_days(gateway, 1, 0)
    await gateway.drop(DAY - 1)
    await gateway.drop(DAY)
    # A folder lies where the new file would be written.
    blocking = files.unfinished(gateway.file(DAY - 1))
    blocking.mkdir()
    await gateway.keeping.erase(1, ["person"])
    await gateway.keeping.erase_pending()
    for _ in range(2):
        await gateway.cold.look()
        assert b"person" not in gateway.file(DAY).read_bytes()
        assert "2026-01-30 still has what is to be erased" in gateway.cold.status().summary
    assert await count(gateway, "person") == 0
    blocking.rmdir()
    gateway.now += HOUR_MS
    await gateway.well()
    assert b"person" not in gateway.file(DAY - 1).read_bytes()


async def test_a_file_that_was_removed_by_age_is_no_trouble_when_something_is_erased(tmp_path: Path) -> None:
    gateway = ColdGateway(tmp_path)
    gateway.cold_config = ColdConfig(parquet=True, keep_days=2)
    async with gateway.running():
        await some_days(gateway, 4, 0)
        assert not gateway.file(DAY - 4).exists()
        await gateway.keeping.erase(1, ["person"])
        await gateway.keeping.erase_pending()
        await gateway.well()
        assert b"person" not in gateway.file(DAY).read_bytes()


async def test_a_day_that_cannot_be_written_for_what_is_in_it_goes_after_some_nights(gateway: ColdGateway) -> None:
    await gateway.take(report())
    await gateway.seal()
    workers = gateway.cold._workers
    # So little memory is not enough to begin with.
    workers._memory_mb = 1
    for night in range(plan.PATIENCE_NIGHTS):
        assert not gateway.cold.may_go(DAY), night
        await gateway.cold.look()
        gateway.now += DAY_MS
        gateway.cold._upkeep.end_night()
    assert gateway.cold.may_go(DAY)
    workers._memory_mb = 1_024
    gateway.now += DAY_MS
    await gateway.well()
    assert gateway.file().exists()


async def test_what_is_erased_after_gateway_db_was_lost_is_in_no_file_however_many_erasings_that_names(
    tmp_path: Path,
) -> None:
    async with ColdGateway(tmp_path).running() as gateway:
        await gateway.take(report("person", values={"n": 1}), report("a", values={"n": 1}), report("b"), report("c"))
        await gateway.seal()
        for device_id in ("b", "c"):
            await gateway.keeping.erase(1, [device_id])
            await gateway.keeping.erase_pending()
        await gateway.well()
        await gateway.drop()
    aside = gateway.file().with_name("_damaged-7-1.parquet")
    aside.touch()
    for path in tmp_path.glob("gateway.db*"):
        path.unlink()
    async with ColdGateway(tmp_path).running() as gateway:
        # It is asked for before anybody has looked at the file.
        await gateway.keeping.erase(1, ["person"])
        await gateway.keeping.erase_pending()
        await gateway.well()
        assert b"person" not in gateway.file().read_bytes()
        assert not aside.exists()
        assert (await count(gateway, "person"), await count(gateway)) == (0, 1)


async def test_a_file_that_only_the_bucket_has_is_fetched_with_room_for_it_and_goes_again(tmp_path: Path) -> None:
    bucket, free = Stubborn(), 0

    async def free_bytes() -> int:
        return free

    async with bucket.gateway(tmp_path) as gateway:
        await some_days(gateway, 1)
        await gateway.take(report("a", values={"n": 1}))
        await gateway.seal()
        await gateway.cold.upload_now()
        await gateway.drop(DAY - 1)
        await gateway.drop(DAY)
        upkeep = gateway.cold._upkeep
        await upkeep.remove_due(0, 0, gateway.now)
        upkeep.free_bytes, bucket.asked = free_bytes, []
        gateway.cold._removed_at = gateway.now
        await gateway.keeping.erase(1, ["person"])
        await gateway.keeping.erase_pending()
        await gateway.cold.look()
        assert "to fetch it from the bucket takes" in gateway.cold.status().summary
        assert bucket.asked == []
        free = 1 << 30
        gateway.now += 2 * 60_000
        await gateway.well()
        # The one was changed, the other was not: neither stays.
        assert not any(known.is_local for known in gateway.cold._shelf.known.values())
        assert not gateway.file(DAY - 1).exists()
        assert not gateway.file(DAY).exists()
        assert not any(b"person" in content for content in bucket.objects.values())
        assert (len(bucket.objects), await count(gateway)) == (2, 2)


async def test_what_the_system_refuses_about_one_file_is_named_and_ends_nothing(gateway: ColdGateway) -> None:
    await some_days(gateway, 1, 0)
    await gateway.drop(DAY - 1)
    sealed, moved = gateway.sealed_file(), gateway.folder / "moved"
    sealed.rename(moved)
    sealed.symlink_to(sealed.name)
    # Nor can a folder be removed like a file.
    aside = gateway.file().with_name("_damaged-0-1.parquet")
    aside.mkdir()
    await gateway.keeping.erase(1, ["person"])
    await gateway.cold.look()
    assert "Too many levels of symbolic links" in gateway.cold.status().summary
    assert "_damaged-0-1.parquet" in gateway.cold.status().summary
    assert b"person" not in gateway.file(DAY - 1).read_bytes()
    # Nobody can say that there is nothing to lose.
    assert not gateway.cold.may_go(DAY)
    file = gateway.file(DAY - 1)
    file.unlink()
    file.symlink_to(file.name)
    assert await gateway.cold.parts((1, "a"), DAY - 1, (0, 1 << 60)) == ()
    assert gateway.cold.missing.between(1, ["a"], 0, 1 << 60) == [DAY - 1]


class _Watched(dict[int, ColdDay]):
    """What is known of days, and in which turn of the loop each is looked at."""

    turn = 0

    def __init__(self, known: dict[int, ColdDay]) -> None:
        super().__init__(known)
        self.turns: set[int] = set()

    def get(self, day: int, default: ColdDay | None = None) -> ColdDay | None:  # type: ignore[override]
        self.turns.add(self.turn)
        return super().get(day, default)


async def test_others_have_their_turn_while_many_days_are_looked_at(gateway: ColdGateway) -> None:
    known = _Watched({day: ColdDay(day, "x", is_local=False) for day in range(20)})
    gateway.cold._shelf.known = known

    async def turning() -> None:
        while True:
            await asyncio.sleep(0)
            known.turn += 1

    turns = asyncio.create_task(turning())
    await gateway.cold._upkeep.take_out_due({}, gateway.now)
    turns.cancel()
    assert len(known.turns) == len(known)
