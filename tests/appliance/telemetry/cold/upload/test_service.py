"""Files come into the bucket whole, and an upload goes on where it stopped."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest

from appliance.cold_settings import ColdConfig
from appliance.telemetry.cold import queries
from appliance.telemetry.cold.bucket.model import BucketError
from appliance.telemetry.cold.bucket.service import Bucket
from appliance.telemetry.cold.model import ColdDay, ColdError, Part
from appliance.telemetry.cold.shelf import files
from tests.appliance.telemetry.cold.rig import ColdGateway, needs_bucket, objects, s3, served
from tests.appliance.telemetry.reports import DAY

pytestmark = needs_bucket
OBJECT = "cold/day=2026-01-31/part.parquet"
LARGE_BYTES = (11 << 20) + 5


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("s3")


@pytest.fixture(scope="module")
def endpoint(root: Path) -> Iterator[str]:
    with served(root) as endpoint:
        yield endpoint


@pytest.fixture
async def gateway(tmp_path: Path, endpoint: str) -> AsyncIterator[ColdGateway]:
    gateway = ColdGateway(tmp_path)
    gateway.cold_config = ColdConfig(parquet=True, s3=s3(tmp_path, endpoint, part_mb=5))
    async with gateway.running():
        yield gateway


async def put_on_the_shelf(gateway: ColdGateway, size: int) -> ColdDay:
    """A file of so many bytes; what is in it is nothing to those who upload it."""
    path = gateway.file()
    files.made_room(path)
    path.write_bytes(os.urandom(size))
    known = ColdDay(DAY, "x", 1, size, files.sha256_of(path))
    await gateway.cold._shelf.note(known)
    return known


async def part_numbers(gateway: ColdGateway) -> list[int]:
    return [part.number for part in await gateway.database.read(queries.select_parts(DAY))]


async def test_a_small_file_is_put_at_once_and_a_large_one_in_parts(gateway: ColdGateway, root: Path) -> None:
    for size in (1_000, LARGE_BYTES):
        known = await put_on_the_shelf(gateway, size)
        await gateway.cold._uploads.upload(known)
        assert objects(root)[OBJECT] == gateway.file().read_bytes()
        noted = gateway.cold._shelf.known[DAY]
        assert gateway.cold._uploads.has(noted)
        assert (noted.upload_id, await part_numbers(gateway)) == ("", [])


async def test_what_has_arrived_is_not_sent_again_after_a_stop(gateway: ColdGateway, root: Path) -> None:
    known = await put_on_the_shelf(gateway, LARGE_BYTES)
    uploads = gateway.cold._uploads
    bucket = await uploads._bucket()
    upload_id = await bucket.begin(OBJECT, known.sha256)
    begun = uploads._begun(known, upload_id)
    await gateway.cold._shelf.note(begun)
    tag = await bucket.put_part(OBJECT, upload_id, 1, gateway.file().read_bytes()[: 5 << 20])
    await gateway.database.write(queries.insert_part, DAY, Part(1, tag))
    sent = await counted(gateway, begun)
    assert sent == [2, 3]
    assert objects(root)[OBJECT] == gateway.file().read_bytes()


async def counted(gateway: ColdGateway, known: ColdDay) -> list[int]:
    """Upload a day, and tell which parts were sent."""
    sent: list[int] = []
    uploads = gateway.cold._uploads

    class Counting(Bucket):
        async def put_part(self, key: str, upload_id: str, number: int, content: bytes) -> str:
            sent.append(number)
            return await super().put_part(key, upload_id, number, content)

    bucket = await uploads._bucket()
    counting = Counting(bucket._place, bucket._credentials, bucket._line, bucket._clock)
    await uploads._put_in_parts(counting, OBJECT, known)
    return sent


async def test_an_upload_that_the_bucket_has_let_go_begins_anew(gateway: ColdGateway, root: Path) -> None:
    known = gateway.cold._uploads._begun(await put_on_the_shelf(gateway, LARGE_BYTES), "let-go")
    await gateway.cold._shelf.note(known)
    await gateway.cold._uploads.upload(known)
    assert objects(root)[OBJECT] == gateway.file().read_bytes()


async def test_an_upload_of_another_file_is_abandoned(gateway: ColdGateway, root: Path) -> None:
    uploads = gateway.cold._uploads
    older = await put_on_the_shelf(gateway, LARGE_BYTES)
    bucket = await uploads._bucket()
    upload_id = await bucket.begin(OBJECT, older.sha256)
    await gateway.cold._shelf.note(uploads._begun(older, upload_id))
    newer = await put_on_the_shelf(gateway, 100)
    begun = uploads._begun(older, upload_id)
    known = msgspec.structs.replace(begun, source="y", file_bytes=100, sha256=newer.sha256)
    await uploads.upload(known)
    assert objects(root)[OBJECT] == gateway.file().read_bytes()
    with pytest.raises(BucketError, match="NoSuchUpload"):
        await bucket.put_part(OBJECT, upload_id, 1, b"late")


async def test_a_file_that_was_damaged_is_not_uploaded_but_written_again(gateway: ColdGateway) -> None:
    known = await put_on_the_shelf(gateway, 100)
    gateway.file().write_bytes(bytes(100))
    with pytest.raises(ColdError, match="was damaged"):
        await gateway.cold._uploads.upload(known)
    await gateway.cold._shelf.see_to_doubted()
    assert gateway.cold._shelf.known[DAY].source == ""


async def test_a_file_comes_back_from_the_bucket_or_not_at_all(gateway: ColdGateway, root: Path) -> None:
    known = await put_on_the_shelf(gateway, 100)
    uploads, shelf = gateway.cold._uploads, gateway.cold._shelf
    await uploads.upload(known)
    content = gateway.file().read_bytes()
    await shelf.remove(shelf.known[DAY])
    assert (await uploads.fetch(shelf.known[DAY])).is_local
    assert gateway.file().read_bytes() == content
    await shelf.remove(shelf.known[DAY])
    (root / "readings" / OBJECT).write_bytes(bytes(100))
    with pytest.raises(BucketError, match="not what was uploaded"):
        await uploads.fetch(shelf.known[DAY])
    assert not gateway.file().exists()


async def test_a_certificate_that_is_none_is_told(gateway: ColdGateway, tmp_path: Path, endpoint: str) -> None:
    known = await put_on_the_shelf(gateway, 100)
    uploads = gateway.cold._uploads
    uploads._config = s3(tmp_path, endpoint.replace("http:", "https:"), ca_file=str(tmp_path / "keys"))
    with pytest.raises(BucketError, match="is not the certificate of a CA"):
        await uploads.upload(known)
