"""Revocations on disk."""

import pytest

from appliance.registry.model import DEFAULT_TENANT, UnknownCertificateError
from appliance.registry.revocation import queries
from appliance.registry.service import Registry
from appliance.store.database import Database
from tests.appliance.registry.examples import NOW


async def test_only_what_these_devices_have_is_revoked_and_only_once(database: Database, registry: Registry) -> None:
    issued = {}
    for name in ("pump", "valve"):
        await registry.add_device(DEFAULT_TENANT, name)
        issued[name] = [await registry.issue_certificate(DEFAULT_TENANT, name) for _ in range(2)]
    assert await database.write(queries.revoke_all_of, 2, ["pump"], NOW) == []
    revoked = await database.write(queries.revoke_all_of, DEFAULT_TENANT, ["pump", "nobody"], NOW)
    assert {known.fingerprint for _, known in revoked} == {each.fingerprint for each in issued["pump"]}
    assert {(name, known.revoked_at) for name, known in revoked} == {("pump", NOW)}
    assert await database.write(queries.revoke_all_of, DEFAULT_TENANT, ["pump"], NOW + 1) == []


async def test_a_revoked_certificate_keeps_its_first_moment(database: Database, registry: Registry) -> None:
    await registry.add_device(DEFAULT_TENANT, "pump")
    known = await registry.issue_certificate(DEFAULT_TENANT, "pump")
    for now in (NOW, NOW + 9):
        [one] = await database.write(queries.revoke_certificate, DEFAULT_TENANT, "pump", known.fingerprint, now)
        assert (one.device_id, one.certificate.revoked_at) == ("pump", NOW)


@pytest.mark.parametrize(("tenant_id", "device_id"), [(2, "pump"), (DEFAULT_TENANT, "valve")])
async def test_a_certificate_of_another_is_not_revoked(
    database: Database, registry: Registry, tenant_id: int, device_id: str
) -> None:
    for name in ("pump", "valve"):
        await registry.add_device(DEFAULT_TENANT, name)
    known = await registry.issue_certificate(DEFAULT_TENANT, "pump")
    for fingerprint in (known.fingerprint, "0" * 64):
        with pytest.raises(UnknownCertificateError):
            await database.write(queries.revoke_certificate, tenant_id, device_id, fingerprint, NOW)
    [kept] = await registry.certificates(DEFAULT_TENANT, "pump")
    assert kept.revoked_at is None
