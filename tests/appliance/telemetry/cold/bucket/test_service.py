"""Objects go into a bucket that checks signatures, and come out as they were."""

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.telemetry.cold.bucket.line.service import Line
from appliance.telemetry.cold.bucket.model import BucketError, Head, Place
from appliance.telemetry.cold.bucket.service import Bucket
from appliance.telemetry.cold.bucket.signing import Credentials
from tests.appliance.telemetry.cold.rig import ACCESS_KEY, BUCKET, SECRET_KEY, needs_bucket, served

KEY = "a b/day=2026-01-31/pärt+1.parquet"
CONTENT = bytes(range(256)) * 40
SHA256 = hashlib.sha256(CONTENT).hexdigest()
PART = 5 << 20

pytestmark = needs_bucket


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with served(tmp_path_factory.mktemp("s3")) as endpoint:
        yield int(endpoint.rpartition(":")[2])


def bucket_at(port: int, secret_key: str = SECRET_KEY) -> Bucket:
    place = Place("http", "127.0.0.1", port, BUCKET, "us-east-1", in_host=False)
    return Bucket(place, Credentials(ACCESS_KEY, secret_key), Line(place, None), lambda: time.time_ns() // 1_000_000)


async def test_an_object_comes_back_and_goes(port: int, tmp_path: Path) -> None:
    bucket = bucket_at(port)
    await bucket.put(KEY, CONTENT, SHA256)
    assert await bucket.head(KEY) == Head(len(CONTENT), SHA256)
    assert await bucket.fetch(KEY, tmp_path / "there") == SHA256
    assert (tmp_path / "there").read_bytes() == CONTENT
    await bucket.delete(KEY)
    assert await bucket.head(KEY) is None
    await bucket.delete(KEY)
    with pytest.raises(BucketError, match="404 to GET"):
        await bucket.fetch(KEY, tmp_path / "there")


async def test_an_object_is_made_of_parts(port: int, tmp_path: Path) -> None:
    bucket = bucket_at(port)
    upload_id = await bucket.begin(KEY, SHA256)
    tags = [
        (1, await bucket.put_part(KEY, upload_id, 1, bytes(PART))),
        (2, await bucket.put_part(KEY, upload_id, 2, CONTENT)),
    ]
    await bucket.finish(KEY, upload_id, tags)
    await bucket.fetch(KEY, tmp_path / "there")
    assert (tmp_path / "there").read_bytes() == bytes(PART) + CONTENT


async def test_an_upload_that_is_not_known_is_named_so(port: int) -> None:
    bucket = bucket_at(port)
    with pytest.raises(BucketError) as caught:
        await bucket.put_part(KEY, "nobody", 1, CONTENT)
    assert (caught.value.status, caught.value.name) == (404, "NoSuchUpload")
    await bucket.abandon(KEY, "nobody")


async def test_a_wrong_key_is_refused_in_the_words_of_the_bucket(port: int) -> None:
    with pytest.raises(BucketError, match=r"403 to PUT .* \(SignatureDoesNotMatch"):
        await bucket_at(port, "another").put(KEY, CONTENT, SHA256)
