"""How a file is cut into parts, and the keys with which they are sent."""

import configparser
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from appliance.cold_settings import S3Config
from appliance.telemetry.cold.bucket.model import BucketAwayError, Place
from appliance.telemetry.cold.bucket.signing import Credentials

PARTS_LIMIT = 10_000
"""S3 takes no more."""

_PORTS = {"http": 80, "https": 443}
_SECTION = "default"


def parts(file_bytes: int, part_bytes: int) -> Iterator[tuple[int, int, int]]:
    """Number, offset and length of each part; larger ones where there would be too many."""
    size = max(part_bytes, -(-file_bytes // PARTS_LIMIT))
    for number, offset in enumerate(range(0, file_bytes, size), 1):
        yield number, offset, min(size, file_bytes - offset)


def piece(path: Path, offset: int, length: int) -> bytes:
    """A part of a file. Raises `OSError`."""
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(length)


def place_of(config: S3Config) -> Place:
    """Where the bucket is that the settings name."""
    address = urlsplit(config.endpoint)
    return Place(
        scheme=address.scheme,
        host=address.hostname or "",
        port=address.port or _PORTS[address.scheme],
        bucket=config.bucket,
        region=config.region,
        in_host=config.addressing == "host",
    )


def target_of(config: S3Config) -> str:
    """The bucket in words; another one is uploaded to anew."""
    return f"{config.endpoint.rstrip('/')}/{config.bucket}/{config.prefix}" if config.bucket else ""


def credentials_in(path: Path) -> Credentials:
    """The keys in a file as AWS has it. Raises `BucketAwayError`, which never says what is in it."""
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(path.read_text(encoding="utf-8"))
        section = parser[_SECTION]
        return Credentials(
            section["aws_access_key_id"], section["aws_secret_access_key"], section.get("aws_session_token", "")
        )
    except OSError as error:
        raise BucketAwayError(f"{path} cannot be read: {error.strerror}") from error
    except (configparser.Error, KeyError, UnicodeDecodeError):
        raise BucketAwayError(
            f"{path} holds no keys: expected [default], aws_access_key_id = … and aws_secret_access_key = …"
        ) from None
