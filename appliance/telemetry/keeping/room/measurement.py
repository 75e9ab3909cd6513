"""What lies in the data folder and on its disk, measured at one moment."""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from appliance.telemetry.keeping.plan import DayUse, Present
from appliance.telemetry.keeping.room.reserve import Disk

RESERVE_NAME = "reserve.bin"


class Measured(NamedTuple):
    """What takes the room, in bytes."""

    days: Sequence[DayUse]
    sizes: Mapping[str, int]
    """By first name in the data folder, days among them, without the reserve."""
    disk: Disk

    @property
    def day_bytes(self) -> int:
        """All days."""
        return sum(use.total_bytes for use in self.days)

    @property
    def used_bytes(self) -> int:
        """Everything in the data folder."""
        return sum(self.sizes.values()) + self.disk.reserve_bytes

    @property
    def beside_bytes(self) -> int:
        """Everything in the data folder that is not a day."""
        return max(0, self.used_bytes - self.day_bytes)

    def movable_bytes(self, today: Present) -> int:
        """The days that could go for a budget."""
        return sum(use.total_bytes for use in self.days if today.is_over(use.day))

    def staying_bytes(self, today: Present) -> int:
        """What is left when every day that is over has gone: a smaller budget cannot be kept to."""
        return max(0, self.used_bytes - self.movable_bytes(today))

    @property
    def others_bytes(self) -> int:
        """Everything on the disk that does not lie in the data folder."""
        return max(0, self.disk.total_bytes - self.disk.free_bytes - self.used_bytes)


def sizes(folder: Path) -> dict[str, int]:
    """What lies in a folder by its first name, without the reserve; a database with its companions."""
    found = {"gateway.db": 0, "rollups": 0, "days": 0, "journal": 0}
    for path in folder.rglob("*"):
        name = path.relative_to(folder).parts[0]
        name = "gateway.db" if name in ("gateway.db-wal", "gateway.db-shm") else name
        # A file may go while others are counted.
        with contextlib.suppress(FileNotFoundError):
            if path.name != RESERVE_NAME and path.is_file():
                found[name] = found.get(name, 0) + path.stat().st_blocks * 512
    return found
