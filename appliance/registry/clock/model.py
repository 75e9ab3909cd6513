"""What is told of the clock, and what is refused about it."""

import msgspec

from appliance.errors import ConflictError


class ClockNotSetError(ConflictError):
    """The clock shows a moment that cannot be, so nothing can be built on it."""

    code = "clock_not_set"


class ClockReport(msgspec.Struct, frozen=True):
    """What the clock is worth, for people and scripts. Moments are ISO 8601, UTC."""

    state: str
    """`untrusted`, `floor` or `synchronised`."""
    wall_at: str
    """What it shows."""
    floor_at: str
    """What has passed for sure."""
    told: str
    """What follows, in a sentence."""
    witness: str
    """Who says whether a time server stands behind it: `kernel`, or `systemd` where the kernel may not be asked."""
