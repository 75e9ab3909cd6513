"""Revocation of many certificates at once."""

import pytest

from appliance.errors import InvalidInputError
from appliance.registry.model import DEFAULT_TENANT, UnknownDeviceError
from appliance.registry.revocation.service import DEVICES_LIMIT
from appliance.registry.service import Registry
from broker.ports import Denied
from tests.appliance.registry.examples import credentials, der


async def test_nobody_gets_in_by_a_certificate_of_these_devices_and_their_connections_are_looked_at(
    registry: Registry,
) -> None:
    bundles = {}
    for name in ("pump", "valve", "other"):
        await registry.add_device(DEFAULT_TENANT, name)
        bundles[name] = [await registry.issue_certificate(DEFAULT_TENANT, name) for _ in range(2)]
    changed: list[tuple[int, str]] = []
    registry.rights_changed = lambda *who: changed.append(who)
    assert await registry.revocation.revoke_devices(DEFAULT_TENANT, ["pump", "valve", "pump"]) == 4
    assert changed == [(DEFAULT_TENANT, "pump"), (DEFAULT_TENANT, "valve")]
    refused = {
        name
        for name, issued in bundles.items()
        for each in issued
        if isinstance(registry.authenticate(credentials(name, der(each))), Denied)
    }
    assert refused == {"pump", "valve"}
    entries = await registry.audit.entries(DEFAULT_TENANT, limit=2)
    assert [each.action for each in entries] == ["certificate.revoke"] * 2


async def test_nothing_is_revoked_when_one_of_the_devices_does_not_exist(registry: Registry) -> None:
    await registry.add_device(DEFAULT_TENANT, "pump")
    bundle = await registry.issue_certificate(DEFAULT_TENANT, "pump")
    with pytest.raises(UnknownDeviceError):
        await registry.revocation.revoke_devices(DEFAULT_TENANT, ["pump", "nobody"])
    with pytest.raises(InvalidInputError):
        await registry.revocation.revoke_devices(DEFAULT_TENANT, [str(each) for each in range(DEVICES_LIMIT + 1)])
    assert not isinstance(registry.authenticate(credentials("pump", der(bundle))), Denied)
