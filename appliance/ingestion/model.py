"""The nouns of ingestion."""

from collections.abc import Iterable

import msgspec

from appliance.alerts.model import Change
from appliance.ingestion.quality import Observation
from appliance.telemetry.model import Report

REQUEST_PREFIXES = ("$", "cmd/")
"""Where clients ask the gateway itself for something, or answer what it asked of them."""


def is_waited_for(topic: str) -> bool:
    """Whether whoever published on a topic waits for the answer. Who responds to a command, or reports, does not."""
    return topic.startswith("$") and not topic.startswith(("$aws/commands/", "$aws/rules/"))


class Problem(msgspec.Struct, frozen=True):
    """Something of a device that was refused or not understood, counted since it was first seen."""

    device_id: str
    """Empty when it is not known whose it was."""
    kind: str
    reason: str
    """In words for whoever can mend it, about the newest occurrence."""
    occurrence_count: int
    first_at: int
    last_at: int


class Mishap(msgspec.Struct, frozen=True):
    """Occurrences of a problem, not yet written down: one, or several in a row."""

    tenant_id: int
    device_id: str
    kind: str
    reason: str
    """Of the last one."""
    at: int
    """Of the last one."""
    count: int = 1
    lasted_ms: int = 0
    """How long after the first one the last one came."""


class Outcome(msgspec.Struct, frozen=True):
    """What a batch of messages comes to."""

    reports: tuple[Report, ...]
    mishaps: tuple[Mishap, ...]
    changes: tuple[Change, ...]
    told: tuple[Report | Observation, ...] = ()
    """What the messages tell of how well their devices report. A report stands for itself when that is all."""

    def extended(self, reports: Iterable[Report], mishaps: Iterable[Mishap]) -> "Outcome":
        """The same, and what no message carried."""
        return msgspec.structs.replace(self, reports=(*self.reports, *reports), mishaps=(*self.mishaps, *mishaps))


class Rates(msgspec.Struct, frozen=True):
    """How fast messages come and how long they wait for the disk."""

    messages_per_second: float
    lag_ms: int
    """Now minus the arrival of the oldest message that is not committed."""
    lag_p95_ms: int
    """The time from arrival to commit that 95 of 100 recent batches stayed under."""


class PresenceChanged(msgspec.Struct, frozen=True):
    """Event: a device connected or its connection ended."""

    tenant_id: int
    device_id: str
    connected: bool


class ProblemsWritten(msgspec.Struct, frozen=True):
    """Event: problems of these devices are on disk."""

    tenant_id: int
    device_ids: tuple[str, ...]
