"""What is said between the gateway and the programs beside it: a line of JSON each way, and what follows an answer."""

import msgspec

from appliance.telemetry.cold.model import Arrivals

Device = tuple[int, str]
"""A tenant and a device id."""


class Export(msgspec.Struct, frozen=True, tag=True):
    """Write a day: what a sealed day holds, and what an older file of that day holds beyond it."""

    sealed: str
    older: str | None
    left_out: tuple[Device, ...]
    """Devices of which nothing is taken from the older file."""
    target: str
    source: str
    """Which sealed day it is."""
    erasure_number: int
    """The newest erasing that was seen to."""
    is_doubted: bool = False
    """The older file is not what was written: what can be read of it is taken."""


class Without(msgspec.Struct, frozen=True, tag=True):
    """Write a file anew without some devices."""

    path: str
    left_out: tuple[Device, ...]
    target: str
    erasure_number: int
    is_doubted: bool = False
    """The file is not what was written: what cannot be read goes."""


class Describe(msgspec.Struct, frozen=True, tag=True):
    """Tell what a file holds."""

    path: str


class Read(msgspec.Struct, frozen=True, tag=True):
    """Give the reports of a device with `start <= at < end`, as chunks."""

    path: str
    device: Device
    start: int
    end: int


class ReadArrived(msgspec.Struct, frozen=True, tag=True):
    """Give the reports of many devices by when they arrived, as chunks."""

    path: str
    asked: Arrivals
    left_out: tuple[Device, ...]
    """Devices of which nothing is given."""


Question = Read | ReadArrived
Request = Export | Without | Describe | Question


class Written(msgspec.Struct, frozen=True):
    """What a file holds, or the one that was written; without readings none was."""

    reading_count: int
    file_bytes: int = 0
    sha256: str = ""
    extra_count: int = 0
    """Reports that the sealed day does not have."""
    unreadable_count: int = 0
    """Chunks of the sealed day that were damaged."""
    lost_count: int = 0
    """Parts of the older file that could not be read."""
    is_unchanged: bool = False
    """Nothing was written: there is nothing to be left out."""
    source: str = ""
    erasure_number: int = 0
    arrivals: tuple[int, int] = (0, 0)
    """When the first and the last report arrived, UTC milliseconds."""


class Answer(msgspec.Struct, frozen=True):
    """What came of a request; `lengths` are those of the chunks that follow."""

    written: Written | None = None
    lengths: tuple[int, ...] = ()
    error: str = ""
    is_hindered: bool = False
    """The disk is what did not let it be done."""
