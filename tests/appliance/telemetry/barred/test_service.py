"""A day that cannot be written keeps no other from being sealed, and goes on once it can be."""

import contextlib
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from appliance.instant import DAY_MS
from appliance.telemetry import queries
from appliance.telemetry.keeping.model import DamagedOpenDayError
from tests.appliance.telemetry.keeping.story import KeepingGateway
from tests.appliance.telemetry.reports import DAY, NOON, report

NOBODY = 65_534
BEFORE = "2026-01-30.db"
TOLD = f"{BEFORE} may not be written by the gateway: give it the owner and the permissions of its neighbours"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@contextlib.contextmanager
def as_user(user: int) -> Iterator[None]:
    before = os.geteuid()
    os.seteuid(user)
    try:
        yield
    finally:
        os.seteuid(before)


def give_to_root(path: Path, mode: int) -> None:
    """As a file that somebody put back from a backup."""
    with as_user(0):
        os.chown(path, 0, 0)
        path.chmod(mode)


def give_back(path: Path) -> None:
    with as_user(0):
        os.chown(path, NOBODY, -1)


@pytest.fixture
async def gateway() -> AsyncIterator[KeepingGateway]:
    """The gateway of a user who is not root."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        with as_user(NOBODY):
            async with KeepingGateway(Path(folder)).running() as running:
                yield running


async def fill(gateway: KeepingGateway, mode: int = 0o644) -> Path:
    """A day of which the gateway may not write the file any more, and one late reading for it."""
    await gateway.take(report(at=NOON - DAY_MS))
    await gateway.telemetry.seal_all()
    await gateway.telemetry._files.close(BEFORE)
    path = gateway.folder / "days" / BEFORE
    give_to_root(path, mode)
    await gateway.take(report(at=NOON))
    await gateway.take(report(at=NOON - DAY_MS + 1))
    return path


@pytest.mark.parametrize("mode", [0o644, 0o600])
async def test_other_days_are_sealed_while_one_may_not_be_written_which_goes_on_once_it_may(
    gateway: KeepingGateway, mode: int
) -> None:
    path = await fill(gateway, mode)
    telemetry = gateway.telemetry
    for log_ids in ([3], [3, 4]):
        await telemetry.seal_all()
        assert telemetry._chunks.report_count == 1
        # What today's file took is gone from the log, up to the first that waits.
        assert await gateway.log_ids() == log_ids
        status = telemetry.status()
        assert (status.ok, status.summary) == (False, f"{TOLD}; what comes for this day waits until then")
        if log_ids == [3]:
            await gateway.take(report(at=NOON + 1))
    assert (telemetry.unwritable, gateway.keeping.damages) == ({}, ())
    give_back(path)
    await telemetry.seal_all()
    assert telemetry.status().ok
    assert await gateway.log_ids() == []
    assert [at for at, _ in await gateway.stored()] == [NOON - DAY_MS, NOON - DAY_MS + 1, NOON, NOON + 1]
    assert gateway.names() == {BEFORE, "2026-01-31.db"}


async def test_what_waits_for_a_day_that_may_not_be_written_is_shown_and_outlives_a_restart(
    gateway: KeepingGateway,
) -> None:
    path = await fill(gateway)
    await gateway.telemetry.seal_all()
    expected = [NOON - DAY_MS, NOON - DAY_MS + 1, NOON]
    assert [at for at, _ in await gateway.stored()] == expected
    async with KeepingGateway(gateway.folder).running() as again:
        assert [at for at, _ in await again.stored()] == expected
        await again.telemetry.seal_all()
        assert TOLD in again.telemetry.status().summary
        give_back(path)
        await again.telemetry.seal_all()
        assert (again.telemetry.status().ok, await again.log_ids()) == (True, [])
        assert [at for at, _ in await again.stored()] == expected


async def test_a_file_that_was_opened_when_it_could_only_be_read_is_written_once_it_may_be(
    gateway: KeepingGateway,
) -> None:
    await gateway.take(report(at=NOON - DAY_MS))
    telemetry = gateway.telemetry
    await telemetry.seal_all()
    await telemetry._files.close(BEFORE)
    path = gateway.folder / "days" / BEFORE
    give_to_root(path, 0o644)
    # As a start finds it whose log reaches into that day: there is nothing to write, but to put on the disk.
    telemetry._unsynced[DAY - 1] = 1
    await gateway.take(report(at=NOON))
    await telemetry.seal_all()
    give_back(path)
    await gateway.take(report(at=NOON - DAY_MS + 1))
    await telemetry.seal_all()
    assert (telemetry.unwritable, telemetry.status().ok) == ({}, True)
    assert [at for at, _ in await gateway.stored()] == [NOON - DAY_MS, NOON - DAY_MS + 1, NOON]


async def test_other_days_are_sealed_at_night_while_one_may_not_be_written(gateway: KeepingGateway) -> None:
    path = await fill(gateway)
    gateway.now = NOON + 3 * DAY_MS
    await gateway.telemetry.seal_all()
    with pytest.raises(queries.ForbiddenDayError, match=TOLD):
        async with gateway.telemetry.held(DAY - 1):
            pass
    await gateway.keeping.tend()
    await gateway.keeping._tried()
    assert gateway.keeping.status().summary == TOLD
    assert gateway.names() == {BEFORE, "2026-01-31.sealed"}
    give_back(path)
    await gateway.keeping._tried()
    assert gateway.keeping.status().ok
    assert gateway.names() == {"2026-01-30.sealed", "2026-01-31.sealed"}
    assert [at for at, _ in await gateway.stored()] == [NOON - DAY_MS, NOON - DAY_MS + 1, NOON]


async def test_a_day_that_may_not_even_be_read_is_not_set_aside_at_night(gateway: KeepingGateway) -> None:
    path = await fill(gateway, 0o600)
    gateway.now = NOON + 3 * DAY_MS
    await gateway.keeping.tend()
    await gateway.keeping._tried()
    assert gateway.keeping.status().summary == TOLD.replace("written", "read")
    assert gateway.names() == {BEFORE}
    give_back(path)
    await gateway.keeping._tried()
    await gateway.telemetry.seal_all()
    assert gateway.keeping.status().ok
    assert not [name for name in gateway.names() if "damaged" in name]
    assert [at for at, _ in await gateway.stored()] == [NOON - DAY_MS, NOON - DAY_MS + 1, NOON]


@pytest.mark.parametrize("mode", [0o644, 0o600])
async def test_an_erasing_goes_through_other_days_and_through_one_that_may_not_be_written_once_it_may(
    gateway: KeepingGateway, mode: int
) -> None:
    path = await fill(gateway, mode)
    await gateway.telemetry.seal_all()
    await gateway.keeping.erase(1, ["sensor-001"])
    await gateway.keeping._tried()
    assert TOLD in gateway.keeping.status().summary
    assert gateway.names() == {BEFORE}
    assert await gateway.stored() == []
    await gateway.telemetry.seal_all()
    # Nothing waits for that day any more.
    assert gateway.telemetry._barred.waiting() == []
    give_back(path)
    await gateway.keeping._tried()
    assert (gateway.keeping.status().ok, gateway.keeping.pending, gateway.names()) == (True, (), set())


async def test_a_day_that_was_damaged_is_told_as_that_and_is_not_tried_again(gateway: KeepingGateway) -> None:
    barred = gateway.telemetry._barred
    barred.forbidden[DAY] = TOLD
    async with barred.noted(DAY):
        raise DamagedOpenDayError("2026-01-31.db was damaged")
    assert barred.waiting() == ["2026-01-31.db was damaged; what comes for it waits until it was saved"]
    with pytest.raises(DamagedOpenDayError):
        barred.require_undamaged(DAY)
    barred.require_allowed(DAY)
    barred.settled(DAY)
    barred.require_undamaged(DAY)


async def test_what_is_wrong_elsewhere_is_not_kept(gateway: KeepingGateway) -> None:
    with pytest.raises(ZeroDivisionError):
        async with gateway.telemetry._barred.noted(DAY):
            raise ZeroDivisionError
    assert gateway.telemetry._barred.waiting() == []
