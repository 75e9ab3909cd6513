"""The settings of the cold tier are refused in words when they cannot be meant so."""

from pathlib import Path

import msgspec
import pytest

from appliance.cold_settings import ColdConfig, S3Config
from appliance.config import ConfigError, load, printed

GOOD = S3Config(endpoint="https://s3.example:9000", bucket="readings", credentials_file="/run/keys")


def test_without_a_bucket_nothing_is_asked_of_the_rest() -> None:
    assert ColdConfig(s3=S3Config(schedule="never")).fault() == ""
    assert ColdConfig(parquet=True, s3=GOOD).fault() == ""


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("endpoint", ""),
        ("endpoint", "s3.example"),
        ("endpoint", "ftp://s3.example"),
        ("endpoint", "https://s3.example/readings"),
        ("bucket", "Not A Bucket"),
        ("credentials_file", ""),
        ("addressing", "guess"),
        ("schedule", "daily"),
        ("schedule", "* * * *"),
        ("prefix", "/cold/"),
        ("prefix", "cold"),
    ],
)
def test_what_cannot_be_meant_so_is_named(key: str, value: str) -> None:
    fault = ColdConfig(parquet=True, s3=msgspec.structs.replace(GOOD, **{key: value})).fault()
    assert fault.startswith(f"cold.s3.bucket is set, but cold.s3.{key} is ")


def test_only_parquet_is_uploaded() -> None:
    assert "cold.parquet" in ColdConfig(s3=GOOD).fault()


def test_the_settings_file_and_the_environment_name_a_section_within_a_section(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("[cold]\nparquet = true\n[cold.s3]\nendpoint = 'http://a'\ncredentials_file = 'k'\n")
    config = load(path, {"HEADWORKS__COLD__S3__BUCKET": "readings", "HEADWORKS__COLD__S3__PART_MB": "9"})
    assert (config.cold.s3.bucket, config.cold.s3.part_mb) == ("readings", 9)
    path.write_text(printed(config))
    assert load(path, {}) == config
    path.write_text("[cold.s3]\nbuket = 'a'\n")
    with pytest.raises(ConfigError, match="buket"):
        load(path, {})
    path.write_text("[cold.s3]\nbucket = 'readings'\n")
    with pytest.raises(ConfigError, match=r"cold\.parquet is false"):
        load(path, {})
