"""The nouns of keeping."""

import msgspec

from appliance.telemetry.packing import ChunkError


class Erasure(msgspec.Struct, frozen=True):
    """A device whose readings are to go, everything that the log knew of up to a log id."""

    erasure_number: int
    tenant_id: int
    device_id: str
    through_log_id: int
    asked_at: int
    """UTC milliseconds."""


class Listed(msgspec.Struct, frozen=True):
    """What the list beside the day files says of a device that was erased."""

    tenant_id: int
    device_id: str
    through_log_id: int
    asked_at: int


class StoppedError(Exception):
    """The gateway stops: what was begun is left out."""


class CrowdedError(Exception):
    """So much came for a day while it was written anew that memory could not hold it: it is left as it was."""


class DamagedOpenDayError(ChunkError):
    """The open part of a day is damaged: what can be read of it is to be saved, and the rest set aside."""
