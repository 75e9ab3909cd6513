"""Days whose readings were let go: what their roll-ups may say, and what is said when these are lost."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from appliance.instant import DAY_MS, HOUR_MS
from appliance.telemetry.keeping.model import Erasure
from appliance.telemetry.rollups import months
from tests.appliance.telemetry.reports import DAY, NOON, report
from tests.appliance.telemetry.test_service import Gateway

SPAN = ((DAY - 2) * DAY_MS, (DAY + 4) * DAY_MS)


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with Gateway(tmp_path).running() as running:
        yield running


async def let_go(gateway: Gateway, *days: int) -> None:
    """Seal and roll up everything, and keep only the roll-ups of some days."""
    gateway.now = max(gateway.now, NOON + 5 * DAY_MS)
    await gateway.telemetry.seal_all()
    await gateway.telemetry.rollups.roll()
    for day in days:
        await gateway.telemetry.rollups.close_day(day)
        path = gateway.telemetry.day_files.path(day)
        await gateway.telemetry._files.close(path.name)
        path.unlink()


async def damage(gateway: Gateway) -> None:
    path = gateway.telemetry.rollups.path(months.month_of(DAY))
    await gateway.telemetry.rollups._files.close(path.name)
    path.write_bytes(b"no database" * 2000)


async def counts(gateway: Gateway, device_id: str) -> list[list[tuple[int, int]]]:
    """How many numbers each hour has, and each day; by the day after DAY."""
    telemetry, asked = gateway.telemetry, (1, ["a", "b"], ["pressure"], *SPAN)
    return [
        [(at // DAY_MS - DAY, each.count) for at, each in found[device_id]["pressure"].items()]
        for found in (await telemetry.hours(*asked), await telemetry.days(*asked))
    ]


def missing(gateway: Gateway) -> list[int]:
    """The days that are named as missing, after DAY."""
    return [day - DAY for day in gateway.telemetry.day_files.missing.between(1, ["a"], *SPAN)]


async def test_what_is_being_erased_is_hidden_though_roll_ups_are_all_there_is(gateway: Gateway) -> None:
    await gateway.take(report("a"), report("b"), report("a", NOON + DAY_MS), report("b", NOON + DAY_MS))
    await let_go(gateway, DAY)
    assert await counts(gateway, "a") == [[(0, 1), (1, 1)]] * 2

    async def told() -> list[Erasure]:
        return [Erasure(1, 1, "a", await gateway.commit(), gateway.now)]

    await gateway.telemetry.forget(told)
    assert await counts(gateway, "a") == [[], []]
    assert await counts(gateway, "b") == [[(0, 1), (1, 1)]] * 2
    # What comes late for the day that was let go, after the erasing was asked for, is given: from memory and day file.
    await gateway.take(report("a", NOON + 1, sequence=2), report("a", NOON + HOUR_MS, sequence=3))
    assert await counts(gateway, "a") == [[(0, 1), (0, 1)], [(0, 2)]]
    await gateway.telemetry.seal_all()
    assert await counts(gateway, "a") == [[(0, 1), (0, 1)], [(0, 2)]]


async def test_an_hour_that_was_let_go_stays_as_it_is_of_every_metric(gateway: Gateway) -> None:
    await gateway.take(report("a", values={"pressure": 1.0}), report("a", NOON + HOUR_MS, values={"level": 1.0}))
    await let_go(gateway, DAY)
    # Late: of metrics that these hours did not have, and of an hour that had nothing.
    late = {"pressure": 2.0, "level": 2.0, "state": 2.0}
    await gateway.take(*[report("a", NOON + hour * HOUR_MS + 1, values=late) for hour in (0, 1, 2)])

    async def known(*metrics: str) -> dict[str, list[int]]:
        found = await gateway.telemetry.hours(1, ["a"], metrics, *SPAN)
        return {metric: [(at - NOON) // HOUR_MS for at in found["a"][metric]] for metric in metrics}

    expected = {"pressure": [0, 2], "level": [1, 2], "state": [2]}
    for _ in range(2):
        assert await known(*expected) == expected
        for metric, hours in expected.items():
            assert await known(metric) == {metric: hours}
        await gateway.telemetry.seal_all()
    await gateway.telemetry.rollups.roll()
    assert await known(*expected) == expected
    for metric, hours in expected.items():
        assert await known(metric) == {metric: hours}


async def test_a_damaged_roll_up_of_what_is_being_erased_is_not_missed(gateway: Gateway) -> None:
    await gateway.take(report("a"), report("b"))
    await let_go(gateway, DAY)
    file = await gateway.telemetry.rollups._files.writer(months.file_name(months.month_of(DAY)))
    await file.write(lambda connection: connection.execute("UPDATE metric_day SET record = x'0100'"))
    gateway.telemetry.day_files.erased[1, "a"] = 100
    assert await counts(gateway, "a") == [[], []]
    assert gateway.telemetry.day_files.missing.between(1, ["a"], *SPAN) == []


@pytest.mark.parametrize("others", [[], [1], [-1, 1]])
async def test_lost_roll_ups_are_named_whatever_day_files_are_left_and_after_every_start(
    tmp_path: Path, others: list[int]
) -> None:
    gateway = Gateway(tmp_path)
    async with gateway.running():
        await gateway.take(report("a"), *[report("a", NOON + day * DAY_MS) for day in others])
        await let_go(gateway, DAY)
        await damage(gateway)
        assert await counts(gateway, "a") == [[(day, 1) for day in others]] * 2
        named = missing(gateway)
        assert 0 in named
        assert not set(named).intersection(others)
        await gateway.telemetry.rollups.roll()
        assert missing(gateway) == named
    for _ in range(2):
        async with gateway.running():
            assert await counts(gateway, "a") == [[(day, 1) for day in others]] * 2
            assert missing(gateway) == named
            assert any("2026-01.db.damaged-1" in told for told in gateway.telemetry.day_files.damages)
            await gateway.telemetry.rollups.roll()


async def test_a_day_whose_roll_ups_were_made_again_before_it_was_let_go_is_not_named(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    async with gateway.running():
        await gateway.take(report("a", NOON - DAY_MS), report("a"))
        await let_go(gateway, DAY - 1)
        await damage(gateway)
        await gateway.telemetry.rollups.check_files(lambda: False)
        await gateway.telemetry.rollups.roll()
        # Found without anybody asking.
        assert -1 in missing(gateway)
        await let_go(gateway, DAY)
    async with gateway.running():
        assert await counts(gateway, "a") == [[(0, 1)]] * 2
        assert -1 in missing(gateway)
        assert 0 not in missing(gateway)


async def test_a_day_that_is_not_over_lost_nothing(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    async with gateway.running():
        (tmp_path / "rollups" / "2026-01.db.damaged-1").write_bytes(b"damaged")
        gateway.telemetry.rollups.note_lost("2026-01")
        assert missing(gateway) == [-2, -1]
    async with gateway.running():
        assert missing(gateway) == [-2, -1]


async def test_files_named_for_no_month_end_nothing(tmp_path: Path) -> None:
    (tmp_path / "rollups").mkdir()
    for name in ("2026-99.db", "copy-of.db", "ab-c.db.damaged-1", "2026-99.db.damaged-1"):
        (tmp_path / "rollups" / name).write_bytes(b"stray" * 1000)
    gateway = Gateway(tmp_path)
    async with gateway.running():
        await gateway.take(report("a"))
        await let_go(gateway)
        await gateway.telemetry.rollups.check_files(lambda: False)
        await gateway.telemetry.rollups.forget([(1, "a")], lambda: False)
        assert gateway.telemetry.day_files.damages == set()
    assert (tmp_path / "rollups" / "2026-99.db").read_bytes() == b"stray" * 1000


async def test_what_lies_beside_a_damaged_last_chunk_is_rolled_up_after_a_start(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    async with gateway.running():
        for number in range(2):
            await gateway.take(report("a", NOON + number * HOUR_MS), report("b", NOON + number * HOUR_MS))
            await gateway.telemetry.seal_all()
        file = await gateway.telemetry._files.writer("2026-01-31.db")
        await file.write(
            lambda connection: connection.execute(
                "UPDATE chunk SET record = x'00' WHERE chunk_id = (SELECT MAX(chunk_id) FROM chunk WHERE"
                " (chunk_id >> 24 & 268435455) = (SELECT device_number FROM device WHERE device_id = 'a'))"
            )
        )
    gateway.now += 2 * DAY_MS
    async with gateway.running():
        await gateway.telemetry.rollups.roll()
        assert [await counts(gateway, device) for device in "ab"] == [[[(0, 1)]] * 2, [[(0, 1), (0, 1)], [(0, 2)]]]
        named = gateway.telemetry.day_files.missing.between
        assert [named(1, [device], *SPAN) for device in "ab"] == [[DAY], []]
