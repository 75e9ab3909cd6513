"""The settings of shadows, commands and jobs: sections of their own in the settings file."""

from typing import Annotated

import msgspec

Positive = Annotated[int, msgspec.Meta(ge=1)]


PAYLOAD_BYTES = 131_072
"""The most of a request of a device, and of a command, as AWS IoT takes: at once much of a shadow may be removed."""


class ShadowsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What devices and people may keep in shadows."""

    document_bytes: Positive = 8_192
    """The most that desired and reported of one shadow may come to, as compact JSON; AWS IoT takes 8,192."""
    per_device: Positive = 100
    """Named shadows of a device."""
    per_tenant: Positive = 100_000
    """Shadows of all devices together, with those that were deleted and whose versions are remembered."""
    history_changes: Positive = 100_000
    """Changes of a shadow that are kept, the newest."""
    history_kb: Positive = 2_000
    """What the changes of one shadow may take on the disk, packed; the oldest go first."""
    history_mb: Positive = 500
    """What the changes of all shadows may take on the disk; those of the shadows that change most go first."""


class CommandsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Commands and jobs."""

    open_per_device: Positive = 100
    """Commands of a device that have not ended, and besides as many executions of jobs."""
    ledger_days: Positive = 90
    """How long what has ended is kept."""
    in_flight_per_device: Positive = 1
    """Commands that may be written to a device before it has acknowledged the one before."""
    expires_after_s: Positive = 604_800
    """How long a command waits for its device, where whoever sends it does not say."""
    start_timeout_s: Positive = 60
    """How long a device that was sent a command has to say something, where its sender does not say."""
    finish_timeout_s: Positive = 3_600
    """How long a device that has begun has to come to an end, where the command's sender does not say."""
