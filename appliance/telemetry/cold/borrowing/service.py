"""Files that only the bucket has, fetched for a question and kept for the next ones, as long as there is room.

What lies here is known by its checksum and belongs to nobody: it may go at any moment.
"""

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path

from appliance.telemetry.cold.bucket.model import BucketAwayError, BucketError
from appliance.telemetry.cold.model import ColdDay, ColdError
from appliance.telemetry.cold.shelf import files
from appliance.telemetry.cold.upload.rounds.service import Rounds
from appliance.telemetry.cold.upload.service import Uploads

FOLDER = "_borrowed"
"""Readers of whole folders pass over names that begin like this."""
LIMIT_BYTES = 256 << 20
"""What may lie here."""
PATIENCE_S = 20.0
"""How long a question waits for a file."""


class Borrowed:
    """The files that were fetched for questions. Nothing in gateway.db tells of them."""

    def __init__(
        self,
        uploads: Uploads,
        rounds: Rounds,
        folder: Path,
        limit_bytes: int = LIMIT_BYTES,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._uploads = uploads
        self._rounds = rounds
        self._folder = folder / FOLDER
        self._limit_bytes = limit_bytes
        self._patience_s = patience_s
        self._turn = asyncio.Lock()
        self._kept: dict[str, int] = {}
        """The bytes of each file by its checksum; the one that was asked for last comes last."""

    async def path(self, known: ColdDay, free_bytes: Callable[[], Awaitable[int]]) -> Path:
        """The file of a day that only the bucket has. Raises `ColdError` when it cannot be here in time."""
        async with self._turn:
            path = self._path(known.sha256)
            if known.sha256 in self._kept:
                self._kept[known.sha256] = self._kept.pop(known.sha256)
                return path
            await self._make_room(known.file_bytes, free_bytes)
            if not self._rounds.may_ask:
                raise ColdError("only the bucket has it, which did not answer a while ago")
            try:
                async with asyncio.timeout(self._patience_s):
                    await self._uploads.fetch_into(known, path)
            except TimeoutError as error:
                raise ColdError("only the bucket has it, and fetching it took too long") from error
            except (BucketError, OSError) as error:
                if isinstance(error, BucketAwayError):
                    self._rounds.note_away()
                raise ColdError(f"only the bucket has it: {error}") from error
            self._rounds.note_answered()
            self._kept[known.sha256] = known.file_bytes
            return path

    async def clear(self) -> bool:
        """Let go of everything; whether there was anything."""
        was_any, self._kept = bool(self._kept), {}
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)
        return was_any

    async def keep_only(self, wanted: Collection[str]) -> None:
        """Let go of files that are no day's any more: something was erased from them."""
        for sha256 in [each for each in self._kept if each not in wanted]:
            await self._let_go(sha256)

    async def _make_room(self, size: int, free_bytes: Callable[[], Awaitable[int]]) -> None:
        if size > self._limit_bytes or size > await free_bytes():
            raise ColdError(f"only the bucket has it, and there is no room for {size} bytes")
        while sum(self._kept.values()) + size > self._limit_bytes:
            await self._let_go(next(iter(self._kept)))

    async def _let_go(self, sha256: str) -> None:
        self._kept.pop(sha256, None)
        await asyncio.to_thread(files.remove, self._path(sha256))

    def _path(self, sha256: str) -> Path:
        return self._folder / f"{sha256}.parquet"
