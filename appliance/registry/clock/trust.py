"""What the gateway's clock is worth, and what follows from that for certificates and device tokens.

A Raspberry Pi has no battery behind its clock: it may start in the past, and nobody may be there to
tell it the time. Its devices must get in all the same. Rules:

- The floor is a moment that has passed for sure: the release or the newest mark on disk, and whatever
  time the process has run on top of it. Nothing lifts it but a clock that is believed: when certificates
  were issued does not, for a clock that nobody vouches for may have said so.
- A clock below the floor is wrong. One that is far ahead of it and that no time server stands
  behind is taken for wrong.
- A time server may be wrong too. What it says far beyond the floor that the process began with is not
  believed before it has held for a day, or a person has said that it is right. A restart ends no doubt.
- What an end is held against is the clock where a time server stands behind it, else the floor, else
  nothing: then a certificate or token that seems to be over is accepted, and that is shown.
"""

from enum import StrEnum

import msgspec

from appliance.instant import DAY_MS, MINUTE_MS, to_text

FURTHEST_AHEAD_MS = 3 * 365 * DAY_MS
"""A clock that nobody vouches for may be this far ahead of the floor: no gateway lies on a shelf for longer."""

FURTHEST_JUMP_MS = 400 * DAY_MS
"""A time server is believed at once up to here: what it says raises the floor, and that for good."""

HOLD_MS = DAY_MS
"""For how long a time server has to stand by a moment beyond that until it is believed."""

STEADY_MS = 10 * MINUTE_MS
"""A clock that is corrected by more than this meanwhile has said something else."""

SLACK_MS = MINUTE_MS
"""The floor stays this far below a clock that is believed: a correction by a second must not make it wrong."""


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
    begun_at: int | None = None
    """The floor that the process began with, grown with its time; None: no other than the floor itself."""
    was_said: bool = False
    """Whether a time server that is silent now has said what was not believed: before this start, or a while ago."""

    @property
    def state(self) -> ClockState:
        """What it is worth."""
        if self.wall_at < self.floor_at or self.is_doubted:
            return ClockState.UNTRUSTED
        if self.is_synchronised:
            return ClockState.SYNCHRONISED
        is_far_ahead = self.wall_at - self.floor_at > FURTHEST_AHEAD_MS
        return ClockState.UNTRUSTED if is_far_ahead else ClockState.FLOOR

    @property
    def is_doubted(self) -> bool:
        """Whether a time server says, or has said, a moment that it is not believed yet."""
        begun_at = self.floor_at if self.begun_at is None else self.begun_at
        is_said = self.is_synchronised or self.was_said
        return is_said and self.wall_at - begun_at > FURTHEST_JUMP_MS and self.wall_at >= self.floor_at

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
    def passed_at(self) -> int:
        """A moment that has passed for sure, while the clock itself is not believed too."""
        return self.wall_at if self.state is ClockState.SYNCHRONISED else self.floor_at

    @property
    def issuing_at(self) -> int:
        """From when the life of a certificate counts that is issued now: never over before it has begun."""
        return self.surmised(self.wall_at)

    def surmised(self, shown_at: int) -> int:
        """When it was, as far as anybody knows, what this clock says was just now."""
        # A time server in doubt is more likely right than wrong: what is issued must not die with the doubt.
        if not self.state.is_trusted and not self.is_doubted:
            return self.floor_at
        # Far from now it was shown by a clock that has been set since, and shown as wrongly as that clock went.
        return shown_at if abs(shown_at - self.wall_at) <= STEADY_MS else self.wall_at

    def told(self) -> str:
        """What the clock is worth, for the person who can set it."""
        accepted = "Certificates and tokens are accepted whatever their end, until"
        match self.state:
            case ClockState.SYNCHRONISED:
                return f"{to_text(self.wall_at)}, set by a time server"
            case ClockState.FLOOR:
                return f"{to_text(self.wall_at)}, no time server: plausible, and not proven"
            case ClockState.UNTRUSTED if self.wall_at < self.floor_at:
                return (
                    f"{to_text(self.wall_at)} is wrong: {to_text(self.floor_at)} has passed already. "
                    f"{accepted} the clock is set; if it is right, run `headworks clock reset`"
                )
            case ClockState.UNTRUSTED if self.is_doubted:
                return (
                    f"{to_text(self.wall_at)}, says a time server, is far ahead of {to_text(self.floor_at)}. "
                    f"{accepted} it has held for a day; if it is right, run `headworks clock reset`"
                )
            case ClockState.UNTRUSTED:
                return (
                    f"{to_text(self.wall_at)} is far ahead of {to_text(self.floor_at)}, and no time server says so. "
                    f"{accepted} the clock is set; if it is right, run `headworks clock reset`"
                )


class Doubt(msgspec.Struct, frozen=True):
    """A time server says a moment that is too far ahead to be believed at once."""

    said_at: int
    """What it said last, UTC milliseconds; while it goes on, what it would say by what it said first."""
    held_ms: int
    """For how long it had stood by it then."""
    uptime_ms: int | None = None
    """The uptime of the process then; None: before it was started, or the time server has fallen silent since."""


class Mark(msgspec.Struct, frozen=True):
    """What is kept of the time for the next start."""

    marked_at: int
    """The latest moment known to be past."""
    doubt: Doubt | None = None


class Weighed(msgspec.Struct, frozen=True):
    """What a reading changes."""

    zero_at: int | None
    """The moment at which the process has started, where it is believed now; it gives the floor."""
    doubt: Doubt | None


def weigh(reading: Reading, uptime_ms: int, doubt: Doubt | None) -> Weighed:
    """What follows from a reading for the floor, `uptime_ms` after the start of the process."""
    lifted_at = max(reading.wall_at - SLACK_MS, reading.floor_at) - uptime_ms
    if reading.state is ClockState.SYNCHRONISED:
        return Weighed(lifted_at, None)
    if not reading.is_synchronised and doubt is not None:
        # Who is silent has not said anything else: so it is for a while after each start.
        return Weighed(None, msgspec.structs.replace(doubt, uptime_ms=None))
    if not reading.is_doubted:
        return Weighed(None, None)
    doubt = _stood_by(reading.wall_at, uptime_ms, doubt)
    return Weighed(lifted_at, None) if doubt.held_ms >= HOLD_MS else Weighed(None, doubt)


def _stood_by(said_at: int, uptime_ms: int, doubt: Doubt | None) -> Doubt:
    """The doubt after a time server has said this; another one when that is not what it said before."""
    if doubt is None:
        return Doubt(said_at, 0, uptime_ms)
    if doubt.uptime_ms is None:
        # How long it was silent nobody knows: that does not count, and after too long it is not the same any more.
        is_same = -STEADY_MS <= said_at - doubt.said_at <= HOLD_MS
        return Doubt(said_at, doubt.held_ms if is_same else 0, uptime_ms)
    passed_ms = uptime_ms - doubt.uptime_ms
    expected_at = doubt.said_at + passed_ms
    if abs(said_at - expected_at) > STEADY_MS:
        return Doubt(said_at, 0, uptime_ms)
    return Doubt(expected_at, doubt.held_ms + passed_ms, uptime_ms)


def is_flagged(expires_at: int, reading: Reading) -> bool:
    """Whether a certificate or token seems to be over by a clock that does not suffice to refuse it."""
    return expires_at <= reading.wall_at and not is_over(expires_at, reading)


def is_over(expires_at: int, reading: Reading) -> bool:
    """Whether the end of a certificate or token has passed for sure."""
    surely_at = reading.surely_at
    return surely_at is not None and expires_at <= surely_at
