import sqlite3

import msgspec
import pytest

from appliance.registry import queries as registry_queries
from appliance.registry.model import DeviceState, NewDevice
from appliance.registry.own_authorities import queries
from appliance.registry.own_authorities.model import (
    AUTHORITIES_LIMIT,
    CODE_LIFE_MS,
    CODES_LIMIT,
    WAITING_LIMIT,
    AuthorityExistsError,
    CertificateState,
    InvalidAuthorityError,
    Mode,
    NewAuthority,
    OwnAuthority,
    OwnCertificateRefusedError,
    Settings,
)
from appliance.store.database import Database
from tests.appliance.registry.examples import NOW
from tests.appliance.registry.own_authorities.examples import new_authority, pem_of, seen

PUMP = NewDevice("pump-7")


async def authority(database: Database, mode: Mode = Mode.PROVISION, number: int = 1) -> OwnAuthority:
    await database.write(queries.insert_code, 1, f"hash {number}", NOW)
    told = (new_authority(number), Settings(mode, daily_limit=2_000), f"hash {number}")
    return await database.write(queries.insert_authority, 1, *told, NOW)


async def test_a_code_is_good_once_for_an_hour_and_only_so_many_are_open(database: Database) -> None:
    for number in range(CODES_LIMIT + 1):
        await database.write(queries.insert_code, 1, f"hash {number}", NOW + number)
    late = NOW + CODE_LIFE_MS + 5
    for code, at in (("hash 0", NOW), ("hash 5", late), ("none", NOW)):
        with pytest.raises(InvalidAuthorityError):
            await database.write(queries.insert_authority, 1, new_authority(), Settings(), code, at)
    await database.write(queries.insert_authority, 1, new_authority(), Settings(), "hash 6", late)
    with pytest.raises(InvalidAuthorityError):
        await database.write(queries.insert_authority, 1, new_authority(2), Settings(), "hash 6", NOW)


async def test_a_ca_that_cannot_be_kept_leaves_the_code_as_it_was(database: Database) -> None:
    await authority(database)
    await database.write(queries.insert_code, 1, "other", NOW)
    for new in (new_authority(), *of_the_same()):
        with pytest.raises(AuthorityExistsError, match="this CA, or another one called"):
            await database.write(queries.insert_authority, 1, new, Settings(), "other", NOW)
    await database.write(queries.insert_authority, 1, new_authority(2), Settings(), "other", NOW)


def of_the_same() -> list[NewAuthority]:
    """CAs of the name, or with the key, of the first one."""
    second = new_authority(2)
    same_names = [msgspec.structs.replace(second, pem=pem_of(name)) for name in ("CA 1", "ca \t1 ")]
    return [*same_names, msgspec.structs.replace(second, issuer_key=new_authority().issuer_key)]


async def test_a_name_and_a_key_are_those_of_one_ca_whatever_the_tenant(database: Database) -> None:
    await database.write(insert_tenant)
    known = await authority(database)
    for new in of_the_same():
        with pytest.raises(InvalidAuthorityError):
            await database.write(queries.insert_authority, 2, new, Settings(), "guessed", NOW)
    await database.write(queries.insert_code, 2, "other", NOW)
    for new in of_the_same():
        with pytest.raises(AuthorityExistsError, match="called CN=CA 2, is registered at this gateway already"):
            await database.write(queries.insert_authority, 2, new, Settings(), "other", NOW)
    await database.write(queries.remove_authority, 1, known.authority_number, NOW)
    await database.write(queries.insert_authority, 2, of_the_same()[0], Settings(), "other", NOW)


def insert_tenant(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO tenant (tenant_id, name, created_at) VALUES (2, 'second', 0)")


async def test_a_tenant_has_only_so_many_cas(database: Database) -> None:
    for number in range(AUTHORITIES_LIMIT):
        await authority(database, number=number)
    with pytest.raises(AuthorityExistsError, match="remove one first"):
        await authority(database, number=77)


async def test_a_certificate_and_its_device_are_one_transaction(database: Database) -> None:
    known = await authority(database)
    taken = await database.write(queries.take_in, seen(known), PUMP, NOW)
    assert (taken.certificate.state, taken.certificate.device_id) == (CertificateState.BOUND, "pump-7")
    assert await database.read(registry_queries.select_all_devices()) == [taken.device]
    [bound] = await database.read(registry_queries.select_all_certificates())
    assert taken.kept is not None
    assert bound.certificate == taken.kept.certificate
    with pytest.raises(OwnCertificateRefusedError, match="counts once"):
        await database.write(queries.take_in, seen(known), NewDevice("pump-8"), NOW)
    assert await database.read(queries.select_certificates()) == [taken.certificate]


def insert_waiting(connection: sqlite3.Connection, known: OwnAuthority) -> None:
    for number in range(WAITING_LIMIT):
        queries.take_in(connection, seen(known, number), NewDevice(f"pump-{number}"), NOW)


async def test_only_so_many_wait_for_a_person(database: Database) -> None:
    known = await authority(database, Mode.REGISTER)
    await database.write(insert_waiting, known)
    with pytest.raises(OwnCertificateRefusedError, match="wait to be accepted"):
        await database.write(queries.take_in, seen(known, WAITING_LIMIT), PUMP, NOW)
    other = await authority(database, Mode.REGISTER, 2)
    await database.write(queries.take_in, seen(other, WAITING_LIMIT), PUMP, NOW)


@pytest.mark.parametrize("is_removed", [False, True])
async def test_what_was_decided_a_moment_ago_holds(database: Database, *, is_removed: bool) -> None:
    known = await authority(database)
    if is_removed:
        await database.write(queries.remove_authority, 1, known.authority_number, NOW)
    else:
        await database.write(queries.update_settings, 1, known.authority_number, Settings(Mode.INACTIVE))
    with pytest.raises(OwnCertificateRefusedError, match="a moment ago"):
        await database.write(queries.take_in, seen(known), PUMP, NOW)


async def test_removing_a_ca_revokes_its_certificates_and_no_others(database: Database) -> None:
    one, other = await authority(database), await authority(database, number=2)
    await database.write(queries.take_in, seen(one, 1), PUMP, NOW)
    await database.write(queries.take_in, seen(other, 2), NewDevice("pump-8"), NOW)
    [(device_id, revoked)] = await database.write(queries.remove_authority, 1, one.authority_number, NOW + 5)
    assert (device_id, revoked.revoked_at) == ("pump-7", NOW + 5)
    still = [
        bound.device_id
        for bound in await database.read(registry_queries.select_all_certificates())
        if bound.certificate.revoked_at is None
    ]
    assert still == ["pump-8"]
    assert await database.read(queries.select_authorities()) == [other]


async def test_a_pending_device_is_active_once_a_certificate_was_accepted_for_it(database: Database) -> None:
    known = await authority(database, Mode.REGISTER)
    waiting = await database.write(queries.take_in, seen(known), PUMP, NOW)
    pending = NewDevice("pump-9", state=DeviceState.PENDING)
    await database.write(registry_queries.insert_device, 1, pending, NOW)
    taken = await database.write(queries.accept_for, waiting.certificate, pending, NOW)
    assert taken.device is not None
    assert (taken.device.state, taken.certificate.device_id) == (DeviceState.ACTIVE, "pump-9")
