from appliance.registry.holders import queries
from appliance.registry.service import Registry


async def test_certificates_come_in_order_and_only_to_their_own_tenant(registry: Registry) -> None:
    for number in range(3):
        await registry.add_device(1, f"pump-{number}")
        await registry.issue_certificate(1, f"pump-{number}")
    read = registry._database.read
    all_of_them = await read(queries.select_certificates_after(0, 10))
    numbers = [one.certificate_number for one in all_of_them]
    assert numbers == sorted(numbers)
    assert len(numbers) == 3
    assert await read(queries.select_certificates_after(numbers[0], 1)) == [all_of_them[1]]
    assert await read(queries.select_certificates_after(numbers[-1], 1)) == []
    [holder] = await read(queries.select_holder(1, numbers[1]))
    assert holder.device_id == "pump-1"
    assert await read(queries.select_holder(2, numbers[1])) == []
