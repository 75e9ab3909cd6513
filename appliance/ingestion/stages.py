"""How long messages take on their way from a socket to the disk and back: counted stage by stage.

A message counts in every stage once it is acknowledged, so all stages count the same messages. Whole milliseconds
of the wall clock tell when a message came; from there on the loop's own clock tells, which nobody sets.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum

from appliance.histogram import LONG, MICROSECONDS_PER_MS, MICROSECONDS_PER_S, Histogram
from appliance.telemetry.model import TimeSource
from appliance.telemetry.sheaf import Sheaf


class Stage(StrEnum):
    """What a message waits for, in their order."""

    DECIDED = "decided"
    """Since it was received: its batch was collected and decided."""
    COMMITTED = "committed"
    """Since it was decided: its batch is on the disk."""
    ACKNOWLEDGED = "acknowledged"
    """Since it was committed: its acknowledgement is on its way."""


class Stages:
    """The lengths of time since the start of the process."""

    def __init__(self) -> None:
        self.each: dict[Stage, Histogram] = {stage: Histogram() for stage in Stage}
        """By what was waited for, the stages before it left out."""
        self.whole = Histogram()
        """From receiving to acknowledging."""
        self.stored = Histogram()
        """From receiving to the disk."""
        self.age = Histogram(LONG)
        """From the moment that a device told, where its clock is believed, to the disk: of reports, not of messages."""

    def lap(self, waits: Mapping[int, int], sheaves: Sequence[Sheaf], now: int, loop_s: float) -> "Lap":
        """Follow one batch, of which it is known now what comes of it. It counts nowhere before it has arrived.

        `now` is UTC milliseconds, `loop_s` the loop's clock in seconds.
        """
        return Lap(self, waits, sheaves, (now, loop_s))

    def copy(self) -> "Stages":
        """The same, that later messages are not counted in."""
        twin = Stages()
        twin.each = {stage: histogram.copy() for stage, histogram in self.each.items()}
        twin.whole, twin.stored, twin.age = self.whole.copy(), self.stored.copy(), self.age.copy()
        return twin

    def since(self, earlier: "Stages") -> "Stages":
        """What was counted after an earlier copy of this."""
        rest = Stages()
        rest.each = {stage: histogram.since(earlier.each[stage]) for stage, histogram in self.each.items()}
        rest.whole, rest.stored = self.whole.since(earlier.whole), self.stored.since(earlier.stored)
        rest.age = self.age.since(earlier.age)
        return rest


class Lap:
    """One batch on its way to the disk and back. Each step is told the time as `Stages.lap` is."""

    def __init__(
        self, stages: Stages, waits: Mapping[int, int], sheaves: Sequence[Sheaf], decided: tuple[int, float]
    ) -> None:
        self._stages = stages
        self._waits = waits
        self._sheaves = sheaves
        self._decided_at, self._decided_s = decided
        self._committed_at, self._committed_s = decided

    def committed(self, now: int, loop_s: float) -> None:
        """It is on the disk."""
        self._committed_at, self._committed_s = now, loop_s

    def acknowledged(self, loop_s: float) -> None:
        """Everybody who waited was told."""
        if not self._waits:
            return
        stages, count = self._stages, sum(self._waits.values())
        commit_us = round((self._committed_s - self._decided_s) * MICROSECONDS_PER_S)
        acknowledge_us = round((loop_s - self._committed_s) * MICROSECONDS_PER_S)
        decided_at, after_us = self._decided_at, commit_us + acknowledge_us
        for arrived_at, waiting_count in self._waits.items():
            # Below zero when a clock was set.
            waited_us = max(decided_at - arrived_at, 0) * MICROSECONDS_PER_MS
            stages.whole.observe(waited_us + after_us, waiting_count)
            stages.stored.observe(waited_us + commit_us, waiting_count)
            stages.each[Stage.DECIDED].observe(waited_us, waiting_count)
        stages.each[Stage.COMMITTED].observe(commit_us, count)
        stages.each[Stage.ACKNOWLEDGED].observe(acknowledge_us, count)
        stored_at, trusted = self._committed_at, TimeSource.DEVICE
        for sheaf in self._sheaves:
            moments = zip(sheaf.at(), sheaf.time_sources, strict=True)
            stages.age.observe_all([stored_at - at for at, source in moments if source is trusted], MICROSECONDS_PER_MS)
