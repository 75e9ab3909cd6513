"""What deciding needs to know: as of the last commit, and of what is decided since."""

from collections import deque
from collections.abc import Callable
from typing import Protocol

from appliance.alerts.book import Book, Overlay
from appliance.ingestion.mapping.book import MappingBook
from appliance.ingestion.payload import Tolerances
from appliance.ingestion.redeliveries import Overlay as Redelivered
from appliance.ingestion.redeliveries import Redeliveries
from appliance.ingestion.repeats import Batch, Held, NothingHeld
from appliance.ingestion.usual import Usual
from appliance.registry.catalogue.model import DeviceType

ReadingKey = tuple[int, str, str]
"""Tenant, device, metric."""


class Changed(Protocol):
    """What a batch changed."""

    overlay: Overlay
    redelivered: Redelivered
    repeats: Batch
    newest: dict[ReadingKey, int]


class Known:
    """What deciding needs to know: as of the last commit, and of what is decided since."""

    def __init__(
        self,
        book: Book,
        zone_of: Callable[[int, str], str],
        newest_at: Callable[[int, str, str], int | None],
        tolerances: Tolerances,
        held: Held | None = None,
        type_of: Callable[[int, str], DeviceType | None] = lambda *_: None,
    ) -> None:
        """Ask the rooms around.

        `newest_at` tells the moment of the newest committed reading of a metric, None when there is none; `held` are
        all reports that memory holds; `type_of` tells what is known of all devices of a device's type.
        """
        self.book = book
        self.zone_of = zone_of
        self.tolerances = tolerances
        self.held = held or NothingHeld()
        self.type_of = type_of
        self.usual = Usual(tolerances)
        """What most messages are like; nothing that is decided depends on it."""
        self.mapping = MappingBook()
        """What on other topics is telemetry."""
        self.redeliveries = Redeliveries()
        """What came of devices without a clock."""
        self.unremembered: deque[Changed] = deque()
        """Batches that are decided, but not committed and remembered, in their order."""
        self._newest_at = newest_at

    def newest(self, key: ReadingKey) -> int:
        """The moment of the newest reading; 0 when there is none."""
        for changed in reversed(self.unremembered):
            if key in changed.newest:
                return changed.newest[key]
        # Asked anew in every batch: readings also come while no rule looks at their metric.
        return self._newest_at(*key) or 0

    def merge(self, changed: Changed) -> None:
        """Take over what a batch changed, after its commit."""
        self.book.merge(changed.overlay)
        self.redeliveries.merge(changed.redelivered)
