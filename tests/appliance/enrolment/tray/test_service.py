import asyncio

import msgspec
import pytest
from cryptography import x509

from appliance.accounts.throttle import ATTEMPTS_A_MINUTE
from appliance.enrolment.tray.model import (
    FETCH_AGAIN_MS,
    NOTE_MS,
    Acceptance,
    DecidedKnockError,
    FetchedError,
    KnockState,
    KnockWay,
    KnownKeyError,
    NotTakenError,
    RefusedKnockError,
    Said,
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
from tests.appliance.enrolment.self_made import shown

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


# --- with a certificate of their own making --------------------------------------------------------


async def test_who_shows_a_certificate_waits_and_gets_one_for_the_same_key(tray: Tray, registry: Registry) -> None:
    key = new_key()
    said = Said("fan-1", "fan", "4711", "hall 2")
    knock = await tray.knock_with_certificate(1, shown(key, "self"), said, ADDRESS)
    assert (knock.state, knock.way, knock.certificate) == (KnockState.WAITING, KnockWay.CERTIFICATE, "")
    told = (knock.common_name, knock.wanted_id, knock.label, knock.serial_number, knock.note)
    assert told == ("self", "fan-1", "fan", "4711", "hall 2")
    await tray.accept(1, knock.knock_number, Acceptance("fan-1", "fan"))
    given = await tray.knock_with_certificate(1, shown(key, "other name"), Said(), ADDRESS)
    assert x509.load_pem_x509_certificate(given.certificate.encode()).public_key() == key.public_key()
    assert registry.device(1, "fan-1").serial_number == "4711"


async def test_the_same_key_is_the_same_knock_in_a_request_and_in_any_certificate(tray: Tray) -> None:
    key = new_key()
    first = await tray.knock(1, request("pump-7", key), "", ADDRESS)
    for name in ("pump-7", "pump-8"):
        again = await tray.knock_with_certificate(1, shown(key, name), Said(), ADDRESS)
        assert again.knock_number == first.knock_number
    assert len(await tray.waiting(1)) == 1
    await tray.accept(1, first.knock_number, Acceptance("pump-7"))
    by_request = await tray.knock(1, request("pump-7", key), "", ADDRESS)
    by_certificate = await tray.knock_with_certificate(1, shown(key), Said(), ADDRESS)
    assert by_request.certificate == by_certificate.certificate


async def test_a_certificate_is_fetched_for_an_hour_and_the_first_time_is_in_the_audit_log(
    tray: Tray, registry: Registry, clock: FakeClock
) -> None:
    mine = shown()
    knock = await tray.knock_with_certificate(1, mine, Said(), ADDRESS)
    await tray.accept(1, knock.knock_number, Acceptance("pump-7"))
    clock.now += 5 * MINUTE_MS
    await tray.knock_with_certificate(1, mine, Said(), "192.0.2.9")
    clock.now += FETCH_AGAIN_MS
    await tray.knock_with_certificate(1, mine, Said(), ADDRESS)
    clock.now += 1
    with pytest.raises(FetchedError, match="pump-7"):
        await tray.knock_with_certificate(1, mine, Said(), ADDRESS)
    fetched = [entry for entry in await registry.audit.entries(1) if entry.action == "knock.fetch"]
    assert [(entry.actor, entry.subject, entry.address) for entry in fetched] == [
        ("device:pump-7", "pump-7", "192.0.2.9")
    ]


async def test_a_key_that_was_certified_or_revoked_is_refused_in_words(tray: Tray, registry: Registry) -> None:
    mine = shown()
    await registry.add_device(1, "pump-7")
    granted = await registry.grant_key(1, "pump-7", mine.public_key)
    with pytest.raises(KnownKeyError, match="that of pump-7 already"):
        await tray.knock_with_certificate(1, mine, Said(), ADDRESS)
    await registry.revoke_certificate(1, "pump-7", granted.fingerprint)
    with pytest.raises(KnownKeyError, match="was revoked"):
        await tray.knock_with_certificate(1, mine, Said(), ADDRESS)
    assert await tray.waiting(1) == []


async def test_what_was_accepted_and_then_revoked_is_not_handed_out(tray: Tray, registry: Registry) -> None:
    mine = shown()
    knock = await tray.knock_with_certificate(1, mine, Said(), ADDRESS)
    await tray.accept(1, knock.knock_number, Acceptance("pump-7"))
    await registry.set_state(1, "pump-7", DeviceState.RETIRED)
    with pytest.raises(KnownKeyError, match="was revoked"):
        await tray.knock_with_certificate(1, mine, Said(), ADDRESS)


async def test_who_is_refused_is_told_so_with_a_certificate_too(tray: Tray) -> None:
    mine = shown()
    knock = await tray.knock_with_certificate(1, mine, Said(), ADDRESS)
    await tray.refuse(1, knock.knock_number)
    with pytest.raises(RefusedKnockError):
        await tray.knock_with_certificate(1, mine, Said(), ADDRESS)


async def test_what_a_device_says_of_itself_is_cut_off_and_only_what_can_be_seen(tray: Tray) -> None:
    said = Said("a\u202eb", "t" * 500, "s" * 500, "n\x1b" * 500)
    knock = await tray.knock_with_certificate(1, shown(), said, ADDRESS)
    assert (knock.wanted_id, len(knock.label), len(knock.serial_number)) == ("ab", LABEL_LENGTH, 256)
    assert set(knock.note) == {"n"}


async def test_new_keys_have_their_limit_with_certificates_too(tray: Tray) -> None:
    for _ in range(ATTEMPTS_A_MINUTE):
        await tray.knock_with_certificate(1, shown(), Said(), ADDRESS)
    with pytest.raises(TooManyAttemptsError):
        await tray.knock_with_certificate(1, shown(), Said(), ADDRESS)
