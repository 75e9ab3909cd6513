"""What gateway.db keeps of the cold tier comes back as it was."""

from pathlib import Path

import msgspec

from appliance.store.database import opened
from appliance.telemetry.cold import queries
from appliance.telemetry.cold.model import ColdDay, Part
from appliance.telemetry.keeping.queries import insert_erasures, select_erasures, update_erasures_done
from tests.appliance.store.tables import up_to_date


async def test_a_day_and_the_parts_of_its_upload_come_back(tmp_path: Path) -> None:
    async with opened(tmp_path / "gateway.db", prepare=up_to_date) as database:
        day = ColdDay(20_484, "source", 1, 2, "sha", 3, 4, False, 5, "up", "to", 6, "upload", "mark", "there", "a\nb")
        await database.write(queries.put_day, day)
        await database.write(queries.insert_part, day.day, Part(2, "b"))
        await database.write(queries.insert_part, day.day, Part(1, "a"))
        await database.write(queries.insert_part, day.day, Part(2, "c"))
        assert await database.read(queries.select_days()) == [day]
        assert await database.read(queries.select_parts(day.day)) == [Part(1, "a"), Part(2, "c")]
        done = msgspec.structs.replace(day, upload_id="", is_local=True)
        await database.write(queries.put_day, done)
        assert await database.read(queries.select_days()) == [done]
        assert await database.read(queries.select_parts(day.day)) == []
        await database.write(queries.delete_day, day.day)
        assert await database.read(queries.select_days()) == []


async def test_every_erasing_is_known_and_whether_it_is_done(tmp_path: Path) -> None:
    async with opened(tmp_path / "gateway.db", prepare=up_to_date) as database:
        await database.write(insert_erasures, 1, ["a", "b"], 7)
        first, _ = await database.read(select_erasures())
        await database.write(update_erasures_done, [first], 8)
        found = await database.read(queries.select_erased())
        assert [(each.device_id, each.tenant_id, each.is_done) for each in found] == [("a", 1, True), ("b", 1, False)]


async def test_no_erasing_gets_a_number_that_was_said_to_be_given(tmp_path: Path) -> None:
    async with opened(tmp_path / "gateway.db", prepare=up_to_date) as database:
        for highest, expected in ((7, 8), (3, 9), (9, 10), (12, 13)):
            await database.write(queries.raise_erasures, highest)
            [erasure] = await database.write(insert_erasures, 1, ["a"], 7)
            assert erasure.erasure_number == expected
