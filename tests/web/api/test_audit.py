from appliance.audit.model import Entry
from tests.web.house import Client, House


async def test_the_log_is_read_page_by_page(script: Client, house: House) -> None:
    for number in range(5):
        await house.gateway.registry.audit.record(1, Entry("test", str(number), {"of": "5"}))
    first = (await script.get("/v1/audit?limit=3")).json()
    second = (await script.get(f"/v1/audit?limit=3&before={first['next_before']}")).json()
    assert [one["subject"] for one in (*first["entries"], *second["entries"])] == ["4", "3", "2", "1", "0"]
    assert second["next_before"] is None
    assert first["entries"][0]["details"] == {"of": "5"}
    assert len(first["entries"][0]["hash"]) == 64


async def test_limits_that_cannot_be_are_refused(script: Client) -> None:
    for query in ("limit=0", "limit=1001", "before=0", "before=x"):
        assert (await script.get(f"/v1/audit?{query}")).status_code == 400, query


async def test_nobody_reads_the_log_of_another_tenant(script: Client, house: House) -> None:
    audit = house.gateway.registry.audit
    await audit.recorded(
        1, [], lambda connection: connection.execute("INSERT INTO tenant VALUES (2, 'second', 0)").rowcount
    )
    await audit.record(2, Entry("test", "secret of the second"))
    assert (await script.get("/v1/audit")).json()["entries"] == []
