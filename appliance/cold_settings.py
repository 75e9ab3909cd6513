"""The settings of the cold tier: what is written as Parquet, for how long it stays, and where it is uploaded to."""

import re
from typing import Annotated
from urllib.parse import urlsplit

import msgspec

NotNegative = Annotated[int, msgspec.Meta(ge=0)]
PartMegabytes = Annotated[int, msgspec.Meta(ge=5, le=1_000)]
"""S3 takes no smaller part but the last."""

_SCHEMES = ("http", "https")
_ADDRESSINGS = ("path", "host")
_PREFIX = re.compile(r"([^/]+/)*")
_SCHEDULE = re.compile(r"[0-9*/,a-z-]+( [0-9*/,a-z-]+){4}", re.IGNORECASE)
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


class S3Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The bucket that files are uploaded to."""

    endpoint: str = ""
    """`https://host` or `https://host:port` of the storage."""
    bucket: str = ""
    """Empty uploads nothing."""
    prefix: str = "cold/"
    """What the names of objects begin with."""
    region: str = "us-east-1"
    credentials_file: str = ""
    """A file as AWS has it: `[default]`, `aws_access_key_id = …`, `aws_secret_access_key = …`."""
    ca_file: str = ""
    """The certificate of the CA that the storage's own is from, PEM; empty trusts those of the system."""
    addressing: str = "path"
    """`path` names the bucket in the path, `host` in the host, as AWS wants it."""
    schedule: str = "23 * * * *"
    """When what is new is uploaded, as a crontab line (UTC)."""
    part_mb: PartMegabytes = 8
    """A larger file is uploaded in parts of this size, in 2^20 bytes; one of them lies in memory."""


class ColdConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Days as Parquet."""

    parquet: bool = False
    """Whether sealed days are written as Parquet; needs pyarrow."""
    keep_days: NotNegative = 0
    """How many whole days of files are kept here; 0 keeps them for as long as there is room."""
    disk_budget_gb: NotNegative = 0
    """How much they may take, in 10^9 bytes; 0 takes a third of what the data folder may take."""
    memory_mb: Annotated[int, msgspec.Meta(ge=512)] = 1_024
    """How much memory, in 2^20 bytes of addresses, the program that writes and reads them may take."""
    s3: S3Config = S3Config()

    def fault(self) -> str:
        """What is wrong with the settings, in words; empty when nothing is."""
        s3 = self.s3
        if not s3.bucket:
            return ""
        parts = urlsplit(s3.endpoint)
        expected = {
            "cold.parquet is false, expected true, for only Parquet is uploaded": self.parquet,
            f"cold.s3.endpoint is {s3.endpoint!r}, expected for example https://s3.eu-central-1.amazonaws.com": (
                parts.scheme in _SCHEMES and parts.hostname and not parts.path.strip("/")
            ),
            f"cold.s3.bucket is {s3.bucket!r}, which is no name of a bucket": _BUCKET.fullmatch(s3.bucket),
            "cold.s3.credentials_file is empty, expected the file that holds the keys": s3.credentials_file,
            f"cold.s3.addressing is {s3.addressing!r}, expected path or host": s3.addressing in _ADDRESSINGS,
            f"cold.s3.schedule is {s3.schedule!r}, expected a crontab line such as '23 * * * *'": (
                _SCHEDULE.fullmatch(s3.schedule)
            ),
            f"cold.s3.prefix is {s3.prefix!r}, expected for example cold/": _PREFIX.fullmatch(s3.prefix),
        }
        return next((f"cold.s3.bucket is set, but {words}" for words, is_met in expected.items() if not is_met), "")
