"""Signature Version 4 of AWS, for S3: proves that a request was made by who knows the secret key, and is unchanged.

The public description is "Authenticating Requests (AWS Signature Version 4)" in the API reference of S3.
"""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import msgspec

EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()

_ALGORITHM = "AWS4-HMAC-SHA256"
_SERVICE = "s3"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Credentials(msgspec.Struct, frozen=True):
    """Who asks. Never printed."""

    access_key: str
    secret_key: str
    session_token: str = ""

    def __repr__(self) -> str:
        """Nothing that is secret."""
        return f"Credentials({self.access_key!r})"


class Unsigned(msgspec.Struct, frozen=True):
    """A request to be signed."""

    method: str
    host: str
    """With its port, if that is not the usual one."""
    path: str
    """From the root, not encoded."""
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """Besides `host` and those of the signature; names in lower case."""
    payload_sha256: str


def signed(request: Unsigned, credentials: Credentials, region: str, now: int) -> dict[str, str]:
    """The headers with which a request is sent at a moment (UTC milliseconds)."""
    stamp = (_EPOCH + timedelta(milliseconds=now)).strftime("%Y%m%dT%H%M%SZ")
    headers = {
        **request.headers,
        "host": request.host,
        "x-amz-content-sha256": request.payload_sha256,
        "x-amz-date": stamp,
    }
    if credentials.session_token:
        headers["x-amz-security-token"] = credentials.session_token
    names = ";".join(sorted(headers))
    scope = f"{stamp[:8]}/{region}/{_SERVICE}/aws4_request"
    digest = hashlib.sha256(canonical(request, headers).encode()).hexdigest()
    to_sign = f"{_ALGORITHM}\n{stamp}\n{scope}\n{digest}"
    signature = hmac.new(_key(credentials, stamp[:8], region), to_sign.encode(), hashlib.sha256).hexdigest()
    headers["authorization"] = (
        f"{_ALGORITHM} Credential={credentials.access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    return headers


def canonical(request: Unsigned, headers: Mapping[str, str]) -> str:
    """The one form of a request that both sides sign."""
    lines = [
        request.method,
        encoded_path(request.path),
        encoded_query(request.query),
        *(f"{name}:{' '.join(headers[name].split())}" for name in sorted(headers)),
        "",
        ";".join(sorted(headers)),
        request.payload_sha256,
    ]
    return "\n".join(lines)


def encoded_path(path: str) -> str:
    """A path as it stands in the request: everything but letters, digits and `-._~/` encoded."""
    return quote(path, safe="/-._~")


def encoded_query(query: Mapping[str, str]) -> str:
    """A query as it stands in the request, in the order in which it is signed."""
    pairs = sorted((quote(name, safe="-._~"), quote(value, safe="-._~")) for name, value in query.items())
    return "&".join(f"{name}={value}" for name, value in pairs)


def _key(credentials: Credentials, date: str, region: str) -> bytes:
    key = f"AWS4{credentials.secret_key}".encode()
    for part in (date, region, _SERVICE, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key
