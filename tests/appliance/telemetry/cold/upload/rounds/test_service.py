"""The bucket loses what is erased whatever became of what it was sent, and one bad day stands in nobody's way."""

from pathlib import Path

import msgspec
import pytest

from appliance.instant import DAY_MS, HOUR_MS
from appliance.telemetry.cold.bucket.model import BucketError
from appliance.telemetry.cold.upload import service
from appliance.telemetry.cold.upload.rounds.service import in_words
from tests.appliance.telemetry.cold.rig import ColdGateway, needs_pyarrow
from tests.appliance.telemetry.cold.stubborn import Stubborn
from tests.appliance.telemetry.reports import NOON, report

pytestmark = needs_pyarrow
LATER_MS = 7 * HOUR_MS


async def uploaded(gateway: ColdGateway) -> None:
    await gateway.cold.upload_soon()
    await gateway.cold.look()


async def erased(gateway: ColdGateway, *devices: str) -> None:
    await gateway.keeping.erase(1, devices)
    await gateway.keeping.erase_pending()


async def later(gateway: ColdGateway) -> None:
    gateway.now += LATER_MS
    await gateway.cold.look()


async def test_what_was_stored_though_nobody_heard_of_it_is_erased_too(tmp_path: Path) -> None:
    bucket = Stubborn()
    async with bucket.gateway(tmp_path) as gateway:
        await gateway.take(report("person"))
        await gateway.seal()
        await gateway.cold.look()
        bucket.is_mute = True
        await uploaded(gateway)
        assert len(bucket.objects) == 1
        bucket.is_mute = False
        await erased(gateway, "person")
        await later(gateway)
        assert bucket.objects == {}
        assert gateway.cold._shelf.known == {}


async def test_what_was_stored_unheard_is_replaced_by_what_is_left_of_it(tmp_path: Path) -> None:
    bucket = Stubborn()
    async with bucket.gateway(tmp_path) as gateway:
        await gateway.take(report("person"), report("other"))
        await gateway.seal()
        await gateway.cold.look()
        bucket.is_mute = True
        await uploaded(gateway)
        await erased(gateway, "person")
        # The next one does not get through at all.
        bucket.refused = {"day="}
        await later(gateway)
        bucket.is_mute, bucket.refused = False, set()
        await later(gateway)
        await later(gateway)
        [content] = bucket.objects.values()
        assert content == gateway.file().read_bytes()
        assert b"person" not in content
        assert gateway.cold.status().ok


@pytest.mark.parametrize("is_erased", [False, True])
async def test_parts_of_an_upload_that_was_broken_off_do_not_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_erased: bool
) -> None:
    # So that a file of some thousand bytes goes in parts.
    monkeypatch.setattr(service, "MEGABYTE", 1_000)
    bucket = Stubborn()
    async with bucket.gateway(tmp_path, part_mb=1) as gateway:
        await gateway.take(report("person"))
        await gateway.seal()
        await gateway.cold.look()
        bucket.part_limit = 3
        await uploaded(gateway)
        assert any(bucket.uploads.values())
        bucket.part_limit = 1_000
        if is_erased:
            await erased(gateway, "person")
        await later(gateway)
        assert not any(bucket.uploads.values())
        assert len(bucket.objects) == (0 if is_erased else 1)
        assert gateway.cold.status().ok


async def test_a_day_that_the_bucket_refuses_keeps_no_other_from_it(tmp_path: Path) -> None:
    bucket = Stubborn()
    async with bucket.gateway(tmp_path) as gateway:
        for days in (0, 1, 2):
            await gateway.take(report(at=NOON - days * DAY_MS))
        await gateway.seal()
        bucket.refused = {"2026-01-30"}
        await uploaded(gateway)
        assert {key[4:14] for key in bucket.objects} == {"2026-01-29", "2026-01-31"}
        assert "2026-01-30" in gateway.cold.status().summary
        with pytest.raises(BucketError, match="2026-01-30: the bucket answered 403"):
            await gateway.cold.upload_now()
        bucket.refused = set()
        assert (await gateway.cold.upload_now()).day_count == 1
        assert gateway.cold.status().ok


async def test_a_day_at_which_the_bucket_falls_silent_comes_last_the_next_time(tmp_path: Path) -> None:
    bucket = Stubborn()
    async with bucket.gateway(tmp_path) as gateway:
        for days in (0, 1):
            await gateway.take(report(at=NOON - days * DAY_MS))
        await gateway.seal()
        bucket.is_mute = True
        await uploaded(gateway)
        # Nothing more is asked of a bucket that does not answer.
        assert bucket.asked == ["PUT 2026-01-30/part.parquet"]
        bucket.is_mute = False
        await later(gateway)
        assert bucket.asked[1] == "PUT 2026-01-31/part.parquet"
        assert len(bucket.objects) == 2


async def test_what_could_not_be_taken_out_of_a_file_is_not_uploaded(tmp_path: Path) -> None:
    bucket = Stubborn()
    async with bucket.gateway(tmp_path) as gateway:
        await gateway.take(report("person"), report("other"))
        await gateway.seal()
        await gateway.cold.look()
        await gateway.keeping.erase(1, ["person"])
        gateway.cold._rounds.is_asked = True
        await gateway.cold._rounds.go_if_due()
        assert bucket.objects == {}


async def test_a_bucket_that_is_set_no_more_is_named_and_cleaned_once_it_is_set_again(tmp_path: Path) -> None:
    first, second = Stubborn(), Stubborn()
    async with first.gateway(tmp_path) as gateway, second.served() as endpoint:
        await gateway.take(report("person"))
        await gateway.seal()
        await uploaded(gateway)
        uploads = gateway.cold._uploads
        config, target = uploads._config, uploads.target
        place = gateway.cold_config.s3.endpoint
        uploads._config = msgspec.structs.replace(config, endpoint=endpoint)
        uploads.target = target.replace(place, endpoint)
        await uploaded(gateway)
        assert gateway.cold.usage().left_behind == (target,)
        assert f"{target}, which is not set any more" in gateway.cold.status().summary
        await erased(gateway, "person")
        await later(gateway)
        assert (len(first.objects), second.objects) == (1, {})
        assert gateway.cold.usage().left_behind == (target,)
        # What it knows of that outlives a restart.
        await gateway.cold._shelf.load()
        uploads._config, uploads.target = config, target
        await later(gateway)
        assert first.objects == {}
        assert gateway.cold._shelf.known == {}


def test_of_many_days_that_failed_the_first_is_told_and_the_others_counted() -> None:
    assert in_words(["a"]) == "a"
    assert in_words(["a", "b", "c"]) == "a; and 2 more days"
