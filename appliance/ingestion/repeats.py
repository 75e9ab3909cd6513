"""What a report brings that was there before.

A device that got no answer sends again. Its reading is the same when device, metric, moment and sequence number are the
same; without a sequence number, when the whole report is. The first that came stays. Only a moment that the device
told itself can come again: of a device without a clock it is told by the message that brought the report, as
`redeliveries.py` says.
"""

from collections.abc import Collection, Iterable, Sequence
from itertools import repeat
from typing import Protocol

from appliance.ingestion.redeliveries import Overlay
from appliance.telemetry.model import Report, TimeSource
from appliance.telemetry.rows import Identity, identity_of
from appliance.telemetry.sheaf import Sheaf
from broker.message import Message

_DEVICE = TimeSource.DEVICE


class Earlier:
    """The reports of one device and moment that came so far."""

    __slots__ = ("_by_number", "_identities")

    def __init__(self, identities: Iterable[Identity]) -> None:
        self._identities: set[Identity] = set()
        self._by_number: dict[int | None, dict[str, str]] = {}
        for identity in identities:
            self.add(identity)

    def add(self, identity: Identity) -> None:
        """Take a report that is kept."""
        _, number, values = identity
        self._identities.add(identity)
        known = self._by_number.setdefault(number, {})
        for metric, value in values:
            known.setdefault(metric, value)

    def repeated(self, report: Report) -> tuple[Collection[str], str]:
        """The metrics of a report that came before, and one that had another value then; empty if none had."""
        if identity_of(report) in self._identities:
            return report.values.keys(), ""
        if report.sequence is None:
            return (), ""
        first = self._by_number.get(report.sequence, {})
        again = sorted(first.keys() & report.values.keys())
        return again, next((metric for metric in again if first[metric] != repr(report.values[metric])), "")


Packed = tuple[Sheaf, int]
"""A report in its place."""
Moment = tuple[int, str, int]
"""Tenant, device, UTC milliseconds."""


class Held(Protocol):
    """What memory holds of all devices, and what is on its way to it."""

    def identities_at(self, tenant_id: int, device_id: str, at: int, /) -> Sequence[Identity]:
        """What the reports of a device and moment are known by, as far as memory holds them."""

    def expect(self, tenant_id: int, device_id: str, at: int, /) -> bool:
        """Whether a moment is later than all that is held or expected of its device; it is expected from now on."""

    def expect_all(self, sheaf: Sheaf, /) -> int:
        """Expect reports of a sheaf from the first on, as long as `expect` would say yes; give how many these are."""


class NothingHeld:
    """As if nothing had ever come."""

    def identities_at(self, _tenant_id: int, _device_id: str, _at: int) -> Sequence[Identity]:
        """Nothing is known."""
        return ()

    def expect(self, _tenant_id: int, _device_id: str, _at: int) -> bool:
        """Leave it to the batch."""
        return False

    def expect_all(self, _sheaf: Sheaf) -> int:
        """Leave them to the batch."""
        return 0


class Came:
    """The reports of a batch by device and moment."""

    __slots__ = ("_by_moment", "_sheaves")

    def __init__(self) -> None:
        self._by_moment: dict[Moment, Report | Packed | Earlier] = {}
        self._sheaves: list[tuple[Sheaf, int]] = []
        """Of which the first so many are not found by their moment yet: nearly always nobody asks."""

    def put(self, moment: Moment, report: Report | Packed | Earlier) -> None:
        """Have what came at a moment found."""
        self._by_moment[moment] = report

    def put_all(self, sheaf: Sheaf, count: int) -> None:
        """Have the first reports of a sheaf found, each at a moment of which nothing came before."""
        self._sheaves.append((sheaf, count))

    def get(self, moment: Moment) -> Report | Packed | Earlier | None:
        """What came at a moment."""
        for sheaf, count in self._sheaves:
            moments = zip(repeat(sheaf.tenant_id), sheaf.device_ids[:count], sheaf.at()[:count], strict=False)
            self._by_moment.update(zip(moments, zip(repeat(sheaf), range(count), strict=False), strict=True))
        self._sheaves.clear()
        return self._by_moment.get(moment)


class Batch:
    """What the reports of a batch that is not committed repeat."""

    def __init__(self, held: Held, redelivered: Overlay, earlier: Iterable["Batch"] = ()) -> None:
        """`earlier` are the batches before this one that are not remembered yet, in their order."""
        self.message: Message | None = None
        """The one whose reports are taken."""
        self._redelivered = redelivered
        self._held = held
        self.came = Came()
        self._before = [one.came for one in earlier][::-1]
        self.compared_count = 0
        """How many held values were looked at so far: for wide reports of one moment, very many."""

    def new_count(self, sheaf: Sheaf) -> int:
        """Of how many of these reports, from the first on, nothing came before at the moment that the device told.

        These are taken. What came before of the others is for `take` to say, one by one.
        """
        # Devices tell one moment after the other: nearly always this is all.
        count = self._held.expect_all(sheaf)
        self.came.put_all(sheaf, count)
        if count == len(sheaf):
            return count
        moments = zip(repeat(sheaf.tenant_id), sheaf.device_ids, sheaf.at(), strict=False)
        for place, moment in enumerate(moments):
            try:
                if place >= count and not self.is_new(*moment, sheaf, place):
                    return place
            except Exception:  # noqa: BLE001  where this report is taken it is raised again, and told
                return place
        return len(sheaf)

    def is_new(self, tenant_id: int, device_id: str, at: int, sheaf: Sheaf, place: int) -> bool:
        """Whether nothing came before of a device and moment; then the report in that place of a sheaf is taken."""
        moment = tenant_id, device_id, at
        if not self._held.expect(*moment) and (self._found(moment) is not None or self._held.identities_at(*moment)):
            return False
        self.came.put(moment, (sheaf, place))
        return True

    def take(self, report: Report) -> tuple[Collection[str], str]:
        """Take a report; give the metrics that came before, and one of them that had another value then, or nothing."""
        if report.time_source is not _DEVICE:
            return self._take_unstamped(report)
        moment = report.tenant_id, report.device_id, report.at
        if self._held.expect(*moment):
            self.came.put(moment, report)
            return (), ""
        known = self._found(moment)
        if known is None:
            # What is remembered meanwhile came in a batch before this one: what is held of a moment is asked once.
            held = self._held.identities_at(*moment)
            if not held:
                # Most moments come once: nothing is made of them.
                self.came.put(moment, report)
                return (), ""
            known = Earlier(held)
            self.compared_count += sum([len(values) for _, _, values in held])
        elif isinstance(known, Report):
            known = Earlier([identity_of(known)])
        elif isinstance(known, tuple):
            sheaf, place = known
            known = Earlier([identity_of(sheaf[place])])
        # One that a batch before this made goes on in both: that batch takes nothing any more.
        self.came.put(moment, known)
        found = known.repeated(report)
        known.add(identity_of(report))
        return found

    def _found(self, moment: Moment) -> Report | Packed | Earlier | None:
        """What came before of a device and moment in this batch, or in one before it."""
        known = self.came.get(moment)
        for before in self._before:
            if known is not None:
                break
            known = before.get(moment)
        return known

    def _take_unstamped(self, report: Report) -> tuple[Collection[str], str]:
        if self.message is None or not self._redelivered.take(report, self.message):
            return (), ""
        return report.values.keys(), ""
