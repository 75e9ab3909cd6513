"""A round at the bucket: whatever it is to have no more, or to have anew, one day after the other.

A day that fails keeps no other from its turn, and comes after the others the next time.
"""

from collections.abc import Awaitable, Callable, Sequence

from appliance.instant import DAY_MS, Clock, day_of
from appliance.telemetry.cold import plan
from appliance.telemetry.cold.attempts import Attempts
from appliance.telemetry.cold.bucket.model import BucketAwayError, BucketError
from appliance.telemetry.cold.model import ColdDay, ColdError, Uploaded
from appliance.telemetry.cold.shelf.service import Shelf
from appliance.telemetry.cold.upload.service import Uploads


class Rounds:
    """What is brought to the bucket, and when."""

    def __init__(self, shelf: Shelf, uploads: Uploads, clock: Clock) -> None:
        self._shelf = shelf
        self._uploads = uploads
        self._clock = clock
        self._days: Attempts[int] = Attempts()
        self._bucket: Attempts[str] = Attempts()
        self.is_asked = False
        """Whether it is time to upload what is new; what is erased goes at once."""

    @property
    def may_ask(self) -> bool:
        """Whether it is time to ask the bucket for something: it did not answer a while ago."""
        return bool(self._uploads.target) and self._bucket.is_due(self._uploads.target, self._clock())

    def note_away(self) -> None:
        """Note that the bucket did not answer."""
        self._bucket.failed(self._uploads.target, self._clock())

    def note_answered(self) -> None:
        """Note that the bucket answered."""
        self._bucket.succeeded(self._uploads.target)

    async def go_if_due(self) -> None:
        """Bring the bucket what it is time for. Raises `BucketError` that tells of what failed."""
        if self.may_ask and (self.is_asked or self._urgent()):
            is_all, self.is_asked = self.is_asked, False
            try:
                await self._go(self._due_now(is_all=is_all))
            except BucketAwayError:
                self.is_asked = is_all
                raise

    async def go(self) -> Uploaded:
        """Bring the bucket whatever it does not have, even if that failed just now. Raises as `go_if_due` does."""
        return await self._go(self._due(is_all=True))

    def _urgent(self) -> bool:
        """Whether the bucket has something to get rid of, as far as it is time to try."""
        return any(self._due_now(is_all=False))

    def _due_now(self, *, is_all: bool) -> tuple[list[ColdDay], list[ColdDay]]:
        gone, sent = self._due(is_all=is_all)
        now = self._clock()
        return (
            [each for each in gone if self._days.is_due(each.day, now)],
            [each for each in sent if self._days.is_due(each.day, now)],
        )

    def _due(self, *, is_all: bool) -> tuple[list[ColdDay], list[ColdDay]]:
        """The days that the bucket is to have no more, and those that it is to have anew."""
        target, known = self._uploads.target, list(self._shelf.known.values())
        due = plan.due_for_upload(known, target)
        return plan.due_for_deleting(known, target), [each for each in due if is_all or plan.is_urgent(each, target)]

    async def _go(self, due: tuple[list[ColdDay], list[ColdDay]]) -> Uploaded:
        troubles: list[str] = []
        await self._each(due[0], self._uploads.delete, troubles)
        # What could not be taken out of a file yet is not brought anywhere.
        erased = await self._shelf.erased()
        clean = [each for each in due[1] if not plan.erased_since(each, erased)]
        sent = await self._each(clean, self._uploads.upload, troubles)
        self.note_answered()
        if troubles:
            raise BucketError(in_words(troubles))
        return Uploaded(len(sent), sum(each.file_bytes for each in sent))

    async def _each(
        self, days: Sequence[ColdDay], work: Callable[[ColdDay], Awaitable[None]], troubles: list[str]
    ) -> list[ColdDay]:
        """Do something for each day, and give those for which it was done."""
        done = []
        for known in sorted(days, key=lambda each: (self._days.count(each.day), each.day)):
            try:
                await work(known)
            except BucketAwayError:
                self._days.failed(known.day, self._clock())
                self.note_away()
                raise
            except (BucketError, ColdError, OSError) as error:
                self._days.failed(known.day, self._clock())
                troubles.append(f"{day_of(known.day * DAY_MS)}: {error}")
            else:
                self._days.succeeded(known.day)
                done.append(known)
        return done


def in_words(troubles: Sequence[str]) -> str:
    """What failed, the first of it in full."""
    rest = len(troubles) - 1
    return troubles[0] + (f"; and {rest} more days" if rest else "")
