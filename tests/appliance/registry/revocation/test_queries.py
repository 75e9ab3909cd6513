"""Revocations on disk."""

from appliance.registry.model import DEFAULT_TENANT
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
