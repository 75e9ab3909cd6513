import asyncio

from appliance.registry.holders.service import Holders
from appliance.registry.model import DeviceState
from appliance.registry.service import Registry
from tests.appliance.enrolment.requests import new_key, request
from tests.appliance.enrolment.self_made import shown


async def test_a_key_is_found_by_whatever_it_was_certified_from(registry: Registry) -> None:
    holders = Holders(registry._database)
    first, second = new_key(), new_key()
    await registry.add_device(1, "pump-1")
    assert await holders.holder(1, shown(first).key_fingerprint) is None
    await registry.grant_certificate(1, "pump-1", request(key=first))
    await registry.add_device(1, "pump-2")
    await registry.grant_key(1, "pump-2", shown(second).public_key)
    for key, device_id in ((first, "pump-1"), (second, "pump-2")):
        holder = await holders.holder(1, shown(key).key_fingerprint)
        assert holder is not None
        assert (holder.device_id, holder.revoked_at) == (device_id, None)
        assert await holders.holder(2, shown(key).key_fingerprint) is None
    assert await holders.holder(1, shown(new_key()).key_fingerprint) is None


async def test_that_it_was_revoked_is_known_at_once(registry: Registry) -> None:
    holders, key = Holders(registry._database), new_key()
    await registry.add_device(1, "pump-1")
    await registry.grant_key(1, "pump-1", shown(key).public_key)
    assert await holders.holder(1, shown(key).key_fingerprint) is not None
    await registry.set_state(1, "pump-1", DeviceState.RETIRED)
    holder = await holders.holder(1, shown(key).key_fingerprint)
    assert holder is not None
    assert holder.revoked_at is not None


async def test_many_are_read_in_pieces_and_each_once(registry: Registry) -> None:
    keys = [new_key() for _ in range(5)]
    for number, key in enumerate(keys):
        await registry.add_device(1, f"pump-{number}")
        await registry.grant_key(1, f"pump-{number}", shown(key).public_key)
    holders = Holders(registry._database, piece=2)
    found = await asyncio.gather(*(holders.holder(1, shown(key).key_fingerprint) for key in keys))
    assert [holder.device_id for holder in found if holder] == [f"pump-{number}" for number in range(5)]
    assert len(holders._numbers) == 5
