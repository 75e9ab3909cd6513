"""What a report brings that was there before.

A device that got no answer sends again. Its reading is the same when device, metric, moment and sequence number are the
same; without a sequence number, when the whole report is. The first that came stays. Only a moment that the device
told itself can come again: of a device without a clock it is told by the message that brought the report, as
`redeliveries.py` says.
"""

from collections.abc import Callable, Collection, Iterable, Sequence

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


class Batch:
    """The reports of a batch that is not committed, by device and moment."""

    def __init__(self, held_at: Callable[[int, str, int], Sequence[Identity]], redelivered: Overlay) -> None:
        """`held_at` tells what the committed reports of a device and moment are known by, as far as memory goes."""
        self.message: Message | None = None
        """The one whose reports are taken."""
        self._redelivered = redelivered
        self._held_at = held_at
        self._known: dict[tuple[int, str, int], Report | Packed | Earlier] = {}
        self.compared_count = 0
        """How many held values were looked at so far: for wide reports of one moment, very many."""

    def are_new(self, sheaf: Sheaf) -> list[bool]:
        """Whether nothing came before of the moment that its device told, for each of these reports; then it is taken.

        What came before of the others, or that it cannot be told, is for `take` to say.
        """
        known, held_at, tenant_id = self._known, self._held_at, sheaf.tenant_id
        found: list[bool] = []
        for place, (device_id, at) in enumerate(zip(sheaf.device_ids, sheaf.at(), strict=True)):
            moment = tenant_id, device_id, at
            try:
                is_new = moment not in known and not held_at(tenant_id, device_id, at)
            except Exception:  # noqa: BLE001  `take` will raise it
                is_new = False
            if is_new:
                known[moment] = sheaf, place
            found.append(is_new)
        return found

    def take(self, report: Report) -> tuple[Collection[str], str]:
        """Take a report; give the metrics that came before, and one of them that had another value then, or nothing."""
        if report.time_source is not _DEVICE:
            return self._take_unstamped(report)
        tenant_id, device_id, at = moment = report.tenant_id, report.device_id, report.at
        known = self._known.get(moment)
        if known is None:
            # Nothing is committed before the batch is decided: what is held of a moment is asked once.
            held = self._held_at(tenant_id, device_id, at)
            if not held:
                # Most moments come once: nothing is made of them.
                self._known[moment] = report
                return (), ""
            known = self._known[moment] = Earlier(held)
            self.compared_count += sum([len(values) for _, _, values in held])
        elif isinstance(known, Report):
            known = self._known[moment] = Earlier([identity_of(known)])
        elif isinstance(known, tuple):
            sheaf, place = known
            known = self._known[moment] = Earlier([identity_of(sheaf[place])])
        found = known.repeated(report)
        known.add(identity_of(report))
        return found

    def _take_unstamped(self, report: Report) -> tuple[Collection[str], str]:
        if self.message is None or not self._redelivered.take(report, self.message):
            return (), ""
        return report.values.keys(), ""
