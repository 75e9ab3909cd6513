"""The sequence numbers of one device: what is missing, what came late, what came twice, where it began anew.

Rules:
- A number above the highest one leaves those in between missing. One that comes after a higher one is late, and
  missing no more. One that was there is a duplicate.
- A number that is not above the highest, at a later moment than any before, is a counter that began anew. A device
  without a clock has no such moments: its counter began anew when it falls back by more than is looked back, or
  to 0 or 1 from far above.
- The same number at another moment, at once, is one message of several reports: that says nothing.
"""

import collections.abc

import msgspec

Numbers = collections.abc.Sequence[int]

LOOK_BACK = 256
"""So many numbers below the highest are known one by one."""
JUMP_LIMIT = 100_000
"""A step further ahead than this is a counter that was set anew, not a gap."""
_FEW = 8
_MASK = (1 << LOOK_BACK) - 1


class Sequence(msgspec.Struct, gc=False):
    """What is known of the numbers of a device."""

    highest: int
    newest_at: int
    """The moment of the newest report that was taken, as the device told it."""
    seen: int = 1
    """A bit for each number down from the one that the last step was not the next of; its own is the lowest."""
    run: int = 0
    """How many numbers came one after the other since then."""
    gaps: int = 0
    """How often numbers were left out."""
    missing: int = 0
    """How many numbers never came, so far."""
    late: int = 0
    duplicates: int = 0
    restarts: int = 0
    last_gap_at: int | None = None
    """When a gap was last seen, by the gateway's clock."""

    def take(self, number: int, at: int, arrived_at: int, *, has_clock: bool) -> None:
        """Take the next report: its number, its moment and its arrival, UTC milliseconds."""
        step = number - self.highest
        if step == 1:
            self.run += 1
        else:
            self._end_run()
            if step > 1:
                self._leap(step, arrived_at)
            elif not self._fall_back(-step, number, at, has_clock=has_clock):
                return
        self.highest = number
        if at > self.newest_at:  # noqa: PLR1730  max() takes as long as all the rest
            self.newest_at = at

    def take_all(self, numbers: Numbers, at: Numbers, arrived_at: Numbers) -> None:
        """Take reports of a device with a clock as `take` does one after the other."""
        if not numbers:
            return
        if [*numbers] == [*range(self.highest + 1, self.highest + 1 + len(numbers))]:
            self.run += len(numbers)
            self.highest = numbers[-1]
            self.newest_at = max(self.newest_at, *at)
            return
        for each in zip(numbers, at, arrived_at, strict=True):
            self.take(*each, has_clock=True)

    def _end_run(self) -> None:
        length = min(self.run, LOOK_BACK)
        self.seen = (self.seen << length | ((1 << length) - 1)) & _MASK
        self.run = 0

    def _leap(self, step: int, arrived_at: int) -> None:
        if step > JUMP_LIMIT:
            self.restarts += 1
            self.seen = 1
            return
        self.gaps += 1
        self.missing += step - 1
        self.last_gap_at = arrived_at
        self.seen = (self.seen << step | 1) & _MASK if step < LOOK_BACK else 1

    def _fall_back(self, depth: int, number: int, at: int, *, has_clock: bool) -> bool:
        """Whether the counter goes on from this number, which is not above the highest."""
        if depth == 0 and at != self.newest_at:
            self.newest_at = max(self.newest_at, at)
            return False
        is_later = at > self.newest_at if has_clock else begins_anew(number, depth)
        if is_later:
            self.restarts += 1
            self.seen = 1
            return True
        if depth < LOOK_BACK and not self.seen >> depth & 1:
            self.seen |= 1 << depth
            self.late += 1
            self.missing = max(0, self.missing - 1)
        elif depth < LOOK_BACK:
            self.duplicates += 1
        else:
            # Too far back to be known one by one.
            self.late += 1
        return False


def begins_anew(number: int, depth: int) -> bool:
    """Whether the counter of a device without a clock began anew when it falls back by so many, to this number."""
    return depth >= LOOK_BACK or (number <= 1 and depth >= _FEW)
