"""What the gateway's clock is worth, and what follows from that for certificates.

A Raspberry Pi has no battery behind its clock: it may start in the past, and nobody may be there to
tell it the time. Its devices must get in all the same. Rules:

- The floor is a moment that has passed for sure: the release, the newest mark on disk, a day before
  the newest certificate was issued, and whatever time the process has run on top of it.
- A clock below the floor is wrong. One that is far ahead of it and that no time server stands
  behind is taken for wrong.
- What a certificate's end is held against is the clock where a time server stands behind it, else
  the floor, else nothing: then a certificate that seems to be over is accepted, and that is shown.
"""

from enum import StrEnum

import msgspec

from appliance.instant import DAY_MS, to_text

FURTHEST_AHEAD_MS = 3 * 365 * DAY_MS
"""A clock that nobody vouches for may be this far ahead of the floor: no gateway lies on a shelf for longer."""


class ClockState(StrEnum):
    """What the clock is worth."""

    UNTRUSTED = "untrusted"
    FLOOR = "floor"
    """It may be right: it is not before what has passed for sure."""
    SYNCHRONISED = "synchronised"

    @property
    def is_trusted(self) -> bool:
        """Whether something may be called over because of it."""
        return self is not ClockState.UNTRUSTED


class Reading(msgspec.Struct, frozen=True):
    """The clock at one moment, UTC milliseconds."""

    wall_at: int
    floor_at: int
    is_synchronised: bool

    @property
    def state(self) -> ClockState:
        """What it is worth."""
        if self.wall_at < self.floor_at:
            return ClockState.UNTRUSTED
        if self.is_synchronised:
            return ClockState.SYNCHRONISED
        is_far_ahead = self.wall_at - self.floor_at > FURTHEST_AHEAD_MS
        return ClockState.UNTRUSTED if is_far_ahead else ClockState.FLOOR

    @property
    def surely_at(self) -> int | None:
        """A moment that has been reached for sure; None when not even that is known."""
        match self.state:
            case ClockState.UNTRUSTED:
                return None
            case ClockState.FLOOR:
                return self.floor_at
            case ClockState.SYNCHRONISED:
                return self.wall_at

    @property
    def issuing_at(self) -> int:
        """From when the life of a certificate counts that is issued now: never over before it has begun."""
        return self.wall_at if self.state.is_trusted else self.floor_at

    def told(self) -> str:
        """What the clock is worth, for the person who can set it."""
        match self.state:
            case ClockState.SYNCHRONISED:
                return f"{to_text(self.wall_at)}, set by a time server"
            case ClockState.FLOOR:
                return f"{to_text(self.wall_at)}, no time server: plausible, and not proven"
            case ClockState.UNTRUSTED if self.wall_at < self.floor_at:
                return (
                    f"{to_text(self.wall_at)} is wrong: {to_text(self.floor_at)} has passed already. "
                    "Certificates are accepted whatever their end, until the clock is set"
                )
            case ClockState.UNTRUSTED:
                return (
                    f"{to_text(self.wall_at)} is far ahead of {to_text(self.floor_at)}, and no time server says so. "
                    "Certificates are accepted whatever their end, until the clock is set"
                )


def is_flagged(expires_at: int, reading: Reading) -> bool:
    """Whether a certificate seems to be over by a clock that does not suffice to refuse it."""
    return expires_at <= reading.wall_at and not is_over(expires_at, reading)


def is_over(expires_at: int, reading: Reading) -> bool:
    """Whether a certificate's end has passed for sure."""
    surely_at = reading.surely_at
    return surely_at is not None and expires_at <= surely_at
