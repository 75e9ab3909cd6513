"""In which unit each metric of a device is: as its type says, or else as the device itself declared it.

What devices declare is kept over a restart. It hardly ever changes, so it is written by itself, soon after it has
changed, but not again before some time is over: a device may change its mind with every message. What a loss of power
takes with it, devices declare again.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Self

from appliance.ingestion.declared import DEVICES_LIMIT, DeclaredUnits
from appliance.ingestion.declaring import queries
from appliance.registry.catalogue.service import Catalogue
from appliance.store.database import Database, UnwritableError

log = logging.getLogger(__name__)

INTERVAL_S = 60.0
"""What changes is written once in so long."""
DEVICES_AT_ONCE = 500
"""Of so many devices at most in one transaction."""


class Units:
    """What is known of units, from memory."""

    def __init__(self, database: Database, catalogue: Catalogue, declared: DeclaredUnits) -> None:
        self._database = database
        self._catalogue = catalogue
        self._declared = declared
        self._has_news = asyncio.Event()
        declared.changed = self._has_news.set

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Know what was declared before the start, and keep what is declared from now on."""
        found = await self._database.read(queries.select_units(DEVICES_LIMIT))
        self._declared.restore(each for each in reversed(found) if each is not None)
        if None in found:
            log.warning("declared units were damaged, devices declare them again devices=%d", found.count(None))
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(self._keep_for_ever(), name="declared units")
            try:
                yield self
            finally:
                task.cancel()
        await self._keep_or_tell()

    async def keep(self) -> None:
        """Have on disk what devices declared. Raises `UnwritableError`; then it is kept the next time."""
        while news := self._declared.news(DEVICES_AT_ONCE):
            await self._database.write(queries.upsert_units, news)
            self._declared.kept(news)

    async def erase(self, tenant_id: int, device_id: str, _through_at: int) -> None:
        """Forget what a device declared: if it has changed its mind since it was to be erased, it says so again."""
        self._declared.forget(tenant_id, device_id)
        await self._database.write(queries.delete_units, tenant_id, device_id)

    @property
    def change_count(self) -> int:
        """Goes up whenever a unit may have become another: what was made of them may be old."""
        return self._catalogue.type_change_count + self._declared.change_count

    def of(self, tenant_id: int, device_id: str) -> Mapping[str, str]:
        """The known units of a device by metric. Nobody changes them."""
        declared = self._declared.of(tenant_id, device_id)
        kind = self._catalogue.type_of(tenant_id, device_id)
        if kind is None or not kind.units:
            return declared
        return {**declared, **kind.units} if declared else kind.units

    def unit(self, tenant_id: int, device_id: str, metric: str) -> str:
        """The unit of a metric of a device; empty when it is not known."""
        return self.of(tenant_id, device_id).get(metric, "")

    async def _keep_for_ever(self) -> None:
        while True:
            await self._has_news.wait()
            self._has_news.clear()
            if not await self._keep_or_tell():
                self._has_news.set()
            await asyncio.sleep(INTERVAL_S)

    async def _keep_or_tell(self) -> bool:
        """Whether all that was declared is on disk."""
        try:
            await self.keep()
        except UnwritableError as error:
            log.warning("declared units not kept yet error=%s", error)
            return False
        return True
