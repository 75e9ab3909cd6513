"""How a bucket is named in requests."""

from appliance.telemetry.cold.bucket.model import BucketError, Place


def test_a_bucket_is_named_by_the_path_or_by_the_host() -> None:
    by_path = Place("https", "s3.example", 443, "readings", "r", in_host=False)
    assert (by_path.netloc, by_path.server, by_path.path("a/b")) == ("s3.example", "s3.example", "/readings/a/b")
    by_host = Place("http", "s3.example", 9000, "readings", "r", in_host=True)
    assert (by_host.netloc, by_host.server, by_host.path("a/b")) == (
        "readings.s3.example:9000",
        "readings.s3.example",
        "/a/b",
    )


def test_an_error_tells_what_the_bucket_answered() -> None:
    error = BucketError("no", 404, "NoSuchUpload")
    assert (str(error), error.status, error.name, error.code) == ("no", 404, "NoSuchUpload", "bucket")
