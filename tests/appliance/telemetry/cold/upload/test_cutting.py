"""How files are cut, and where the keys come from."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.cold_settings import S3Config
from appliance.telemetry.cold.bucket.model import BucketError
from appliance.telemetry.cold.bucket.signing import Credentials
from appliance.telemetry.cold.upload import cutting


@given(st.integers(0, 10**12), st.integers(5 << 20, 1 << 30))
def test_parts_are_the_whole_file_and_never_too_many(size: int, part_bytes: int) -> None:
    parts = list(cutting.parts(size, part_bytes))
    assert len(parts) <= cutting.PARTS_LIMIT
    assert [number for number, _, _ in parts] == list(range(1, len(parts) + 1))
    reached = 0
    for _, offset, length in parts:
        assert offset == reached
        reached += length
    assert reached == size


def test_a_piece_is_what_stands_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")
    assert cutting.piece(tmp_path / "file", 3, 4) == b"3456"


def test_a_place_is_read_from_the_settings() -> None:
    place = cutting.place_of(S3Config(endpoint="https://s3.example:9000/", bucket="readings", addressing="host"))
    assert (place.server, place.port, place.netloc) == ("readings.s3.example", 9000, "readings.s3.example:9000")
    assert cutting.place_of(S3Config(endpoint="http://s3.example", bucket="b")).port == 80
    assert cutting.target_of(S3Config(endpoint="https://s3.example/", bucket="b")) == "https://s3.example/b/cold/"
    assert cutting.target_of(S3Config()) == ""


def test_keys_are_read_as_aws_writes_them(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("[default]\naws_access_key_id = a\naws_secret_access_key = b%%c\n")
    assert cutting.credentials_in(path) == Credentials("a", "b%%c")
    path.write_text("[default]\naws_access_key_id = a\naws_secret_access_key = b\naws_session_token = c\n")
    assert cutting.credentials_in(path) == Credentials("a", "b", "c")


@pytest.mark.parametrize("text", ["", "hidden", "[default]\naws_secret_access_key = hidden", "[other]\na = hidden"])
def test_a_file_without_keys_is_told_without_what_is_in_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "keys").write_text(text)
    with pytest.raises(BucketError, match="holds no keys") as caught:
        cutting.credentials_in(tmp_path / "keys")
    assert "hidden" not in str(caught.value)
    with pytest.raises(BucketError, match="cannot be read"):
        cutting.credentials_in(tmp_path / "nothing")
