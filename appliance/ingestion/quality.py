"""How well the devices report: sequence numbers, clocks, and what their types reject. The units they declare are heard.

Counted in memory since the gateway started, of so many devices at most; of more, those are forgotten that were
first heard of.
"""

from collections.abc import Mapping, Sequence

import msgspec

from appliance.ingestion.declared import NO_UNITS, DeclaredUnits
from appliance.ingestion.sequence import Sequence as Numbers
from appliance.ingestion.skew import Skew
from appliance.telemetry.model import Report, TimeSource

DEVICES_LIMIT = 200_000

_DEVICE = TimeSource.DEVICE


class Observation(msgspec.Struct, frozen=True, gc=False):
    """What one report tells of its device."""

    report: Report
    behind_ms: int | None = None
    """How far the device's clock was behind; None for all but the newest report of a message."""
    units: Mapping[str, str] = NO_UNITS
    rejected_count: int = 0
    flagged_count: int = 0
    is_duplicate: bool = False


def behind_of(report: Report) -> int | None:
    """How far a device's clock was behind, as far as a report itself tells."""
    return report.arrived_at - report.at if report.time_source is _DEVICE else None


def plainly(report: Report) -> Observation:
    """What a report that stands for itself tells."""
    return Observation(report, behind_of(report))


def briefly(observation: Observation) -> Report | Observation:
    """A report instead of what it tells, when that is all."""
    report = observation.report
    return report if observation == plainly(report) else observation


class Numbering(msgspec.Struct, frozen=True):
    """What the sequence numbers of a device told."""

    highest: int
    gaps: int
    missing: int
    late: int
    duplicates: int
    restarts: int
    last_gap_at: int | None


class Quality(msgspec.Struct, frozen=True):
    """How well a device reports, since it was first heard of after the gateway's start."""

    since: int
    report_count: int
    duplicate_reports: int
    """Reports that had come before, and were not kept again."""
    rejected_readings: int
    """Left out because the type of the device says so."""
    flagged_readings: int
    """Kept, though not as the type of the device says."""
    clock_behind_ms: int | None
    """The median of arrival minus moment over the newest messages; None when it tells no time."""
    clock_sample_count: int
    numbering: Numbering | None
    """None when it sends no sequence numbers."""


class _Device:
    __slots__ = ("declared", "duplicates", "flagged", "numbers", "rejected", "reports", "since", "skew")

    def __init__(self, since: int, declared: DeclaredUnits) -> None:
        self.since = since
        self.reports = 0
        self.duplicates = 0
        self.rejected = 0
        self.flagged = 0
        self.numbers: Numbers | None = None
        self.skew = Skew()
        self.declared = declared


class QualityBook:
    """Every device that was heard of."""

    def __init__(self, devices_limit: int = DEVICES_LIMIT) -> None:
        self._devices: dict[tuple[int, str], _Device] = {}
        self._devices_limit = devices_limit
        self.declared = DeclaredUnits()
        """The units that devices declare."""

    def take(self, told: Sequence[Report | Observation]) -> None:
        """Take what came of a batch, after its commit. A report stands for itself when that is all it tells."""
        devices = self._devices
        more: Observation | None
        for one in told:
            # On the way of every report: for nearly all of them no observation is made.
            if isinstance(one, Report):
                report, more = one, None
            else:
                report, more = one.report, one
            device = devices.get((report.tenant_id, report.device_id)) or self._begin(report)
            device.reports += 1
            at, arrived_at, number = report.at, report.arrived_at, report.sequence
            has_clock = report.time_source is _DEVICE
            if number is not None:
                numbers = device.numbers
                if numbers is None:
                    device.numbers = Numbers(number, at)
                else:
                    numbers.take(number, at, arrived_at, has_clock=has_clock)
            if more is None:
                if has_clock:
                    device.skew.note(arrived_at - at)
            else:
                _count(device, more)

    def quality(self, tenant_id: int, device_id: str) -> Quality | None:
        """How well a device reports; None when it was not heard of."""
        device = self._devices.get((tenant_id, device_id))
        if device is None:
            return None
        return Quality(
            since=device.since,
            report_count=device.reports,
            duplicate_reports=device.duplicates,
            rejected_readings=device.rejected,
            flagged_readings=device.flagged,
            clock_behind_ms=device.skew.median_ms(),
            clock_sample_count=device.skew.count,
            numbering=_numbering(device.numbers) if device.numbers else None,
        )

    def _begin(self, report: Report) -> _Device:
        devices = self._devices
        if len(devices) >= self._devices_limit:
            del devices[next(iter(devices))]
        device = devices[report.tenant_id, report.device_id] = _Device(report.arrived_at, self.declared)
        return device


def _count(device: _Device, observation: Observation) -> None:
    """Count what few reports tell."""
    if observation.behind_ms is not None:
        device.skew.note(observation.behind_ms)
    device.duplicates += observation.is_duplicate
    device.rejected += observation.rejected_count
    device.flagged += observation.flagged_count
    if observation.units:
        device.declared.hear(observation.report.tenant_id, observation.report.device_id, observation.units)


def _numbering(numbers: Numbers) -> Numbering:
    return Numbering(
        numbers.highest,
        numbers.gaps,
        numbers.missing,
        numbers.late,
        numbers.duplicates,
        numbers.restarts,
        numbers.last_gap_at,
    )
