"""What comes of a batch of messages: readings, alerts, mishaps.

Nothing here is kept: the batch is decided on an overlay of what is known, which `Known.merge` takes
over after the commit and which is simply dropped if the commit fails.
"""

import logging
from collections.abc import Callable, Iterator, Sequence

import msgspec

from appliance.alerts.book import Book, Overlay
from appliance.ingestion.fault import PayloadError
from appliance.ingestion.model import Mishap, Outcome
from appliance.ingestion.normalise import normalise
from appliance.ingestion.payload import Envelope, Parsed, Tolerances, mishap, read, unpack
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

PIECE_MESSAGES = 250
PIECE_BYTES = 65_536
PIECE_OBJECTS = 100
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
    """One batch while it is being decided."""

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

    def deciding(self, messages: Sequence[Message]) -> Iterator[None]:
        """Decide about these messages, after those before them, piece by piece, so that the loop gets its turn.

        A piece ends between two messages, or within one that has very many objects.
        """
        count = size = 0
        for message in messages:
            device_id = telemetry_device(message.topic)
            if device_id is not None:
                envelope = Envelope(
                    message.tenant_id,
                    device_id,
                    message.topic,
                    message.client_id,
                    message.arrived_at,
                    message.properties.content_type or "",
                )
                try:
                    # Few messages have more than one object: for the others nothing is begun that can be interrupted.
                    if (rest := self._begin(message.payload, envelope)) is not None:
                        yield from rest
                except Exception as error:  # one bad message stops nobody: the one broad except
                    log.exception("message not processed tenant_id=%s device_id=%s", message.tenant_id, device_id)
                    reason = f"the gateway could not process it ({type(error).__name__})"
                    self._mishaps.append(mishap(envelope, PayloadError("defect", reason)))
            elif message.topic.startswith(REQUEST_PREFIX):
                self.requests.append(message)
            count += 1
            size += len(message.payload)
            if count >= PIECE_MESSAGES or size >= PIECE_BYTES:
                count = size = 0
                yield

    def _begin(self, payload: bytes, envelope: Envelope) -> Iterator[None] | None:
        """Decide about a message of one object; give what is to be done about any other."""
        objects, faults = unpack(payload, envelope, self._known.tolerances)
        if faults or len(objects) != 1:
            return self._deciding_each(objects, faults, envelope)
        parsed, fault = read(objects[0], envelope, self._known.tolerances)
        if fault is not None:
            self._mishaps.append(mishap(envelope, fault))
        if parsed is not None:
            kind = self._known.type_of(envelope.tenant_id, envelope.device_id)
            observation, remarks = self._taken(parsed, kind, parsed.behind_ms)
            if observation.report.values:
                self._judge(observation.report)
                self._reports.append(observation.report)
            self._observations.append(observation)
            if remarks:
                self._mishaps += [mishap(envelope, remark) for remark in remarks]
        return None

    def _deciding_each(
        self, objects: Sequence[object], faults: Sequence[PayloadError], envelope: Envelope
    ) -> Iterator[None]:
        """Decide about a message of any number of objects: nothing of it is kept before all of it was decided."""
        parsed: list[Parsed] = []
        remarks = list(faults)
        for place, item in enumerate(objects, 1):
            one, fault = read(item, envelope, self._known.tolerances)
            parsed += [] if one is None else [one]
            remarks += [] if fault is None else [fault]
            if place % PIECE_OBJECTS == 0:
                yield
        kind = self._known.type_of(envelope.tenant_id, envelope.device_id)
        newest = newest_of(parsed)
        observations: list[Observation] = []
        for place, one in enumerate(parsed, 1):
            observation, more = self._taken(one, kind, one.behind_ms if one is newest else None)
            observations.append(observation)
            remarks += more
            if place % PIECE_OBJECTS == 0:
                yield
        reports = [observation.report for observation in observations if observation.report.values]
        for place, report in enumerate(reports, 1):
            self._judge(report)
            if place % PIECE_OBJECTS == 0:
                yield
        self._reports += reports
        self._observations += observations
        self._mishaps += [mishap(envelope, remark) for remark in remarks]

    def _taken(
        self, parsed: Parsed, kind: DeviceType | None, behind_ms: int | None
    ) -> tuple[Observation, Sequence[PayloadError]]:
        """What becomes of a report, without readings if none is kept, and what is wrong with it."""
        report, units = parsed.report, parsed.units
        rejected_count = flagged_count = 0
        remarks: Sequence[PayloadError] = ()
        if kind is not None:
            report, units, rejected_count, flagged_count, remarks = normalise(parsed, kind)
        repeated, contradicted = self._batch.take(report)
        if not repeated:
            return Observation(report, behind_ms, units, rejected_count, flagged_count), remarks
        if contradicted:
            remarks = [*remarks, contradiction(report, contradicted)]
        values = {metric: value for metric, value in report.values.items() if metric not in repeated}
        report = msgspec.structs.replace(report, values=values)
        return Observation(report, behind_ms, units, rejected_count, flagged_count, not values), remarks

    def outcome(self) -> Outcome:
        """What the messages taken so far come to."""
        return Outcome(
            tuple(self._reports), tuple(self._mishaps), tuple(self.overlay.changes()), tuple(self._observations)
        )

    def _judge(self, report: Report) -> None:
        tenant_id = report.tenant_id
        watched = self._known.book.watched(tenant_id)
        if watched.isdisjoint(report.values):
            return
        for metric, value in report.values.items():
            if metric not in watched:
                continue
            key = (tenant_id, report.device_id, metric)
            newest = self.newest.get(key)
            if newest is None:
                newest = self._known.newest(key)
            late = report.at < newest
            if not late:
                self.newest[key] = report.at
            zone = self._known.zone_of(tenant_id, report.device_id)
            self.overlay.judge(tenant_id, report.device_id, zone, metric, value, report.at, late=late)


def newest_of(parsed: Sequence[Parsed]) -> Parsed | None:
    """The report that tells of the device's clock: of several in a message the newest, for the others had waited."""
    return min((one for one in parsed if one.behind_ms is not None), key=lambda one: one.behind_ms or 0, default=None)


def contradiction(report: Report, metric: str) -> PayloadError:
    """Say that a reading came again with another value."""
    shown = f"{metric[:40]} of sequence {report.sequence} at {to_text(report.at)}"
    return PayloadError("came_twice", f"{shown} came again with another value; the first is kept")


def telemetry_device(topic: str) -> str | None:
    """The device whose telemetry topic this is; None for every other topic."""
    match topic.split("/", 3):
        case ["sensors", device_id, "telemetry"] if device_id:
            return device_id
        case _:
            return None
