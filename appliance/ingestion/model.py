"""The nouns of ingestion."""

from collections.abc import Iterable

import msgspec

from appliance.alerts.model import Change
from appliance.ingestion.quality import Observation, Observed, plainly
from appliance.telemetry.model import Report
from appliance.telemetry.sheaf import Sheaf

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

    sheaves: tuple[Sheaf, ...]
    """The reports, of each tenant in their order."""
    mishaps: tuple[Mishap, ...]
    changes: tuple[Change, ...]
    observed: tuple[Observed, ...] = ()
    """What the messages tell of how well their devices report, besides what each report tells by itself."""

    @property
    def reports(self) -> tuple[Report, ...]:
        """Every report, tenant by tenant."""
        return tuple(report for sheaf in self.sheaves for report in sheaf)

    @property
    def told(self) -> list[Observation]:
        """All that the messages tell of how well their devices report, tenant by tenant."""
        found: list[Observation] = []
        for sheaf in self.sheaves:
            reports, place = list(sheaf), 0
            for one in self.observed:
                if one.tenant_id == sheaf.tenant_id:
                    found += [*map(plainly, reports[place : one.place]), one.observation]
                    place = one.place + one.is_kept
            found += map(plainly, reports[place:])
        return found

    def extended(self, reports: Iterable[Report], mishaps: Iterable[Mishap]) -> "Outcome":
        """The same, and what no message carried."""
        sheaves = {sheaf.tenant_id: sheaf for sheaf in self.sheaves}
        brought: dict[int, list[Report]] = {}
        for report in reports:
            brought.setdefault(report.tenant_id, []).append(report)
        for tenant_id, more in brought.items():
            # Not in what the messages tell: nobody waited for these.
            sheaf = Sheaf(tenant_id)
            sheaf.extend(sheaves.get(tenant_id, sheaf))
            for report in more:
                sheaf.append(report)
            sheaves[tenant_id] = sheaf
        return msgspec.structs.replace(self, sheaves=tuple(sheaves.values()), mishaps=(*self.mishaps, *mishaps))


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
