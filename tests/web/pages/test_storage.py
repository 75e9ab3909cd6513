import msgspec
import pytest

from appliance.telemetry.cold.model import ColdUsage
from appliance.telemetry.journal.model import Usage as JournalUsage
from appliance.telemetry.keeping.room.reserve import Disk
from tests.appliance.telemetry.reports import NOON
from tests.web.house import Client, House
from web.pages.storage import cold_in_words, forecast_in_words, journal_in_words, size_in_words

COLD = ColdUsage(True, 2, 20_484, 20_485, 3_000, 0, "", 0, 0, None, "")
JOURNAL = JournalUsage(True, True, 2, 2_000_000, 10**9, 24, NOON, "no <b> room")


async def test_the_page_says_where_the_disk_goes_and_what_was_damaged(owner: Client, house: House) -> None:
    page = (await owner.get("/storage")).text
    assert "Nothing that was read is damaged" in page
    assert "Sealed days" in page
    house.gateway.telemetry.day_files.note_damage("2026-01-31.sealed page 3 of 9: <b>")
    page = (await owner.get("/storage")).text
    assert "2026-01-31.sealed page 3 of 9: &lt;b&gt;" in page
    assert 'href="/storage"' in (await owner.get("/settings")).text


async def test_the_page_says_when_others_fill_the_disk(owner: Client, house: House) -> None:
    house.gateway.room.look = lambda: Disk(3 * 10**9, 32 * 10**9, 0)
    page = (await owner.get("/storage")).text
    assert "others fill the disk: 29.0 GB of 32.0 GB are not the gateway&#39;s" in page
    assert '<dt>Taken by others</dt><dd class="num">29.0 GB</dd>' in page
    house.gateway.room.look = lambda: Disk(30 * 10**9, 32 * 10**9, 0)
    page = (await owner.get("/storage")).text
    assert "others fill" not in page
    assert "30.0 GB of the disk are free" in page


async def test_the_page_says_what_stays_when_every_day_has_gone(owner: Client, house: House) -> None:
    await house.send("pump-1", {"pressure": 1.5})
    staying = (await house.gateway.room.usage(1)).staying_bytes
    assert staying > 0
    told = f'<dt>Without any day that is over</dt><dd class="num">{size_in_words(staying)}</dd>'
    assert told in (await owner.get("/storage")).text


async def test_devices_that_are_being_erased_are_named(owner: Client, house: House) -> None:
    await house.add_device("pump-1")
    async with house.gateway.room.keeping.nothing_written():
        # Somebody writes a day meanwhile, so that the erasing has to wait.
        await house.send("pump-1", {"pressure": 1.5})
        await house.gateway.telemetry.seal_all()
        await house.gateway.room.keeping.erase(1, ["pump-1"])
        assert "Being erased" in (await owner.get("/storage")).text


@pytest.mark.parametrize(
    ("count", "told"),
    [(0, "0 bytes"), (999, "999 bytes"), (1_400_000_000, "1.4 GB"), (5 * 10**15, "5000.0 TB")],
)
def test_sizes_are_told_as_people_read_them(count: int, told: str) -> None:
    assert size_in_words(count) == told


def test_the_forecast_is_a_sentence() -> None:
    told = {forecast_in_words(days) for days in (None, 0, 1, 41)}
    assert len(told) == 4
    assert "The room will be used up in 41 days; then the oldest day goes for each new one." in told


async def test_the_page_says_how_it_stands_with_parquet(owner: Client, house: House) -> None:
    assert "Days are not written as Parquet" in (await owner.get("/storage")).text
    object.__setattr__(house.gateway.cold, "usage", lambda: msgspec.structs.replace(COLD, trouble="no <b> line"))
    page = (await owner.get("/storage")).text
    assert "no &lt;b&gt; line" in page
    assert "2026-01-31" in page


def test_the_bucket_is_told_where_there_is_one() -> None:
    assert dict(cold_in_words(COLD)) == {"Days": "2", "Size": "3.0 kB", "Oldest day": "2026-01-31"}
    told = dict(cold_in_words(msgspec.structs.replace(COLD, bucket="https://s3/b/", waiting_count=1, uploaded_count=1)))
    assert told["Still to be written"] == "1"
    assert (told["Bucket"], told["In the bucket"], told["Last upload"]) == ("https://s3/b/", "1 days, 0 wait", "never")
    left = msgspec.structs.replace(COLD, left_behind=("https://old/b/",))
    assert cold_in_words(left)[-1] == ("Left behind, nothing is erased there", "https://old/b/")
    assert dict(cold_in_words(msgspec.structs.replace(COLD, bucket="b", uploaded_at=0)))["Last upload"].startswith(
        "1970"
    )


async def test_the_page_says_how_it_stands_with_the_raw_journal(owner: Client, house: House) -> None:
    assert "Messages are not kept as they came" in (await owner.get("/storage")).text
    object.__setattr__(house.gateway.journal, "usage", lambda: JOURNAL)
    page = (await owner.get("/storage")).text
    assert "2.0 MB of 1.0 GB that may be" in page
    assert "2026-01-31T12:00" in page
    assert "no &lt;b&gt; room" in page
    assert dict(journal_in_words(msgspec.structs.replace(JOURNAL, begun_at=None)))["Has everything since"] == "not now"
