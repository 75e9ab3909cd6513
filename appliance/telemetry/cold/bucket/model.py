"""The nouns of a bucket."""

from collections.abc import Mapping

import msgspec

from appliance.errors import UnavailableError


class BucketError(UnavailableError):
    """The bucket did not do what was asked, or could not be asked; the message says what it said."""

    code = "bucket"

    def __init__(self, message: str, status: int = 0, name: str = "") -> None:
        """`status` and `name` are those of its answer, if there was one."""
        super().__init__(message)
        self.status = status
        self.name = name


class BucketAwayError(BucketError):
    """The bucket could not be asked, or cannot answer now: whatever else is asked of it fares no better."""


class Place(msgspec.Struct, frozen=True):
    """Where a bucket is."""

    scheme: str
    host: str
    port: int
    bucket: str
    region: str
    in_host: bool
    """Whether the bucket is named by the host, as AWS wants it, and not by the path."""

    @property
    def netloc(self) -> str:
        """The host as requests name it."""
        host = f"{self.bucket}.{self.host}" if self.in_host else self.host
        return host if self.port == _USUAL[self.scheme] else f"{host}:{self.port}"

    @property
    def server(self) -> str:
        """The host that is connected to."""
        return f"{self.bucket}.{self.host}" if self.in_host else self.host

    def path(self, key: str) -> str:
        """The path of an object."""
        return f"/{key}" if self.in_host else f"/{self.bucket}/{key}"


_USUAL = {"http": 80, "https": 443}


class Reply(msgspec.Struct, frozen=True):
    """What a bucket said."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes


class Head(msgspec.Struct, frozen=True):
    """What a bucket says of an object."""

    size: int
    sha256: str
    """As it was told when it was put there; empty when it was not by us."""
