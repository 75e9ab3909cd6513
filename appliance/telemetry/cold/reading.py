"""What is asked of the cold tier when readings are."""

from collections.abc import Sequence
from typing import Protocol

from appliance.telemetry.cold.model import Arrivals
from appliance.telemetry.rows import Rows


class ColdReadings(Protocol):
    """Days that lie elsewhere than in day files."""

    def days(self, start: int, end: int) -> Sequence[int]:
        """The days of a range of which something may be there."""

    async def parts(self, device: tuple[int, str], day: int, span: tuple[int, int]) -> Sequence[Rows]:
        """What is there of a device, a tenant and its id, within a span of a day, beyond what day files have."""

    def days_arrived(self, start: int, end: int) -> Sequence[int]:
        """The days of which something may be there that arrived in a span."""

    async def arrived(self, day: int, asked: Arrivals) -> Sequence[Rows]:
        """What is there of a day by when it arrived, beyond what day files have. Raises `ColdError`."""

    def is_needed(self, day: int) -> bool:
        """Whether day files may lack something that is there."""


class NothingCold:
    """No cold tier."""

    def days(self, start: int, end: int) -> Sequence[int]:
        """None."""
        del start, end
        return ()

    async def parts(self, device: tuple[int, str], day: int, span: tuple[int, int]) -> Sequence[Rows]:
        """Nothing."""
        del device, day, span
        return ()

    def days_arrived(self, start: int, end: int) -> Sequence[int]:
        """None."""
        del start, end
        return ()

    async def arrived(self, day: int, asked: Arrivals) -> Sequence[Rows]:
        """Nothing."""
        del day, asked
        return ()

    def is_needed(self, day: int) -> bool:
        """No."""
        del day
        return False
