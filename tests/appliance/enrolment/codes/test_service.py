import asyncio

import msgspec
import pytest

from appliance.accounts.throttle import ATTEMPTS_A_MINUTE
from appliance.audit.acting import acting_as
from appliance.enrolment.codes import fitness
from appliance.enrolment.codes.model import (
    LENGTH_MS,
    DeviceSuspendedError,
    NewCode,
    SpentCodeError,
    UnknownCodeError,
    WrongDeviceError,
)
from appliance.enrolment.codes.service import Codes
from appliance.errors import ApplianceError, InvalidInputError, TooManyAttemptsError
from appliance.instant import MINUTE_MS
from appliance.registry.model import (
    DeviceRetiredError,
    DeviceState,
    Granted,
    InvalidDeviceIdError,
    InvalidRequestError,
    NewDevice,
)
from appliance.registry.service import Registry
from appliance.store.database import Database
from tests.appliance.enrolment.requests import FakeClock, new_key, request

ADDRESS = "192.0.2.7"


@pytest.fixture
def codes(database: Database, registry: Registry, clock: FakeClock) -> Codes:
    return Codes(database, registry, clock)


async def secret_of(codes: Codes, target: str = "pump-7") -> str:
    return (await codes.add(1, NewCode(target, "pump", "hall"))).secret


async def test_a_code_registers_a_device_and_gives_it_a_certificate(codes: Codes, registry: Registry) -> None:
    granted = await codes.enrol(await secret_of(codes), "pump-7", request(serial_number="4711"), ADDRESS)
    device = registry.device(1, "pump-7")
    assert (device.type, device.zone, device.serial_number, device.state) == ("pump", "hall", "4711", "active")
    [certificate] = await registry.certificates(1, "pump-7")
    assert certificate.fingerprint == granted.fingerprint
    [code] = await codes.codes(1)
    assert (code.used_by, code.used_from) == ("pump-7", ADDRESS)


async def test_the_secret_has_more_than_128_bits_and_is_kept_nowhere(codes: Codes, database: Database) -> None:
    secret = fitness.canonical(await secret_of(codes))
    assert len(secret) * 5 >= 128
    await database.maintain(lambda connection: connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())
    content = database.path.read_bytes()
    assert secret.encode() not in content
    assert fitness.written(secret).encode() not in content


async def test_of_many_who_use_a_code_at_once_one_succeeds(codes: Codes, registry: Registry) -> None:
    secret = await secret_of(codes)
    answers = await asyncio.gather(
        *(codes.enrol(secret, "pump-7", request(), f"192.0.2.{number}") for number in range(8)), return_exceptions=True
    )
    assert sum(isinstance(answer, Granted) for answer in answers) == 1
    assert sum(isinstance(answer, SpentCodeError) for answer in answers) == 7
    assert len(await registry.certificates(1, "pump-7")) == 1


async def test_a_lost_answer_is_given_again_to_the_same_key_alone(codes: Codes, clock: FakeClock) -> None:
    secret, key = await secret_of(codes), new_key()
    await codes.enrol(secret, "pump-7", request(key=key), ADDRESS)
    await codes.enrol(secret, "pump-7", request(key=key), ADDRESS)
    with pytest.raises(SpentCodeError):
        await codes.enrol(secret, "pump-7", request(), ADDRESS)
    clock.now += fitness.REPEAT_MS
    with pytest.raises(SpentCodeError):
        await codes.enrol(secret, "pump-7", request(key=key), ADDRESS)


async def test_what_was_revoked_is_not_given_again(codes: Codes, registry: Registry, clock: FakeClock) -> None:
    secret, key = await secret_of(codes), new_key()
    granted = await codes.enrol(secret, "pump-7", request(key=key), ADDRESS)
    clock.now += 1
    await registry.revoke_certificate(1, "pump-7", granted.fingerprint)
    with pytest.raises(SpentCodeError, match="not given again"):
        await codes.enrol(secret, "pump-7", request(key=key), ADDRESS)
    assert len(await registry.certificates(1, "pump-7")) == 1


async def test_a_used_code_that_was_revoked_answers_no_more(codes: Codes, registry: Registry) -> None:
    secret, key = await secret_of(codes), new_key()
    await codes.enrol(secret, "pump-7", request(key=key), ADDRESS)
    [code] = await codes.codes(1)
    await codes.revoke(1, code.code_number)
    with pytest.raises(SpentCodeError, match="revoked"):
        await codes.enrol(secret, "pump-7", request(key=key), ADDRESS)
    assert len(await registry.certificates(1, "pump-7")) == 1


async def test_who_was_suspended_since_is_not_answered_again(codes: Codes, registry: Registry) -> None:
    secret, key = await secret_of(codes), new_key()
    await codes.enrol(secret, "pump-7", request(key=key), ADDRESS)
    await registry.set_state(1, "pump-7", DeviceState.SUSPENDED)
    with pytest.raises(DeviceSuspendedError):
        await codes.enrol(secret, "pump-7", request(key=key), ADDRESS)


async def test_a_pattern_gives_no_second_certificate(codes: Codes, registry: Registry, clock: FakeClock) -> None:
    bundle = await registry.issue_many(1, [NewDevice("pump-7", type="pump")])
    secret = await secret_of(codes, "pump-*")
    for attempt in (codes.enrol(secret, "pump-7", request(), ADDRESS), codes.bundle(secret, "pump-7", ADDRESS)):
        with pytest.raises(WrongDeviceError, match="make a code for that device alone"):
            await attempt
    assert len(await registry.certificates(1, "pump-7")) == 1
    await codes.enrol(await secret_of(codes), "pump-7", request(), ADDRESS)
    for certificate in await registry.certificates(1, "pump-7"):
        await registry.revoke_certificate(1, "pump-7", certificate.fingerprint)
    await codes.enrol(secret, "pump-7", request(), ADDRESS)
    assert bundle[0].fingerprint in {one.fingerprint for one in await registry.certificates(1, "pump-7")}


async def test_a_pattern_gives_no_certificate_to_a_device_with_a_token(codes: Codes, registry: Registry) -> None:
    await registry.add_device(1, "pump-7", type="pump")
    await registry.tokens.issue(1, "pump-7", "old pump", 30)
    with pytest.raises(WrongDeviceError, match="certificate or token"):
        await codes.enrol(await secret_of(codes, "pump-*"), "pump-7", request(), ADDRESS)
    assert await registry.certificates(1, "pump-7") == []


async def test_of_two_patterns_at_once_one_gives_the_device_its_certificate(codes: Codes, registry: Registry) -> None:
    secrets = [await secret_of(codes, "pump-*") for _ in range(2)]
    answers = await asyncio.gather(
        *(codes.enrol(secret, "pump-7", request(), ADDRESS) for secret in secrets), return_exceptions=True
    )
    assert {type(answer) for answer in answers} == {Granted, WrongDeviceError}
    assert len(await registry.certificates(1, "pump-7")) == 1


async def test_a_mistake_costs_no_code(codes: Codes, registry: Registry) -> None:
    secret = await secret_of(codes, "pump-*")
    await registry.add_device(1, "pump-fan", type="fan")
    mistakes: tuple[tuple[str, bytes, type[ApplianceError]], ...] = (
        ("pump-7", b"nonsense", InvalidRequestError),
        ("fan-1", request(), WrongDeviceError),
        ("pump-fan", request(), WrongDeviceError),
        ("pump/7", request(), InvalidDeviceIdError),
    )
    for device_id, wanted, error in mistakes:
        with pytest.raises(error):
            await codes.enrol(secret, device_id, wanted, ADDRESS)
    await codes.enrol(secret, "", request("pump-9"), ADDRESS)
    assert registry.has_device(1, "pump-9")


async def test_who_is_suspended_or_retired_stays_so(codes: Codes, registry: Registry) -> None:
    for state, error in ((DeviceState.SUSPENDED, DeviceSuspendedError), (DeviceState.RETIRED, DeviceRetiredError)):
        await registry.add_device(1, state.value)
        await registry.set_state(1, state.value, state)
        with pytest.raises(error):
            await codes.enrol(await secret_of(codes, state.value), state.value, request(), ADDRESS)


async def test_a_pending_device_is_accepted_by_its_code(codes: Codes, registry: Registry) -> None:
    await registry.add_device(1, "pump-7")
    registry._remember(msgspec.structs.replace(registry.device(1, "pump-7"), state=DeviceState.PENDING))
    await codes.enrol(await secret_of(codes), "pump-7", request(), ADDRESS)
    assert registry.device(1, "pump-7").state is DeviceState.ACTIVE


async def test_a_bundle_is_given_once(codes: Codes, registry: Registry) -> None:
    secret = await secret_of(codes)
    bundle = await codes.bundle(secret, "", ADDRESS)
    assert (bundle.device_id, "PRIVATE KEY" in bundle.key_pem) == ("pump-7", True)
    with pytest.raises(SpentCodeError):
        await codes.bundle(secret, "", ADDRESS)
    with pytest.raises(InvalidDeviceIdError):
        await codes.bundle(await secret_of(codes, "pump-*"), "", ADDRESS)


async def test_a_revoked_or_expired_code_opens_nothing(codes: Codes, clock: FakeClock) -> None:
    revoked, expired = await secret_of(codes), await secret_of(codes)
    [_, first] = await codes.codes(1)
    await codes.revoke(1, first.code_number)
    with pytest.raises(SpentCodeError, match="revoked"):
        await codes.opened(revoked, ADDRESS)
    assert (await codes.opened(expired, ADDRESS)).target == "pump-7"
    clock.now += LENGTH_MS
    with pytest.raises(SpentCodeError, match="expired"):
        await codes.opened(expired, ADDRESS)
    with pytest.raises(UnknownCodeError):
        await codes.revoke(1, 99)


async def test_who_guesses_waits_and_others_do_not(codes: Codes, clock: FakeClock) -> None:
    secret = await secret_of(codes)
    for number in range(ATTEMPTS_A_MINUTE):
        with pytest.raises(UnknownCodeError):
            await codes.opened("ABCD" * 8 if number % 2 else "no code", ADDRESS)
    with pytest.raises(TooManyAttemptsError):
        await codes.opened(secret, ADDRESS)
    await codes.opened(secret, "192.0.2.8")
    clock.now += MINUTE_MS
    assert (await codes.opened(secret, ADDRESS)).target == "pump-7"


async def test_a_code_that_makes_no_sense_is_not_made(codes: Codes) -> None:
    with pytest.raises(InvalidInputError):
        await codes.add(1, NewCode("pump 7"))
    assert await codes.codes(1) == []


async def test_what_is_done_with_a_code_is_in_the_audit_log_by_the_code_and_without_it(
    codes: Codes, registry: Registry
) -> None:
    secret = await secret_of(codes)
    with acting_as("somebody", "198.51.100.9"):
        await codes.enrol(secret, "pump-7", request(), ADDRESS)
    await codes.revoke(1, 1)
    entries = await registry.audit.entries(1)
    assert [(one.actor, one.address, one.action, one.subject) for one in entries] == [
        ("gateway", "", "enrolment_code.revoke", "code 1"),
        ("code:1", ADDRESS, "certificate.issue", "pump-7"),
        ("code:1", ADDRESS, "device.add", "pump-7"),
        ("code:1", ADDRESS, "enrolment_code.use", "pump-7"),
        ("gateway", "", "enrolment_code.add", "code 1"),
    ]
    assert not any(text in str(entries) for text in (secret, fitness.canonical(secret)))
