"""How well the devices report: sequence numbers, clocks, and what their types reject. The units they declare are heard.

Counted in memory since the gateway started, of so many devices at most; of more, those are forgotten that were
first heard of, of the tenant that has the most.
"""

import struct
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import sub
from sys import intern

import msgspec

from appliance.ingestion.declared import NO_UNITS, DeclaredUnits
from appliance.ingestion.sequence import Sequence as Numbers
from appliance.ingestion.skew import Skew
from appliance.telemetry.model import Report, TimeSource
from appliance.telemetry.sheaf import Group, Row, Sheaf

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

    @property
    def is_plain(self) -> bool:
        """Whether the report tells all of it itself."""
        is_more = self.units or self.rejected_count or self.flagged_count or self.is_duplicate
        return not is_more and self.behind_ms == behind_of(self.report)


def behind_of(report: Report) -> int | None:
    """How far a device's clock was behind, as far as a report itself tells."""
    return report.arrived_at - report.at if report.time_source is _DEVICE else None


def plainly(report: Report) -> Observation:
    """What a report that stands for itself tells."""
    return Observation(report, behind_of(report))


class Observed(msgspec.Struct, frozen=True, gc=False):
    """What a report tells besides itself, and where it came."""

    tenant_id: int
    place: int
    """After so many reports of its tenant that were kept."""
    is_kept: bool
    """Whether it is one of these itself, the next one."""
    observation: Observation


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


_ROW = struct.Struct("=qqq")
"""Moment, arrival and sequence number, as every packed report begins."""
_ROW_BYTES = _ROW.size
TAKEN_AT_ONCE = 2_500
"""More reports would keep the loop from its turn."""
_WAITING_BYTES = 8 * _ROW_BYTES
"""Of so many reports of a device, what they tell waits at most: nearly all of a device's parts are then touched once
for all of them, and among ten thousand devices each has to be fetched from memory."""


class _Device:
    __slots__ = (
        "declared",
        "duplicates",
        "flagged",
        "numbers",
        "rejected",
        "reports",
        "since",
        "skew",
        "used",
        "waiting",
    )

    def __init__(self, since: int, declared: DeclaredUnits) -> None:
        self.since = since
        self.reports = 0
        self.duplicates = 0
        self.rejected = 0
        self.flagged = 0
        self.numbers: Numbers | None = None
        self.skew = Skew()
        self.declared = declared
        self.waiting = bytearray(_WAITING_BYTES)
        """How the packed reports begin that were not looked at yet."""
        self.used = 0
        """So many bytes of it."""

    def look(self) -> None:
        """Look at the reports that wait: they have a number, and a moment that the device told."""
        if not self.used:
            return
        with memoryview(self.waiting)[: self.used] as waiting:
            at, arrived_at, numbers = zip(*_ROW.iter_unpack(waiting), strict=True)
        self.used = 0
        self.reports += len(numbers)
        self.skew.note(list(map(sub, arrived_at, at)))
        if self.numbers is None:
            self.numbers = Numbers(numbers[0], at[0])
            numbers, at, arrived_at = numbers[1:], at[1:], arrived_at[1:]
        self.numbers.take_all(numbers, at, arrived_at)

    def take(self, observation: Observation) -> None:
        """Take what a report tells."""
        self.look()
        self.reports += 1
        report = observation.report
        if report.sequence is not None and self.numbers is None:
            self.numbers = Numbers(report.sequence, report.at)
        elif report.sequence is not None and self.numbers is not None:
            has_clock = report.time_source is _DEVICE
            self.numbers.take(report.sequence, report.at, report.arrived_at, has_clock=has_clock)
        if observation.behind_ms is not None:
            self.skew.note((observation.behind_ms,))
        self.duplicates += observation.is_duplicate
        self.rejected += observation.rejected_count
        self.flagged += observation.flagged_count
        if observation.units:
            self.declared.hear(report.tenant_id, report.device_id, observation.units)


_Devices = OrderedDict[str, _Device]


class QualityBook:
    """Every device that was heard of."""

    def __init__(self, devices_limit: int = DEVICES_LIMIT) -> None:
        self._devices: dict[int, _Devices] = {}
        """By tenant and name."""
        self._count = 0
        self._devices_limit = devices_limit
        self.declared = DeclaredUnits()
        """The units that devices declare."""

    def taking(self, sheaf: Sheaf, observed: Iterable[Observed]) -> Iterator[None]:
        """Take what came of a tenant's messages, after their commit, piece by piece, so that the loop gets its turn.

        A report stands for itself when that is all it tells.
        """
        devices = self._devices.setdefault(sheaf.tenant_id, _Devices())
        rows, taken, left = sheaf.rows(), 0, TAKEN_AT_ONCE
        for one in (*[one for one in observed if one.tenant_id == sheaf.tenant_id], None):
            until = len(sheaf) if one is None else one.place
            while taken < until:
                end = min(until, taken + left)
                self._take_rows(devices, sheaf, rows, range(taken, end))
                left -= end - taken
                taken = end
                if not left:
                    left = TAKEN_AT_ONCE
                    yield
            if one is not None:
                report = one.observation.report
                (devices.get(report.device_id) or self._begin(devices, report)).take(one.observation)
                taken += one.is_kept
                left -= 1
                if not left:
                    left = TAKEN_AT_ONCE
                    yield

    def _take_rows(self, devices: _Devices, sheaf: Sheaf, rows: Sequence[Row], places: range) -> None:
        """Take reports that stand for themselves: nearly all are told by how their row begins."""
        first, end = places.start, places.stop
        is_numbered = [isinstance(group, Group) and group.shape.is_numbered for group in sheaf.groups]
        columns = (sheaf.device_ids, rows, sheaf.time_sources, sheaf.numbers)
        for place, device_id, row, time_source, number in zip(
            places, *[column[first:end] for column in columns], strict=True
        ):
            device = devices.get(device_id)
            if device is None or time_source is not _DEVICE or not is_numbered[number]:
                report = sheaf.report(place, row)
                (device or self._begin(devices, report)).take(plainly(report))
                continue
            used = device.used
            device.used = until = used + _ROW_BYTES
            device.waiting[used:until] = row[:_ROW_BYTES]
            if until == _WAITING_BYTES:
                device.look()

    def quality(self, tenant_id: int, device_id: str) -> Quality | None:
        """How well a device reports; None when it was not heard of."""
        device = self._device(tenant_id, device_id)
        if device is None:
            return None
        device.look()
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

    def _device(self, tenant_id: int, device_id: str) -> _Device | None:
        devices = self._devices.get(tenant_id)
        return devices.get(device_id) if devices else None

    def _begin(self, devices: _Devices, report: Report) -> _Device:
        if self._count == self._devices_limit:
            max(self._devices.values(), key=len).popitem(last=False)
        else:
            self._count += 1
        # Under the very name that most reports have: it need not be compared then.
        device = devices[intern(report.device_id)] = _Device(report.arrived_at, self.declared)
        return device


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
