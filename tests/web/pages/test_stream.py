import sqlite3

from appliance.accounts.model import Role
from appliance.stream.model import Start
from tests.web.house import Client, House


async def test_consumers_are_added_shown_and_deleted(owner: Client, house: House) -> None:
    assert "Nobody reads under a name" in (await owner.get("/stream")).text
    assert (await owner.submit("/stream/consumers", {"name": "lake", "start": "oldest"})).status_code == 303
    await house.send("pump-1", {"n": 1})
    page = (await owner.get("/stream")).text
    assert "lake" in page
    assert "1 report (" in page
    refused = await owner.submit("/stream/consumers", {"name": "lake", "start": "now"})
    assert refused.status_code == 409
    assert "There is a consumer lake already" in refused.text
    assert (await owner.submit("/stream/consumers/lake/remove")).status_code == 303
    assert "Nobody reads under a name" in (await owner.get("/stream")).text
    assert 'href="/stream"' in (await owner.get("/settings")).text


async def test_what_a_consumer_lost_is_told(owner: Client, house: House) -> None:
    stream = house.gateway.stream
    await stream.add(1, "slow", Start.OLDEST)
    stream.hold_bytes = 0
    for number in range(2):
        await house.send("pump-1", {"n": number})
    await house.gateway.telemetry.seal_all()
    page = (await owner.get("/stream")).text
    assert "2 reports lost." in page
    assert "the log was trimmed past slow" in page
    await stream.move(1, "slow", await stream.end())
    await stream.move(1, "slow", (await stream.known(1, "slow")).position._replace(log_id=1))
    assert "An unknown number of reports lost." in (await owner.get("/stream")).text


async def test_viewers_see_the_page_without_what_they_may_not_do(owner: Client, house: House) -> None:
    await house.gateway.stream.add(1, "lake", Start.OLDEST)
    for role, may_change in ((Role.VIEWER, False), (Role.OPERATOR, True)):
        await house.gateway.stream.database.write(set_role, role)
        answer = await owner.get("/stream")
        assert answer.status_code == 200
        assert "lake" in answer.text
        assert ("Add consumer" in answer.text, "/stream/consumers" in answer.text) == (may_change, may_change)


def set_role(connection: sqlite3.Connection, role: Role) -> None:
    connection.execute("UPDATE user SET role = ? WHERE tenant_id = 1", (role.value,))
