"""Evidence of commands is kept: on disk a moment after it was heard, many pieces at a time.

Rules: what cannot be written is heard as if it came later. A piece that cannot be kept keeps no other from the disk:
its command is set aside.
"""

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Callable, Sequence
from functools import partial

from appliance.commands.delivery.flight import Change, Evidence, Key
from appliance.commands.delivery.lull.service import Lull
from appliance.commands.delivery.settling.service import settle
from appliance.commands.mishaps.service import Mishap, fails, failures
from appliance.commands.setting_aside.service import SettingAside
from appliance.instant import Clock
from appliance.store.database import Afterwards, Database, Together, UnwritableError

log = logging.getLogger(__name__)

PIECE = 1_000
"""Pieces of evidence of one transaction."""
GATHER_S = 0.05
LONGEST_HURRY_S = 2.0
"""So long at most what is heard waits for orders to many: all are told before it is written down what came of some."""
RETRY_S = 1.0

Heard = tuple[Key, Evidence]


class Keeping:
    """What is known of commands under way and not on disk yet."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        aside: SettingAside,
        settled: Callable[[Sequence[Change]], None],
    ) -> None:
        """`settled` hears what the evidence has changed, once it is on disk."""
        self._database = database
        self._clock = clock
        self._aside = aside
        self.together: Together
        self._settled = settled
        self.trouble = ""
        """Why evidence cannot be kept."""
        self._mishap = Mishap("keeping what is heard of commands")
        self._evidence: dict[Key, Evidence] = {}
        self._has_to_keep = asyncio.Event()
        self.lull = Lull()
        """Orders to many are in a hurry."""

    def about(self, key: Key) -> Evidence:
        """What is known of an attempt, to be added to."""
        evidence = self._evidence.get(key)
        if evidence is None:
            evidence = self._evidence[key] = Evidence()
            self._has_to_keep.set()
        return evidence

    @property
    def is_done(self) -> bool:
        """Whether all that was heard is on disk, or on its way there."""
        return not self._evidence

    async def run(self) -> None:
        """Keep what is heard, for ever."""
        while True:
            await self._has_to_keep.wait()
            # Many come at once: they share a commit.
            await asyncio.sleep(GATHER_S)
            await self.lull.come(LONGEST_HURRY_S)
            try:
                with self._mishap.tried():
                    await self.keep()
                self.trouble = self._mishap.trouble
            except UnwritableError as error:
                self.trouble = str(error)
                log.warning("evidence of commands not written, retried until it is error=%s", error)
            if self.trouble:
                await asyncio.sleep(RETRY_S)

    async def keep(self) -> None:
        """Bring to the disk what was heard so far. Raises `UnwritableError`."""
        self._has_to_keep.clear()
        known, self._evidence = self._evidence, {}
        waiting = list(known.items())
        for first in range(0, len(waiting), PIECE):
            piece = dict(waiting[first : first + PIECE])
            try:
                await self._keep_piece(piece)
            except BaseException:
                for key, evidence in [*piece.items(), *waiting[first + PIECE :]]:
                    self.about(key).add(evidence)
                raise

    async def finish(self) -> None:
        """Keep the last of it once nobody else writes about commands any more, as far as that can be done."""
        heard = list(self._evidence.items())
        # All at once, and where that fails one by one.
        for piece in (heard, *([one] for one in heard)):
            with contextlib.suppress(UnwritableError), self._mishap.tried():
                await self._database.write(settle, piece, self._clock())
            if not self._mishap.trouble and piece is heard:
                return

    async def _keep_piece(self, piece: dict[Key, Evidence]) -> None:
        """Bring a piece to the disk; what is there is taken out of it, for it must not be heard twice."""
        if await fails(self.together, partial(self._settle, piece, [*piece.items()])):
            alone = [*piece.items()]
            failed = await failures(self.together, alone, lambda one: partial(self._settle, piece, [one]))
            for (key, _), error in failed:
                await self._aside.put((key.tenant_id, key.command_number), error)
                piece.pop(key, None)

    def _settle(
        self, piece: dict[Key, Evidence], heard: Sequence[Heard], connection: sqlite3.Connection, now: int
    ) -> Afterwards:
        return partial(self._kept, piece, heard, settle(connection, heard, now))

    def _kept(self, piece: dict[Key, Evidence], heard: Sequence[Heard], changes: Sequence[Change]) -> None:
        for key, _ in heard:
            piece.pop(key, None)
        self._settled(changes)
