from pathlib import Path

from appliance.notifications.queries import insert_notice
from appliance.vitals.queries import select_waiting_count
from tests.appliance.examples import stored


async def test_notices_count_until_they_are_sent(tmp_path: Path) -> None:
    async with stored(tmp_path) as database:
        assert await database.read(select_waiting_count()) == [0]
        for number in range(3):
            await database.write(insert_notice, 1, None, "email", f"{number}@example.com", "s", "b", 1_000)
        await database.write(
            lambda connection: connection.execute("UPDATE outbox SET due_at = NULL WHERE notice_id = 2")
        )
        assert await database.read(select_waiting_count()) == [2]
