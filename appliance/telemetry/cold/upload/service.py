"""Brings files into the bucket, one after the other, and goes on where it stopped.

Whatever has arrived is written down when the bucket has said so: after a stop at any moment, a part is sent once more
at most, and an object is either the old one or the new one.
"""

import asyncio
import logging
import ssl
from pathlib import Path

import msgspec

from appliance.cold_settings import S3Config
from appliance.instant import DAY_MS, Clock, day_of
from appliance.store.database import Database
from appliance.telemetry.cold import plan, queries
from appliance.telemetry.cold.bucket.line.service import PATIENCE_S, Line
from appliance.telemetry.cold.bucket.model import BucketAwayError, BucketError, Head
from appliance.telemetry.cold.bucket.service import Bucket
from appliance.telemetry.cold.model import ColdDay, Part
from appliance.telemetry.cold.shelf import files
from appliance.telemetry.cold.shelf.service import Shelf
from appliance.telemetry.cold.upload import cutting
from appliance.telemetry.keeping import sealed_day

log = logging.getLogger(__name__)

MEGABYTE = 1 << 20
_NO_UPLOAD = "NoSuchUpload"


class Uploads:
    """What lies on the shelf, and the bucket that is to have it."""

    def __init__(
        self, database: Database, shelf: Shelf, config: S3Config, clock: Clock, patience_s: float = PATIENCE_S
    ) -> None:
        self._database = database
        self._shelf = shelf
        self._config = config
        self._clock = clock
        self._patience_s = patience_s
        self.target = cutting.target_of(config)
        """Where files are uploaded to; empty when nowhere."""

    async def upload(self, known: ColdDay) -> None:
        """Bring the file of a day into the bucket as it is. Raises `BucketError`, `ColdError`.

        What is meant to be there is noted before the bucket hears of it: an answer may get lost on its way.
        """
        bucket = await self._bucket()
        await self._shelf.require_whole(known)
        key = self._key(known)
        known = await self._rid_of_another(bucket, known)
        is_begun = self._is_begun(known)
        if not is_begun:
            known = self._begun(known, "")
            await self._shelf.note(known)
        if is_begun and _is_surely(await bucket.head(key), known):
            pass  # the last word of the bucket was not written down
        elif known.file_bytes <= self._config.part_mb * MEGABYTE:
            content = await asyncio.to_thread(cutting.piece, self._shelf.path(known.day), 0, known.file_bytes)
            await bucket.put(key, content, known.sha256)
        else:
            known = await self._put_in_parts(bucket, key, known)
        head = await bucket.head(key)
        if not _is_there(head, known):
            await self._shelf.note(self._begun(known, ""))
            found = head or "nothing that it lets this key see (which takes s3:GetObject)"
            raise BucketError(f"{key} is not in the bucket as it was sent; there is {found}")
        await self._shelf.note(
            msgspec.structs.replace(
                known,
                uploaded_sha256=known.sha256,
                uploaded_to=self.target,
                uploaded_at=self._clock(),
                upload_id="",
                upload_sha256="",
                upload_to="",
                former=plan.former(plan.holders(known), self.target),
            )
        )
        log.info("day uploaded day=%s bytes=%d", day_of(known.day * DAY_MS), known.file_bytes)

    async def delete(self, known: ColdDay) -> None:
        """Let the bucket have nothing of a day any more. Raises `BucketError`."""
        bucket = await self._bucket()
        if known.upload_id and known.upload_to == self.target:
            await bucket.abandon(self._key(known), known.upload_id)
        await bucket.delete(self._key(known))
        left = plan.former(plan.holders(known), self.target)
        gone = msgspec.structs.replace(
            known, uploaded_sha256="", uploaded_to="", upload_id="", upload_sha256="", upload_to="", former=left
        )
        await self._shelf.note(gone)
        log.info("day removed from the bucket day=%s", day_of(known.day * DAY_MS))

    async def fetch(self, known: ColdDay) -> ColdDay:
        """Bring the file of a day back from the bucket. Raises `BucketError`."""
        await self.fetch_into(known, self._shelf.path(known.day))
        fetched = msgspec.structs.replace(known, is_local=True)
        await self._shelf.note(fetched)
        return fetched

    async def fetch_into(self, known: ColdDay, path: Path) -> None:
        """Write what the bucket has of a day into a file, whole or not at all. Raises `BucketError`, `OSError`."""
        bucket = await self._bucket()
        target = await asyncio.to_thread(files.made_room, path)
        try:
            _require(known, await bucket.fetch(self._key(known), target))
            await asyncio.to_thread(sealed_day.settle, target, path)
        except BaseException:
            await asyncio.to_thread(target.unlink, missing_ok=True)
            raise

    def has(self, known: ColdDay) -> bool:
        """Whether the bucket that is set has the file of a day as it is."""
        return plan.has(known, self.target)

    async def _rid_of_another(self, bucket: Bucket, known: ColdDay) -> ColdDay:
        """Let go what else was on its way; the bucket it was for may have it all the same."""
        if not known.upload_sha256 or self._is_begun(known):
            return known
        if known.upload_id and known.upload_to == self.target:
            await bucket.abandon(self._key(known), known.upload_id)
        left = plan.former([*known.former.splitlines(), known.upload_to])
        return msgspec.structs.replace(known, upload_id="", upload_sha256="", upload_to="", former=left)

    def _is_begun(self, known: ColdDay) -> bool:
        """Whether the file as it is was on its way into this bucket."""
        return (known.upload_sha256, known.upload_to) == (self._mark(known), self.target)

    async def _put_in_parts(self, bucket: Bucket, key: str, known: ColdDay) -> ColdDay:
        try:
            return await self._put_all_parts(bucket, key, known)
        except BucketError as error:
            if error.name != _NO_UPLOAD:
                raise
            # The bucket has let it go, as it is often told to after some days: from the start, then.
            return await self._put_all_parts(bucket, key, self._begun(known, ""))

    async def _put_all_parts(self, bucket: Bucket, key: str, known: ColdDay) -> ColdDay:
        if not known.upload_id:
            # The parts of another upload are forgotten first.
            await self._shelf.note(known)
            known = self._begun(known, await bucket.begin(key, known.sha256))
            await self._shelf.note(known)
        tags = {part.number: part.tag for part in await self._database.read(queries.select_parts(known.day))}
        path = self._shelf.path(known.day)
        for number, offset, length in cutting.parts(known.file_bytes, self._config.part_mb * MEGABYTE):
            if number not in tags:
                content = await asyncio.to_thread(cutting.piece, path, offset, length)
                tags[number] = await bucket.put_part(key, known.upload_id, number, content)
                await self._database.write(queries.insert_part, known.day, Part(number, tags[number]))
        await bucket.finish(key, known.upload_id, tags.items())
        return known

    def _begun(self, known: ColdDay, upload_id: str) -> ColdDay:
        """What is known of a day once it is on its way."""
        mark = self._mark(known)
        return msgspec.structs.replace(known, upload_id=upload_id, upload_sha256=mark, upload_to=self.target)

    def _mark(self, known: ColdDay) -> str:
        """What an upload in parts is of, and how it is cut."""
        return f"{known.sha256}/{self._config.part_mb}"

    def _key(self, known: ColdDay) -> str:
        return self._config.prefix + files.key_of(known.day)

    async def _bucket(self) -> Bucket:
        """The bucket, with the keys and certificates that are in their files now."""
        config = self._config
        credentials = await asyncio.to_thread(cutting.credentials_in, Path(config.credentials_file))
        place = cutting.place_of(config)
        tls = None
        if place.scheme == "https":
            try:
                tls = await asyncio.to_thread(ssl.create_default_context, cafile=config.ca_file or None)
            except OSError as error:
                raise BucketAwayError(f"{config.ca_file} is not the certificate of a CA: {error}") from error
        return Bucket(place, credentials, Line(place, tls, self._patience_s), self._clock)


def _is_there(head: Head | None, known: ColdDay) -> bool:
    """Whether the bucket has the file; one that keeps no words of ours is believed by the size and its own checks."""
    return head is not None and head.size == known.file_bytes and head.sha256 in (known.sha256, "")


def _is_surely(head: Head | None, known: ColdDay) -> bool:
    """Whether the bucket says itself that it has the file; another one may have as many bytes."""
    return head is not None and head.size == known.file_bytes and head.sha256 == known.sha256


def _require(known: ColdDay, sha256: str) -> None:
    if sha256 != known.uploaded_sha256:
        raise BucketError(f"{files.key_of(known.day)} is not what was uploaded: it does not match its checksum")
