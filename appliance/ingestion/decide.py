"""What comes of a batch of messages: readings, alerts, mishaps.

Nothing here is kept: the batch is decided on an overlay of what is known, which `Known.merge` takes
over after the commit and which is simply dropped if the commit fails.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from appliance.alerts.book import Book, Overlay
from appliance.ingestion.fault import PayloadError
from appliance.ingestion.model import Mishap, Outcome
from appliance.ingestion.normalise import normalise
from appliance.ingestion.payload import Envelope, Parsed, Tolerances, mishap, read
from appliance.ingestion.quality import Observation
from appliance.ingestion.repeats import Batch
from appliance.instant import to_text
from appliance.registry.catalogue.model import DeviceType
from appliance.telemetry.model import Report
from appliance.telemetry.rows import Identity
from broker.message import Message

log = logging.getLogger(__name__)

ReadingKey = tuple[int, str, str]
"""Tenant, device, metric."""

TELEMETRY_PREFIX = "sensors/"
TELEMETRY_SUFFIX = "/telemetry"
SLICE_MESSAGES = 250
SLICE_BYTES = 65_536
"""Decided in one go; more would keep acknowledgements and pages waiting."""
REQUEST_PREFIX = "$"
"""Where clients ask the gateway itself for something: nobody else answers there."""


class Known:
    """What deciding needs to know, as of the last commit."""

    def __init__(
        self,
        book: Book,
        zone_of: Callable[[int, str], str],
        newest_at: Callable[[int, str, str], int | None],
        tolerances: Tolerances,
        held_at: Callable[[int, str, int], Sequence[Identity]] = lambda *_: (),
        type_of: Callable[[int, str], DeviceType | None] = lambda *_: None,
    ) -> None:
        """Ask the rooms around.

        `newest_at` tells the moment of the newest committed reading of a metric, None when there is none; `held_at`
        tells what the reports of a device and moment are known by, as far as memory holds them; `type_of` tells
        what is known of all devices of a device's type.
        """
        self.book = book
        self.zone_of = zone_of
        self.tolerances = tolerances
        self.held_at = held_at
        self.type_of = type_of
        self._newest_at = newest_at

    def newest(self, key: ReadingKey) -> int:
        """The moment of the newest reading; 0 when there is none."""
        # Asked anew in every batch: readings also come while no rule looks at their metric.
        return self._newest_at(*key) or 0

    def merge(self, decision: "Decision") -> None:
        """Take over what a batch changed, after its commit."""
        self.book.merge(decision.overlay)


class Decision:
    """One batch while it is being decided. Feed it in slices, so that the loop gets its turn."""

    def __init__(self, known: Known) -> None:
        self.overlay: Overlay = known.book.overlay()
        self.newest: dict[ReadingKey, int] = {}
        self.requests: list[Message] = []
        """Messages by which clients ask the gateway itself for something."""
        self._known = known
        self._reports: list[Report] = []
        self._mishaps: list[Mishap] = []
        self._observations: list[Observation] = []
        self._batch = Batch(known.held_at)

    def take(self, messages: Sequence[Message]) -> None:
        """Decide about these messages, after those taken before."""
        for message in messages:
            device_id = telemetry_device(message.topic)
            if device_id is None:
                if message.topic.startswith(REQUEST_PREFIX):
                    self.requests.append(message)
                continue
            envelope = Envelope(
                message.tenant_id,
                device_id,
                message.topic,
                message.client_id,
                message.arrived_at,
                message.properties.content_type or "",
            )
            self._take_one(message.payload, envelope)

    def _take_one(self, payload: bytes, envelope: Envelope) -> None:
        taken = _Taken([], [], [])
        try:
            parsed, mishaps = read(payload, envelope, self._known.tolerances)
            taken.mishaps.extend(mishaps)
            kind = self._known.type_of(envelope.tenant_id, envelope.device_id)
            newest = parsed[0] if len(parsed) == 1 else newest_of(parsed)
            for one in parsed:
                self._take_report(one if one is newest else one._replace(behind_ms=None), kind, envelope, taken)
            self._judge(taken.reports)
        except Exception as error:  # one bad message stops nobody: the one broad except
            log.exception("message not processed tenant_id=%s device_id=%s", envelope.tenant_id, envelope.device_id)
            reason = f"the gateway could not process it ({type(error).__name__})"
            self._mishaps.append(mishap(envelope, PayloadError("defect", reason)))
            return
        self._reports += taken.reports
        self._mishaps += taken.mishaps
        self._observations += taken.observations

    def _take_report(self, parsed: Parsed, kind: DeviceType | None, envelope: Envelope, taken: "_Taken") -> None:
        report, units, behind_ms = parsed
        rejected_count = flagged_count = 0
        if kind is not None:
            report, units, rejected_count, flagged_count, remarks = normalise(parsed, kind)
            taken.mishaps.extend([mishap(envelope, remark) for remark in remarks])
        repeated, contradicted = self._batch.take(report)
        if contradicted:
            taken.mishaps.append(mishap(envelope, contradiction(report, contradicted)))
        values = report.values
        if repeated:
            values = {metric: value for metric, value in values.items() if metric not in repeated}
            report = msgspec.structs.replace(report, values=values)
        if values:
            taken.reports.append(report)
        is_duplicate = bool(repeated) and not values
        taken.observations.append(Observation(report, behind_ms, units, rejected_count, flagged_count, is_duplicate))

    def outcome(self) -> Outcome:
        """What the messages taken so far come to."""
        return Outcome(
            tuple(self._reports), tuple(self._mishaps), tuple(self.overlay.changes()), tuple(self._observations)
        )

    def _judge(self, reports: Sequence[Report]) -> None:
        book = self._known.book
        for report in reports:
            for metric, value in report.values.items():
                if not book.in_force(report.tenant_id, metric):
                    continue
                key = (report.tenant_id, report.device_id, metric)
                newest = self.newest.get(key)
                if newest is None:
                    newest = self._known.newest(key)
                late = report.at < newest
                if not late:
                    self.newest[key] = report.at
                zone = self._known.zone_of(report.tenant_id, report.device_id)
                self.overlay.judge(report.tenant_id, report.device_id, zone, metric, value, report.at, late=late)


class _Taken(NamedTuple):
    """What one message comes to."""

    reports: list[Report]
    mishaps: list[Mishap]
    observations: list[Observation]


def newest_of(parsed: Sequence[Parsed]) -> Parsed | None:
    """The report that tells of the device's clock: of several in a message the newest, for the others had waited."""
    return min((one for one in parsed if one.behind_ms is not None), key=lambda one: one.behind_ms or 0, default=None)


def contradiction(report: Report, metric: str) -> PayloadError:
    """Say that a reading came again with another value."""
    shown = f"{metric[:40]} of sequence {report.sequence} at {to_text(report.at)}"
    return PayloadError("came_twice", f"{shown} came again with another value; the first is kept")


def slices(messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
    """The messages in the parts that are decided in one go, in order."""
    start = size = 0
    for place, message in enumerate(messages):
        size += len(message.payload)
        if size >= SLICE_BYTES or place - start + 1 >= SLICE_MESSAGES:
            yield messages[start : place + 1]
            start, size = place + 1, 0
    if start < len(messages):
        yield messages[start:]


def telemetry_device(topic: str) -> str | None:
    """The device whose telemetry topic this is; None for every other topic."""
    if topic.startswith(TELEMETRY_PREFIX) and topic.endswith(TELEMETRY_SUFFIX):
        device_id = topic[len(TELEMETRY_PREFIX) : -len(TELEMETRY_SUFFIX)]
        if device_id and "/" not in device_id:
            return device_id
    return None
