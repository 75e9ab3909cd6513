"""How fast messages come and how long they wait for the disk, from the last few seconds."""

from collections import deque
from statistics import median

RATE_WINDOW_S = 10
BATCHES_REMEMBERED = 600
"""One minute at the default commit interval."""


WORKS_REMEMBERED = 15


class Meter:
    """Counts by the second, and the waiting times of recent batches."""

    def __init__(self) -> None:
        self.committed_count = 0
        self._seconds: deque[list[int]] = deque(maxlen=RATE_WINDOW_S + 1)
        self._waits_ms: deque[int] = deque(maxlen=BATCHES_REMEMBERED)
        self._works_ms: deque[float] = deque(maxlen=WORKS_REMEMBERED)

    def count(self, messages: int, now: int) -> None:
        """Note that messages arrived at a moment (UTC milliseconds)."""
        second = now // 1_000
        if not self._seconds or self._seconds[-1][0] != second:
            self._seconds.append([second, 0])
        self._seconds[-1][1] += messages

    def committed(self, messages: int, longest_wait_ms: int, work_ms: float) -> None:
        """Note that a batch is on disk, how long its oldest message waited, and how long the work on it took."""
        self.committed_count += messages
        self._waits_ms.append(max(0, longest_wait_ms))
        self._works_ms.append(work_ms)

    def expected_work_ms(self, interval_ms: float) -> float:
        """How long the next batch will probably take from its closing to its acknowledgement.

        The median of the recent ones, so that one slow write of a card does not count, and never more
        than half of the interval, so that a slow disk gets larger batches and not smaller ones.
        """
        if not self._works_ms:
            return 0.0
        return min(median(self._works_ms), interval_ms / 2)

    def left_ms(self, waited_ms: int, interval_ms: float) -> float:
        """How long a batch may still wait for company whose oldest message has waited so long.

        It is closed early enough for that message to be on disk when the interval is over.
        """
        wait_ms = interval_ms - self.expected_work_ms(interval_ms)
        # Never longer than that: a clock that was set back must not keep a batch waiting.
        return min(wait_ms, wait_ms - waited_ms)

    def per_second(self, now: int) -> float:
        """Messages a second, over the last whole seconds."""
        current = now // 1_000
        counted = sum(count for second, count in self._seconds if current - RATE_WINDOW_S <= second < current)
        return counted / RATE_WINDOW_S

    def wait_p95_ms(self) -> int:
        """The time that 95 of 100 recent batches stayed under, milliseconds; 0 before the first one."""
        if not self._waits_ms:
            return 0
        ordered = sorted(self._waits_ms)
        return ordered[(len(ordered) * 95 + 99) // 100 - 1]
