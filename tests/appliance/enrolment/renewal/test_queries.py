from functools import partial

import pytest

from appliance.enrolment.renewal import queries
from appliance.enrolment.renewal.model import Asked, EndedCertificateError, Succession
from appliance.instant import DAY_MS
from appliance.registry.model import DeviceState
from appliance.registry.service import Registry
from appliance.store.database import Database
from tests.appliance.enrolment.examples import NOW
from tests.appliance.enrolment.renewal.clients import TWO_THIRDS_MS, bound
from tests.appliance.registry.examples import FakeClock


def nothing(_: object) -> None:
    """A certificate that is written elsewhere."""


async def test_a_succession_is_kept_until_it_is_deleted_by_its_own_tenant(
    database: Database, registry: Registry, first: bytes
) -> None:
    present = bound(registry, first).certificate.fingerprint
    kept, other = (Succession(1, name, present, "pump-7", NOW) for name in "bc")
    for each in (kept, other):
        await database.write(queries.insert_renewal, each, 10, nothing)
    await database.write(queries.delete_successions, 2, ["b", "c"])
    await database.write(queries.delete_successions, 1, ["c"])
    assert await database.read(queries.select_successions()) == [kept]


async def test_nobody_renews_with_the_certificate_of_another_tenant(
    database: Database, registry: Registry, first: bytes
) -> None:
    present = bound(registry, first).certificate.fingerprint
    with pytest.raises(EndedCertificateError):
        await database.write(queries.insert_renewal, Succession(2, "b", present, "pump-7", NOW), 10, nothing)


async def test_what_cannot_be_bound_leaves_nothing(database: Database, registry: Registry, first: bytes) -> None:
    def fail(_: object) -> None:
        raise EndedCertificateError("it was not to be")

    made = Succession(1, "b", bound(registry, first).certificate.fingerprint, "pump-7", NOW)
    with pytest.raises(EndedCertificateError):
        await database.write(queries.insert_renewal, made, 10, fail)
    assert await database.read(queries.select_successions()) == []


async def test_the_certificates_that_are_due_are_found(
    database: Database, registry: Registry, first: bytes, clock: FakeClock
) -> None:
    known = bound(registry, first).certificate
    due_at = NOW + TWO_THIRDS_MS
    assert await database.read(queries.select_due(due_at - 1)) == []
    [found] = await database.read(queries.select_due(due_at))
    assert (found.device_id, found.fingerprint, found.is_latest) == ("pump-7", known.fingerprint, True)
    assert await database.read(queries.select_due(known.expires_at)) == []
    clock.now += DAY_MS
    renewed = await registry.issue_certificate(1, "pump-7")
    made = Succession(1, renewed.fingerprint, known.fingerprint, "pump-7", NOW)
    await database.write(partial(queries.insert_renewal, made=made, day_limit=10, bind=nothing))
    assert [one.is_latest for one in await database.read(queries.select_due(due_at))] == [True]
    await database.write(queries.delete_successions, 1, [renewed.fingerprint])
    assert [one.is_latest for one in await database.read(queries.select_due(due_at))] == [False]
    await registry.set_state(1, "pump-7", DeviceState.SUSPENDED)
    assert await database.read(queries.select_due(due_at)) == []


async def test_when_devices_were_asked_is_kept(database: Database, registry: Registry) -> None:
    await registry.add_device(1, "pump-7")
    asked = [Asked(1, "pump-7", NOW), Asked(1, "nobody", NOW), Asked(2, "pump-7", NOW)]
    await database.write(queries.save_asked, asked)
    await database.write(queries.save_asked, [Asked(1, "pump-7", NOW + 1)])
    assert await database.read(queries.select_asked()) == [Asked(1, "pump-7", NOW + 1)]
