"""What is done for the files of the cold tier, one day after the other; one that fails keeps no other from its turn."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

from appliance.instant import DAY_MS, Clock, day_of
from appliance.telemetry.cold import plan
from appliance.telemetry.cold.attempts import Attempts
from appliance.telemetry.cold.bucket.model import BucketAwayError, BucketError
from appliance.telemetry.cold.model import ColdDay, ColdError, Erased, HinderedError
from appliance.telemetry.cold.plan import Device
from appliance.telemetry.cold.shelf.service import Shelf
from appliance.telemetry.cold.upkeep import thinned
from appliance.telemetry.cold.upkeep.thinned import Thinned
from appliance.telemetry.cold.upload.rounds.service import Rounds, in_words
from appliance.telemetry.cold.upload.service import Uploads


async def unbounded() -> int:
    """As many bytes as anybody may want."""
    return 1 << 62


class Upkeep:
    """Files are written, rid of what is erased, and let go."""

    def __init__(self, shelf: Shelf, uploads: Uploads, rounds: Rounds, clock: Clock) -> None:
        self._shelf = shelf
        self._uploads = uploads
        self._rounds = rounds
        self._clock = clock
        self._exports: Attempts[int] = Attempts()
        self._troubles: dict[int, str] = {}
        """By the day that could not be written: why."""
        self._night = 0
        self._bad_nights: dict[int, set[int]] = {}
        """By the day that could not be written for what is in it: in which nights."""
        self._takings: Attempts[int] = Attempts()
        self._left: dict[int, str] = {}
        """By the day that still has what is to go: why."""
        self._thinned: dict[int, frozenset[Device]] = {}
        self._known_thinned: dict[int, Thinned] | None = None
        """The same as it stands on the disk."""
        self._fetched: set[int] = set()
        """The days whose file was fetched for something to be taken out: it goes again."""
        self._adoptions: Attempts[int] = Attempts()
        self._unseen: dict[int, str] = {}
        """By the day whose file could not be looked at: why."""
        self.waiting_count = 0
        """Sealed days that are not written yet."""
        self.free_bytes: Callable[[], Awaitable[int]] = unbounded
        """The room that may be taken."""

    def end_night(self) -> None:
        """Say that a night is over: a day that fails again counts again."""
        self._night += 1

    def is_given_up(self, day: int) -> bool:
        """Whether a day could not be written for so long, for what is in it, that its chunks need not wait for it."""
        return len(self._bad_nights.get(day, ())) >= plan.PATIENCE_NIGHTS

    async def adopt_due(self) -> None:
        """Look at the files that are not what gateway.db knows. Raises `ColdError` that tells of what failed."""
        for day in sorted(self._shelf.unseen):
            if self._adoptions.is_due(day, self._clock()):
                try:
                    await self._shelf.adopt(day)
                except (ColdError, OSError) as error:
                    self._adoptions.failed(day, self._clock())
                    self._unseen[day] = f"the file of {day_of(day * DAY_MS)} could not be looked at: {error}"
                else:
                    self._adoptions.succeeded(day)
        self._unseen = {day: why for day, why in self._unseen.items() if day in self._shelf.unseen}
        if self._unseen:
            raise ColdError(in_words(list(self._unseen.values())))

    async def export_due(self) -> None:
        """Write the sealed days that are not written as they are now. Raises `ColdError` that tells of what failed."""
        due = plan.due_for_export(await self._shelf.sources(), self._shelf.known)
        self._troubles = {day: why for day, why in self._troubles.items() if day in due}
        self.waiting_count = len(due)
        for day in due:
            # Of a file that was not looked at nobody knows what is to stay in it.
            if day not in self._shelf.unseen and self._exports.is_due(day, self._clock()):
                # What it is made of is known before what is to be erased: that is then not in it, or it is made anew.
                source, erased = self._shelf.source(day), await self._shelf.erased()
                if plan.is_pending(erased):
                    # Days are sealed anew without it first.
                    break
                if source is not None:
                    await self._export(day, source, erased)
        if self._troubles:
            raise ColdError(in_words(list(self._troubles.values())))

    async def take_out_due(self, keep_days_of: Mapping[Device, int], aged_at: int) -> None:
        """Take what is erased, and what is too old, out of files. Raises `ColdError` that tells of what failed."""
        erased, ages = await self._shelf.erased(), plan.Ages(keep_days_of, aged_at)
        newest = plan.newest_erasure(erased)
        told, found = await self._thinned_before(), dict[int, Thinned]()
        # What is here comes first: the bucket may not answer.
        for day in sorted(self._shelf.known, key=lambda each: (not self._shelf.known[each].is_local, each)):
            # There may be many days and many devices: others have their turn in between.
            await asyncio.sleep(0)
            known = self._shelf.known.get(day)
            if known is None or day in self._shelf.unseen:
                continue
            gone = plan.erased_since(known, erased) if known.erasure_number < newest else frozenset()
            all_old = ages.too_old(day)
            before = self._thinned_of(known, ages, told)
            old = all_old - before
            is_due = bool(gone or old) and self._takings.is_due(day, self._clock())
            if is_due and await self._take_out(known, gone | old, newest):
                self._thinned[day] = all_old if before <= all_old else before | old
                old = frozenset()
            if day in self._thinned and not old:
                found[day] = Thinned(self._shelf.known[day].sha256, ages.mark(day))
        await self._tell_thinned(told, found)
        if self._left:
            raise ColdError(in_words(list(self._left.values())))

    def taken_out(self, day: int) -> frozenset[Device]:
        """The devices that the file of a day was rid of because it is too old for them, or never had."""
        return self._thinned.get(day, frozenset())

    async def remove_asides_due(self, keep_days_of: Mapping[Device, int], aged_at: int) -> None:
        """Let go what was set aside and may have what is erased, or too old: nobody can take that out for sure."""
        newest, ages = plan.newest_erasure(await self._shelf.erased()), plan.Ages(keep_days_of, aged_at)
        for aside in await self._shelf.aside():
            if aside.erasure_number < newest or ages.too_old(aside.day):
                await self._shelf.remove_aside(aside)

    async def remove_fetched(self) -> None:
        """Let go again what was fetched only for something to be taken out, once the bucket has it as it is."""
        for day in sorted(self._fetched):
            known = self._shelf.known.get(day)
            if known and known.is_local and known.sha256:
                if not self._uploads.has(known):
                    continue
                await self._shelf.remove(known)
            self._fetched.discard(day)

    async def remove_due(self, keep_days: int, budget_bytes: int, aged_at: int) -> None:
        """Let go the files that are too old or too many."""
        known = list(self._shelf.known.values())
        for each in plan.due_for_removal(known, aged_at, keep_days, budget_bytes, self._uploads.target):
            await self._shelf.remove(each)
        for aside in await self._shelf.aside():
            if plan.is_old(aside.day, aged_at, keep_days):
                await self._shelf.remove_aside(aside)

    async def forget_gone(self) -> None:
        """Know nothing more of days of which nothing is left."""
        for known in list(self._shelf.known.values()):
            if plan.is_forgotten(known, self._shelf.surely_source(known.day)):
                await self._shelf.forget(known.day)
                self._left.pop(known.day, None)

    async def _thinned_before(self) -> dict[int, Thinned]:
        if self._known_thinned is None:
            self._known_thinned = await asyncio.to_thread(thinned.read, self._shelf.folder)
        return self._known_thinned

    def _thinned_of(self, known: ColdDay, ages: plan.Ages, told: Mapping[int, Thinned]) -> frozenset[Device]:
        """What is too old and was taken out of the file of a day, since the start or before it."""
        if known.day not in self._thinned and told.get(known.day) == Thinned(known.sha256, ages.mark(known.day)):
            self._thinned[known.day] = ages.too_old(known.day)
        return self._thinned.get(known.day, frozenset())

    async def _tell_thinned(self, told: dict[int, Thinned], found: Mapping[int, Thinned]) -> None:
        """Write down of which files nothing is left to be taken out: the next start need not look at them again."""
        if found.items() <= told.items():
            return
        told.update(found)
        # On a full disk the next start looks again.
        with contextlib.suppress(OSError):
            await asyncio.to_thread(thinned.write, self._shelf.folder, told.copy(), frozenset(self._shelf.known))

    async def _export(self, day: int, source: str, erased: Sequence[Erased]) -> None:
        try:
            await self._require_room(day)
            await self._bring_back(day)
            await self._shelf.export(day, source, erased)
        except (ColdError, BucketError, OSError) as error:
            self._exports.failed(day, self._clock())
            self._troubles[day] = f"{day_of(day * DAY_MS)} could not be written as Parquet: {error}"
            if isinstance(error, ColdError) and not isinstance(error, HinderedError):
                self._bad_nights.setdefault(day, set()).add(self._night)
        else:
            self._exports.succeeded(day)
            self._fetched.discard(day)
            self._troubles.pop(day, None)
            self._bad_nights.pop(day, None)
            # Chunks may have what was taken out of the file before.
            self._thinned.pop(day, None)
            self.waiting_count -= 1

    async def _require_room(self, day: int) -> None:
        needed, free = await self._shelf.needed_bytes(day), await self.free_bytes()
        if free < needed:
            raise HinderedError(f"it may take {needed} bytes, and {max(free, 0)} are free")

    async def _take_out(self, known: ColdDay, devices: Collection[Device], erasure_number: int) -> bool:
        """Take devices out of the file of a day, wherever it is; whether that was done."""
        if not known.is_local and known.sha256 and plan.holders(known) and not self._can_come(known):
            # It is only in a bucket that is not set any more, or that does not answer: it is not forgotten.
            return False
        try:
            await self._require_room_to_fetch(known)
            await self._bring_back(known.day)
            await self._shelf.take_out(self._shelf.known[known.day], devices, erasure_number)
        except (ColdError, BucketError, OSError) as error:
            if isinstance(error, BucketAwayError):
                self._rounds.note_away()
            self._takings.failed(known.day, self._clock())
            self._left[known.day] = f"{day_of(known.day * DAY_MS)} still has what is to be erased: {error}"
            return False
        self._takings.succeeded(known.day)
        self._left.pop(known.day, None)
        if known.day in self._fetched:
            await self._send_home(known.day)
        return True

    async def _require_room_to_fetch(self, known: ColdDay) -> None:
        """See that there is room for a file that only the bucket has, and for the one that is written of it."""
        if known.is_local or not self._uploads.has(known):
            return
        needed, free = 2 * known.file_bytes, await self.free_bytes()
        if free < needed:
            raise HinderedError(f"to fetch it from the bucket takes {needed} bytes, and {max(free, 0)} are free")
        self._fetched.add(known.day)

    async def _send_home(self, day: int) -> None:
        """Bring a file back that was fetched, and let it go here: those of many days may not have room together."""
        known = self._shelf.known[day]
        # What fails is tried again, and named, by the round that follows.
        with contextlib.suppress(BucketError, ColdError, OSError):
            is_clean = not plan.erased_since(known, await self._shelf.erased())
            if known.sha256 and is_clean and not self._uploads.has(known) and self._rounds.may_ask:
                try:
                    await self._uploads.upload(known)
                except BucketAwayError:
                    self._rounds.note_away()
            await self.remove_fetched()

    def _can_come(self, known: ColdDay) -> bool:
        return self._uploads.has(known) and self._rounds.may_ask

    async def _bring_back(self, day: int) -> None:
        """Have the file of a day here, and whole, if the bucket has it so."""
        known = self._shelf.known.get(day)
        if known is None or not self._uploads.has(known):
            return
        # A file may be here of which that could not be written down.
        if not known.is_local or not await self._shelf.is_whole(known):
            await self._uploads.fetch(known)
