"""Puts files into a bucket, and takes them out again: each request is signed, and what is there is checked."""

import asyncio
import base64
import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from appliance.instant import Clock
from appliance.telemetry.cold.bucket import xml
from appliance.telemetry.cold.bucket.line.service import Line, Sink
from appliance.telemetry.cold.bucket.model import BucketAwayError, BucketError, Head, Place, Reply
from appliance.telemetry.cold.bucket.signing import Credentials, Unsigned, encoded_path, encoded_query, signed

_TYPE = {"content-type": "application/vnd.apache.parquet"}
_SHA256 = "x-amz-meta-sha256"
_ENCRYPTION = "x-amz-server-side-encryption"
_ERRORS = 300
_NOT_FOUND = 404
_FORBIDDEN = 403
_BUSY = 500
_SAID_LIMIT = 300


class Bucket:
    """A bucket of S3-compatible storage."""

    def __init__(self, place: Place, credentials: Credentials, line: Line, clock: Clock) -> None:
        self._place = place
        self._credentials = credentials
        self._line = line
        self._clock = clock

    async def put(self, key: str, content: bytes, sha256: str) -> None:
        """Put a whole object; what it consists of has this checksum. Raises `BucketError`."""
        await self._checked("PUT", key, {}, {**_TYPE, _SHA256: sha256}, content)

    async def begin(self, key: str, sha256: str) -> str:
        """Begin to put an object in parts, and give the name of that upload. Raises `BucketError`."""
        reply = await self._asked("POST", key, {"uploads": ""}, {**_TYPE, _SHA256: sha256})
        upload_id = xml.element(reply.body, "UploadId")
        if not upload_id:
            raise BucketError(f"the bucket gave no name to the upload of {key}")
        return upload_id

    async def put_part(self, key: str, upload_id: str, number: int, content: bytes) -> str:
        """Put a part, and give its tag. Raises `BucketError`."""
        return await self._checked("PUT", key, {"partNumber": str(number), "uploadId": upload_id}, {}, content)

    async def finish(self, key: str, upload_id: str, tags: Iterable[tuple[int, str]]) -> None:
        """Make one object of the parts. Raises `BucketError`."""
        reply = await self._asked("POST", key, {"uploadId": upload_id}, {}, xml.parts(tags))
        # It may fail after it has begun to answer well.
        if name := xml.element(reply.body, "Code"):
            raise BucketError(f"the bucket did not finish {key}: {name}", reply.status, name)

    async def abandon(self, key: str, upload_id: str) -> None:
        """Let the parts of an upload go, if there are any. Raises `BucketError`."""
        await self._removed(key, {"uploadId": upload_id})

    async def delete(self, key: str) -> None:
        """Remove an object, if it is there. Raises `BucketError`."""
        await self._removed(key, {})

    async def head(self, key: str) -> Head | None:
        """What is there under a key; None when nothing is that this key may see. Raises `BucketError`.

        To whom may not list a bucket, S3 says of what is not there that it is forbidden.
        """
        try:
            reply = await self._asked("HEAD", key, {}, {})
        except BucketError as error:
            if error.status in (_NOT_FOUND, _FORBIDDEN):
                return None
            raise
        return Head(int(reply.headers.get("content-length", "-1")), reply.headers.get(_SHA256, ""))

    async def fetch(self, key: str, path: Path) -> str:
        """Write an object into a file that is put on the disk, and give its checksum. Raises `BucketError`."""
        digest = hashlib.sha256()
        with path.open("wb") as file:

            def take(some: bytes) -> None:
                digest.update(some)
                file.write(some)

            await self._asked("GET", key, {}, {}, sink=take)
            file.flush()
            await asyncio.to_thread(os.fsync, file.fileno())
        return digest.hexdigest()

    async def _removed(self, key: str, query: Mapping[str, str]) -> None:
        try:
            await self._asked("DELETE", key, query, {})
        except BucketError as error:
            if error.status != _NOT_FOUND:
                raise

    async def _checked(
        self, method: str, key: str, query: Mapping[str, str], headers: Mapping[str, str], content: bytes
    ) -> str:
        """Send content that arrives as it is, and give its tag."""
        md5 = await asyncio.to_thread(hashlib.md5, content, usedforsecurity=False)
        told = {**headers, "content-md5": base64.b64encode(md5.digest()).decode()}
        reply = await self._asked(method, key, query, told, content)
        tag = reply.headers.get("etag", "").strip('"')
        # With a key of its own the bucket keeps, the tag is of what it encrypted.
        if tag != md5.hexdigest() and not reply.headers.get(_ENCRYPTION, "").startswith("aws:kms"):
            raise BucketError(f"{key} arrived as something else: its tag is {tag[:64]!r}, expected {md5.hexdigest()}")
        return tag

    async def _asked(
        self,
        method: str,
        key: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: bytes = b"",
        sink: Sink | None = None,
    ) -> Reply:
        payload = await asyncio.to_thread(hashlib.sha256, body)
        path = self._place.path(key)
        unsigned = Unsigned(method, self._place.netloc, path, query, headers, payload.hexdigest())
        target = encoded_path(path) + (f"?{encoded_query(query)}" if query else "")
        sent = signed(unsigned, self._credentials, self._place.region, self._clock())
        reply = await self._line.exchange(method, target, sent, body, sink)
        if reply.status >= _ERRORS:
            raise _refused(reply, f"{method} {key}")
        return reply


def _refused(reply: Reply, what: str) -> BucketError:
    name, words = xml.element(reply.body, "Code"), xml.element(reply.body, "Message")
    said = ": ".join(each for each in (name, words) if each)[:_SAID_LIMIT]
    kind = BucketAwayError if reply.status >= _BUSY else BucketError
    return kind(f"the bucket answered {reply.status} to {what}" + (f" ({said})" if said else ""), reply.status, name)
