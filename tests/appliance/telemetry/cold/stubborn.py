"""A bucket that is served over a real connection, and does what buckets do on a bad day."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from appliance.cold_settings import ColdConfig
from tests.appliance.telemetry.cold.rig import ColdGateway, s3


class Stubborn:
    """What it holds, and what it refuses."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.uploads: dict[str, dict[int, bytes]] = {}
        """The parts of each upload that has not ended."""
        self.refused: set[str] = set()
        """Endings of names of which nothing is taken and nothing given: 403."""
        self.is_mute = False
        """It does what it is asked, and the line is cut before it says so."""
        self.part_limit = 1_000
        """From this part on it is mute."""
        self.may_list = False
        """Without that right S3 answers 403, not 404, about what is not there."""
        self.asked: list[str] = []

    @contextlib.asynccontextmanager
    async def served(self) -> AsyncIterator[str]:
        """Gives its endpoint."""
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        async with server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    @contextlib.asynccontextmanager
    async def gateway(self, folder: Path, **changes: object) -> AsyncIterator[ColdGateway]:
        """A gateway that uploads here."""
        async with self.served() as endpoint:
            gateway = ColdGateway(folder)
            gateway.cold_config = ColdConfig(parquet=True, s3=s3(folder, endpoint, **changes))
            async with gateway.running():
                yield gateway

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        body = await reader.readexactly(length)
        method, target, _ = head.split(b"\r\n")[0].decode().split(" ")
        address = urlsplit(target)
        path = unquote(address.path)
        query = {name: values[0] for name, values in parse_qs(address.query, keep_blank_values=True).items()}
        self.asked.append(f"{method} {path.rpartition('/day=')[2]}")
        status, headers, said = self._done(method, path.partition("/cold/")[2], query, body)
        if not self.is_mute and int(query.get("partNumber", 0)) < self.part_limit:
            size = headers.pop("content-length", str(len(said)))
            told = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            writer.write(f"HTTP/1.1 {status} So\r\ncontent-length: {size}\r\n{told}\r\n".encode())
            writer.write(b"" if method == "HEAD" else said)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    def _done(self, method: str, key: str, query: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        if any(each in key for each in self.refused):
            return 403, {}, b"<Error><Code>AccessDenied</Code></Error>"
        if "uploads" in query:
            name = f"u{len(self.asked)}"
            self.uploads[name] = {}
            return 200, {}, f"<UploadId>{name}</UploadId>".encode()
        if "uploadId" in query:
            return self._of_an_upload(method, key, query, body)
        return self._of_an_object(method, key, body)

    def _of_an_upload(
        self, method: str, key: str, query: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        parts = self.uploads.get(query["uploadId"])
        if parts is None:
            return 404, {}, b"<Error><Code>NoSuchUpload</Code></Error>"
        if method == "PUT":
            parts[int(query["partNumber"])] = body
            return 200, {"etag": _tag(body)}, b""
        del self.uploads[query["uploadId"]]
        if method == "POST":
            self.objects[key] = b"".join(parts[number] for number in sorted(parts))
        return 200, {}, b""

    def _of_an_object(self, method: str, key: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        if method == "PUT":
            self.objects[key] = body
            return 200, {"etag": _tag(body)}, b""
        if key not in self.objects and method != "DELETE":
            return 404 if self.may_list else 403, {}, b""
        if method == "DELETE":
            self.objects.pop(key, None)
            return 204, {}, b""
        return 200, {"content-length": str(len(self.objects[key]))}, self.objects[key]


def _tag(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()
