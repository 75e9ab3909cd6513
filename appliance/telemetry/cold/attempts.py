"""When what failed is tried again: later and later, and whatever a clock does, not never."""

from collections.abc import Hashable
from typing import Generic, NamedTuple, TypeVar

from appliance.instant import HOUR_MS, MINUTE_MS

FIRST_WAIT_MS = MINUTE_MS
LONGEST_WAIT_MS = 6 * HOUR_MS

Subject = TypeVar("Subject", bound=Hashable)


class Failure(NamedTuple):
    """That something failed so often in a row, the last time at a moment, UTC milliseconds."""

    times: int
    at: int


class Attempts(Generic[Subject]):
    """What has failed so far."""

    def __init__(self) -> None:
        self._failures: dict[Subject, Failure] = {}

    def is_due(self, subject: Subject, now: int) -> bool:
        """Whether it is time to try something; a clock that was set back makes nobody wait for longer."""
        failure = self._failures.get(subject)
        return failure is None or not 0 <= now - failure.at < wait_ms(failure.times)

    def failed(self, subject: Subject, now: int) -> None:
        """Note that something failed."""
        self._failures[subject] = Failure(self.count(subject) + 1, now)

    def succeeded(self, subject: Subject) -> None:
        """Note that something went well."""
        self._failures.pop(subject, None)

    def count(self, subject: Subject) -> int:
        """How often something failed in a row."""
        failure = self._failures.get(subject)
        return failure.times if failure else 0


def wait_ms(failure_count: int) -> int:
    """After how long what failed so often in a row is tried again."""
    return min(FIRST_WAIT_MS << min(max(failure_count - 1, 0), 20), LONGEST_WAIT_MS)
