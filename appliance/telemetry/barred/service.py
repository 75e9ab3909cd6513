"""Days into whose files nothing can be written for now: what comes for them waits in memory and in the log.

Rules:
- One whose open part was damaged is left alone until it was saved.
- One that the gateway may not write is no damage: nothing of it is set aside, and it is tried again each time.
"""

import contextlib
import logging
from collections.abc import AsyncIterator, Collection

from appliance.store.folder import DatabaseFolder
from appliance.telemetry import queries
from appliance.telemetry.days.service import Days
from appliance.telemetry.keeping.model import DamagedOpenDayError

log = logging.getLogger(__name__)


class Barred:
    """Days by their numbers, each with what is wrong with its file."""

    def __init__(self, files: DatabaseFolder, days: Days) -> None:
        self._files = files
        self._days = days
        self.damaged: dict[int, str] = {}
        self.forbidden: dict[int, str] = {}
        """Those that the gateway may not write."""

    @contextlib.asynccontextmanager
    async def noted(self, day: int) -> AsyncIterator[None]:
        """Keep what is wrong with the file of a day from ending anything that other days need."""
        try:
            async with self.told(day):
                yield
        except DamagedOpenDayError as error:
            self.forbidden.pop(day, None)
            self.damaged[day] = str(error)
            self._days.note_damage(str(error), day)
        except queries.ForbiddenDayError as error:
            if day not in self.forbidden:
                log.error("day file may not be written, what comes for it waits error=%s", error)  # noqa: TRY400  no traceback
            self.forbidden[day] = str(error)
        else:
            if self.forbidden.pop(day, None):
                log.info("day file may be written again name=%s", queries.day_name(day))

    @contextlib.asynccontextmanager
    async def told(self, day: int) -> AsyncIterator[None]:
        """Raise `DamagedOpenDayError` or `ForbiddenDayError` when the file of a day cannot be written."""
        path = self._files.path(queries.day_name(day))
        try:
            with queries.damage_told(path):
                yield
        finally:
            if not queries.may_be_written(path):
                # What SQLite opened for reading it never writes, whatever right is given meanwhile.
                await self._files.close(queries.day_name(day))

    def require_allowed(self, day: int) -> None:
        """Raise `ForbiddenDayError` when the gateway may not read the file of a day, or could not write what waits."""
        queries.require_readable(self._files.path(queries.day_name(day)))
        if day in self.forbidden:
            raise queries.ForbiddenDayError(self.forbidden[day])

    def require_undamaged(self, day: int) -> None:
        """Raise `DamagedOpenDayError` when the open part of a day was damaged."""
        if day in self.damaged:
            raise DamagedOpenDayError(self.damaged[day])

    def settled(self, day: int) -> None:
        """Say that another file takes the place of that of a day."""
        self.damaged.pop(day, None)
        self.forbidden.pop(day, None)

    def forget_but(self, days: Collection[int]) -> None:
        """Tell only of those among the forbidden days for which something waits."""
        for day in self.forbidden.keys() - days:
            del self.forbidden[day]

    def waiting(self) -> list[str]:
        """What waits for what, in words; the oldest day first."""
        told = {day: f"{what}; what comes for this day waits until then" for day, what in self.forbidden.items()}
        told |= {day: f"{what}; what comes for it waits until it was saved" for day, what in self.damaged.items()}
        return [told[day] for day in sorted(told)]
