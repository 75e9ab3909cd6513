import asyncio

import msgspec
import pytest

from appliance.accounts.throttle import ATTEMPTS_A_MINUTE
from appliance.enrolment.tray.model import (
    NOTE_MS,
    Acceptance,
    DecidedKnockError,
    KnockState,
    NotTakenError,
    RefusedKnockError,
    UnknownKnockError,
)
from appliance.enrolment.tray.service import KNOCKS_A_MINUTE, LABEL_LENGTH, Tray
from appliance.errors import TooManyAttemptsError
from appliance.instant import MINUTE_MS
from appliance.registry.model import (
    DeviceExistsError,
    DeviceState,
    InvalidDeviceIdError,
    InvalidRequestError,
    UnknownDeviceError,
)
from appliance.registry.service import Registry
from appliance.store.database import Database
from tests.appliance.enrolment.requests import FakeClock, new_key, request

ADDRESS = "192.0.2.7"


@pytest.fixture
def tray(database: Database, registry: Registry, clock: FakeClock) -> Tray:
    return Tray(database, registry, clock, is_open=True)


async def test_who_is_accepted_finds_the_certificate_each_time_it_asks(tray: Tray, registry: Registry) -> None:
    wanted = request(serial_number="4711")
    knock = await tray.knock(1, wanted, "pump", ADDRESS)
    assert (knock.state, knock.certificate, knock.label) == (KnockState.WAITING, "", "pump")
    await tray.accept(1, knock.knock_number, Acceptance("pump-7", "pump", "hall"))
    device = registry.device(1, "pump-7")
    assert (device.type, device.zone, device.serial_number) == ("pump", "hall", "4711")
    first, second = [await tray.knock(1, wanted, "", ADDRESS) for _ in range(2)]
    assert first.certificate.startswith("-----BEGIN CERTIFICATE")
    assert first == second
    assert len(await registry.certificates(1, "pump-7")) == 1
    assert await tray.waiting(1) == []


async def test_who_is_refused_is_told_so_and_does_not_show_up_again(tray: Tray) -> None:
    wanted = request()
    knock = await tray.knock(1, wanted, "", ADDRESS)
    await tray.refuse(1, knock.knock_number)
    with pytest.raises(RefusedKnockError):
        await tray.knock(1, wanted, "", ADDRESS)
    assert await tray.waiting(1) == []
    with pytest.raises(DecidedKnockError):
        await tray.accept(1, knock.knock_number, Acceptance("pump-7"))


async def test_nobody_gets_the_place_of_a_device_unseen(tray: Tray, registry: Registry) -> None:
    await registry.add_device(1, "pump-7")
    knock = await tray.knock(1, request(), "", ADDRESS)
    with pytest.raises(DeviceExistsError, match="say that this is that device"):
        await tray.accept(1, knock.knock_number, Acceptance("pump-7"))
    assert await registry.certificates(1, "pump-7") == []
    await tray.accept(1, knock.knock_number, Acceptance("pump-7", is_registered=True))
    assert len(await registry.certificates(1, "pump-7")) == 1


async def test_accepting_as_nobody_or_as_nonsense_changes_nothing(tray: Tray) -> None:
    knock = await tray.knock(1, request(), "", ADDRESS)
    with pytest.raises(UnknownDeviceError):
        await tray.accept(1, knock.knock_number, Acceptance("pump-7", is_registered=True))
    with pytest.raises(InvalidDeviceIdError):
        await tray.accept(1, knock.knock_number, Acceptance("pump/7"))
    with pytest.raises(UnknownKnockError):
        await tray.accept(1, 99, Acceptance("pump-7"))
    assert await tray.waiting(1) == [knock]


async def test_a_pending_device_is_active_once_it_was_accepted(tray: Tray, registry: Registry) -> None:
    await registry.add_device(1, "pump-7")
    registry._remember(msgspec.structs.replace(registry.device(1, "pump-7"), state=DeviceState.PENDING))
    knock = await tray.knock(1, request(), "", ADDRESS)
    await tray.accept(1, knock.knock_number, Acceptance("pump-7", is_registered=True))
    assert registry.device(1, "pump-7").state is DeviceState.ACTIVE


async def test_of_two_who_accept_at_once_one_does_and_no_spare_certificate_stays_good(
    tray: Tray, registry: Registry
) -> None:
    await registry.add_device(1, "pump-7")
    knock = await tray.knock(1, request(), "", ADDRESS)
    acceptance = Acceptance("pump-7", is_registered=True)
    answers = await asyncio.gather(
        *(tray.accept(1, knock.knock_number, acceptance) for _ in range(2)), return_exceptions=True
    )
    assert [type(answer) for answer in answers if answer is not None] == [DecidedKnockError]
    good = [each for each in await registry.certificates(1, "pump-7") if each.revoked_at is None]
    assert len(good) == 1


async def test_new_keys_and_nonsense_have_a_lower_limit_than_a_known_key(tray: Tray) -> None:
    wanted = request()
    for _ in range(2 * ATTEMPTS_A_MINUTE):
        await tray.knock(1, wanted, "", ADDRESS)
    for number in range(ATTEMPTS_A_MINUTE - 1):
        if number % 2:
            with pytest.raises(InvalidRequestError):
                await tray.knock(1, b"nonsense", "", ADDRESS)
        else:
            await tray.knock(1, request(), "", ADDRESS)
    with pytest.raises(TooManyAttemptsError):
        await tray.knock(1, request(), "", ADDRESS)
    await tray.knock(1, request(), "", "192.0.2.8")


async def test_a_known_key_may_not_knock_without_end_either(tray: Tray, clock: FakeClock) -> None:
    wanted = request()
    for _ in range(KNOCKS_A_MINUTE):
        await tray.knock(1, wanted, "", ADDRESS)
    with pytest.raises(TooManyAttemptsError):
        await tray.knock(1, wanted, "", ADDRESS)
    clock.now += MINUTE_MS
    await tray.knock(1, wanted, "", ADDRESS)


async def test_that_somebody_still_knocks_is_written_down_now_and_then(tray: Tray, clock: FakeClock) -> None:
    wanted, began_at = request(key=new_key()), clock.now
    await tray.knock(1, wanted, "", ADDRESS)
    clock.now = began_at + NOTE_MS - 1
    await tray.knock(1, wanted, "", ADDRESS)
    assert (await tray.waiting(1))[0].last_at == began_at
    clock.now = began_at + NOTE_MS
    await tray.knock(1, wanted, "", ADDRESS)
    assert (await tray.waiting(1))[0].last_at == began_at + NOTE_MS


async def test_a_closed_tray_takes_nobody(database: Database, registry: Registry, clock: FakeClock) -> None:
    closed = Tray(database, registry, clock, is_open=False)
    assert not closed.is_open
    with pytest.raises(NotTakenError, match="enrolment code"):
        await closed.knock(1, request(), "", ADDRESS)


async def test_a_long_label_is_cut_off(tray: Tray) -> None:
    assert len((await tray.knock(1, request(), "x" * 500, ADDRESS)).label) == LABEL_LENGTH
