"""What comes of a batch of messages: readings, alerts, mishaps.

Nothing here is kept: the batch is decided on an overlay of what is known, which `Known` takes over after the commit.
Others may be decided on that overlay before: a commit succeeds, however late, or the process ends.
"""

import logging
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence

import msgspec

from appliance.alerts.book import Overlay
from appliance.ingestion.declared import NO_UNITS
from appliance.ingestion.fault import PayloadError, contradiction, defect
from appliance.ingestion.items import Item, Read
from appliance.ingestion.known import Known, ReadingKey
from appliance.ingestion.mapping.turning import Turning, of_no_device
from appliance.ingestion.model import REQUEST_PREFIXES, Outcome
from appliance.ingestion.normalise import normalise
from appliance.ingestion.payload import Envelope, Parsed, mishap, read, unpack
from appliance.ingestion.pieces import (
    COMPARED_WEIGHT,
    LARGE_BYTES,
    PIECE_BYTES,
    PIECE_MESSAGES,
    UNUSUAL_WEIGHT,
    USUAL_PART,
    USUAL_START,
    Piece,
)
from appliance.ingestion.quality import Observation, Observed, behind_of, plainly
from appliance.ingestion.repeats import Batch
from appliance.ingestion.tally import Tally
from appliance.ingestion.usual import Told
from appliance.registry.catalogue.model import DeviceType
from appliance.telemetry.model import Report, TimeSource
from appliance.telemetry.sheaf import Sheaf
from broker.message import Message

log = logging.getLogger(__name__)

_DEVICE = TimeSource.DEVICE
_NOT_PROCESSED = "message not processed tenant_id=%s device_id=%s"
_BEFORE_DEVICE, _AFTER_DEVICE = "sensors/", "/telemetry"


class Decision:
    """One batch while it is being decided."""

    def __init__(self, known: Known) -> None:
        earlier = tuple(known.unremembered)
        self.overlay: Overlay = known.book.overlay([one.overlay for one in earlier])
        self.newest: dict[ReadingKey, int] = {}
        self.requests: list[Message] = []
        """Messages by which clients ask the gateway itself for something."""
        self._known = known
        self._sheaves: dict[int, Sheaf] = {}
        """By tenant: the reports that are kept."""
        self._kept_count = 0
        self._observed: list[Observed] = []
        self._tally = Tally()
        self.redelivered = known.redeliveries.overlay([one.redelivered for one in earlier])
        self.repeats = Batch(known.held, self.redelivered, [one.repeats for one in earlier])

    def deciding(self, items: Sequence[Item]) -> Iterator[None]:
        """Decide about these messages, after those before them, piece by piece, so that the loop gets its turn.

        A piece ends between two messages, or within one that has very many objects.
        """
        count = size = 0
        batch = self.repeats
        compared_count = batch.compared_count
        for item in items:
            kept_count = self._kept_count
            count += 1
            try:
                work, rest = self._take_sheaf(item) if isinstance(item, Sheaf) else self._start(item)
                size += work
                # Few messages have more than one object: nothing is begun for the others that can be interrupted.
                if rest is not None:
                    yield from rest
            except Exception as error:  # one bad message stops nobody: here, and where a sheaf is taken
                for envelope in envelopes_of(item):
                    log.exception(_NOT_PROCESSED, envelope.tenant_id, envelope.device_id)
                    self._note(envelope, defect(error, is_kept=self._kept_count > kept_count))
            if batch.compared_count != compared_count:
                size += COMPARED_WEIGHT * (batch.compared_count - compared_count)
                compared_count = batch.compared_count
            if count >= PIECE_MESSAGES or size >= PIECE_BYTES:
                count = size = 0
                yield

    def _start(self, item: Message | Read) -> tuple[int, Iterator[None] | None]:
        """Decide about a message, or give what is to be done about it piece by piece; and how much work it is."""
        message, told = (item, self._known.usual.told(item)) if isinstance(item, Message) else item
        self.repeats.message = message
        if told is not None:
            if not self._is_taken(message, told):
                self._take_plain(told.report(message))
            return len(message.payload) // USUAL_PART, None
        device_id = telemetry_device(message.topic)
        turning = self._known.mapping.turning(message.tenant_id, message.topic) if device_id is None else None
        rest = self._begin(message, device_id) if device_id else self._begin_other(message, turning)
        return work_of(message, is_read=device_id is not None or turning is not None), rest

    def _begin(self, message: Message, device_id: str) -> Iterator[None] | None:
        """Decide about any message of telemetry of one object, or of none; give what is to be done about any other."""
        envelope = envelope_of(message)
        objects, faults = unpack(message.payload, envelope, self._known.tolerances)
        if faults or len(objects) != 1:
            return self._deciding_each(objects, faults, envelope, is_large=len(message.payload) >= LARGE_BYTES)
        parsed, fault = read(objects[0], envelope, self._known.tolerances)
        if fault is not None:
            self._note(envelope, fault)
        if parsed is not None:
            self._take(parsed.report, parsed.behind_ms, parsed.units)
            if fault is None and message.payload[:1] == USUAL_START:
                self._known.usual.learn(message.topic, device_id, objects[0])
        return None

    def _begin_other(self, message: Message, turning: Turning | None) -> Iterator[None] | None:
        """Take a message that is on no topic of telemetry: a request, or what a mapping rule is about, or nothing."""
        if message.topic.startswith(REQUEST_PREFIXES):
            self.requests.append(message)
            return None
        return None if turning is None else self._deciding_mapped(message, turning)

    def _is_taken(self, message: Message, told: Told) -> bool:
        """Whether a usual message is decided about: nothing is to be compared with it, or made of it for its type."""
        tenant_id, device_id, shape = message.tenant_id, told.device_id, told.shape
        if shape is None or told.time_source is not _DEVICE or self._known.type_of(tenant_id, device_id) is not None:
            return False
        sheaf = self._sheaf_of(tenant_id)
        if not self.repeats.is_new(tenant_id, device_id, told.at, sheaf, len(sheaf)):
            return False
        sheaf.add(device_id, told.topic, told.client_id, _DEVICE, shape, told.packed)
        self._kept_count += 1
        watched = self._known.book.watched(tenant_id)
        if watched and not watched.isdisjoint(shape.names):
            self._judge(told.report(message))
        return True

    def _take_sheaf(self, sheaf: Sheaf) -> tuple[int, Iterator[None] | None]:
        """Decide about reports of usual messages, or give what is to be done about them; and how much work it is.

        Nearly always each of them is new, and they are kept at once.
        """
        tenant_id, count = sheaf.tenant_id, len(sheaf)
        try:
            is_plain = all(self._known.type_of(tenant_id, device_id) is None for device_id in sheaf.device_ids)
        except Exception:  # noqa: BLE001  where the report of this device is taken it is raised again, and told
            is_plain = False
        new_count = self.repeats.new_count(sheaf) if is_plain else 0
        if new_count < count:
            return 0, self._taking_each(sheaf, new_count)
        self._sheaf_of(tenant_id).extend(sheaf)
        self._kept_count += count
        watched = self._known.book.watched(tenant_id)
        if watched and not all(watched.isdisjoint(group.names) for group in sheaf.groups):
            return 0, self._judging_each(sheaf)
        return sheaf.packed_bytes, None

    def _taking_each(self, sheaf: Sheaf, new_count: int) -> Iterator[None]:
        """Decide about the reports of a sheaf one by one; so many of the first are known to be new."""
        piece = Piece()
        for place, report in enumerate(sheaf):
            kept_count, compared_count = self._kept_count, self.repeats.compared_count
            try:
                if place < new_count:
                    self._append(report)
                    self._judge(report)
                else:
                    self._take_plain(report)
            except Exception as error:
                log.exception(_NOT_PROCESSED, report.tenant_id, report.device_id)
                self._note(report, defect(error, is_kept=self._kept_count > kept_count))
            if piece.takes(len(report.values) + self.repeats.compared_count - compared_count):
                yield

    def _judging_each(self, sheaf: Sheaf) -> Iterator[None]:
        """Have rules look at reports that are kept."""
        piece = Piece()
        for report in sheaf:
            try:
                self._judge(report)
            except Exception as error:
                log.exception(_NOT_PROCESSED, report.tenant_id, report.device_id)
                self._note(report, defect(error, is_kept=True))
            if piece.takes(len(report.values)):
                yield

    def _take_plain(self, report: Report) -> None:
        """Decide about the only report of a message, of which there is nothing else to tell."""
        if self._known.type_of(report.tenant_id, report.device_id) is not None:
            self._take(report, behind_of(report), NO_UNITS)
        else:
            self._judge(self._keep(plainly(report)))

    def _take(self, report: Report, behind_ms: int | None, units: Mapping[str, str]) -> None:
        """Decide about the only report of a message: how far its device's clock is behind, and its declared units."""
        kind = self._known.type_of(report.tenant_id, report.device_id)
        if kind is None:
            self._judge(self._keep(Observation(report, behind_ms, units)))
            return
        observation, remarks = observed(Parsed(report, units, behind_ms), kind, behind_ms)
        self._judge(self._keep(observation))
        for remark in remarks:
            self._note(report, remark)

    def _deciding_each(
        self, objects: Sequence[object], faults: Sequence[PayloadError], envelope: Envelope, *, is_large: bool
    ) -> Iterator[None]:
        """Decide about a message of any number of objects: nothing of it is kept before all of it was understood."""
        if is_large:
            yield
        for fault in faults:
            self._note(envelope, fault)
        piece = Piece()
        understood = yield from self._understanding(objects, envelope, piece)
        newest = newest_of([one for one, _ in understood])
        kept: list[Report] = []
        for one, observation in understood:
            behind_ms = one.behind_ms if one is newest else None
            compared_count = self.repeats.compared_count
            kept.append(self._keep(msgspec.structs.replace(observation, behind_ms=behind_ms)))
            if piece.takes(len(one.report.values) + self.repeats.compared_count - compared_count):
                yield
        for report in kept:
            self._judge(report)
            if piece.takes(len(report.values)):
                yield

    def _deciding_mapped(self, message: Message, turning: Turning) -> Iterator[None]:
        """Decide about a message that a mapping rule is about; what is wrong with it is its publisher's."""
        may_report, tenant_id, publisher = self._known.mapping.may_report, message.tenant_id, message.principal
        envelope = envelope_of(message)
        if message.is_operators or not may_report(tenant_id, publisher):
            fault = of_no_device(turning, publisher, is_operators=message.is_operators)
            self._note(msgspec.structs.replace(envelope, device_id=""), fault)
            return
        objects, faults = turning.unpacked(message.payload, envelope, self._known.tolerances)
        for fault in faults:
            self._note(envelope, fault)
        if len(message.payload) >= LARGE_BYTES:
            yield
        piece = Piece()
        by_device: dict[str, list[object]] = {}
        for item in objects:
            try:
                device_id = turning.device_of(item, message.topic, publisher)
                turning.require_voice(device_id, publisher, is_there=may_report(tenant_id, device_id))
                by_device.setdefault(device_id, []).append(turning.turned(item))
            except PayloadError as error:
                self._note(envelope, error)
            if piece.takes(turning.weight):
                yield
        for device_id, turned in by_device.items():
            its_own = msgspec.structs.replace(envelope, device_id=device_id)
            yield from self._deciding_each(turned, (), its_own, is_large=False)
            if piece.takes(sum(turning.weight + len(one) for one in turned if isinstance(one, dict))):
                yield

    def _understanding(
        self, objects: Sequence[object], envelope: Envelope, piece: Piece
    ) -> Generator[None, None, list[tuple[Parsed, Observation]]]:
        """Read every object; give those that are understood."""
        kind = self._known.type_of(envelope.tenant_id, envelope.device_id)
        understood: list[tuple[Parsed, Observation]] = []
        for item in objects:
            one, fault = read(item, envelope, self._known.tolerances)
            if fault is not None:
                self._note(envelope, fault)
            if one is not None:
                observation, remarks = observed(one, kind, None)
                understood.append((one, observation))
                for remark in remarks:
                    self._note(envelope, remark)
            if piece.takes(0 if one is None else len(one.report.values)):
                yield
        return understood

    def _keep(self, observation: Observation) -> Report:
        """Keep what did not come before, and give it.

        A report is remembered as one that came, and kept, at once: whatever fails afterwards, it is not taken for a
        repetition of one that was not kept.
        """
        report = observation.report
        repeated, contradicted = self.repeats.take(report)
        if repeated:
            return self._keep_rest(observation, repeated, contradicted)
        self._file(observation, report)
        return report

    def _keep_rest(self, observation: Observation, repeated: Collection[str], contradicted: str) -> Report:
        """Keep what of a report is none of the metrics that came before, and give it."""
        report = observation.report
        values = {metric: value for metric, value in report.values.items() if metric not in repeated}
        left = msgspec.structs.replace(report, values=values)
        self._file(msgspec.structs.replace(observation, report=left, is_duplicate=not values), left)
        if contradicted:
            self._note(report, contradiction(report, contradicted))
        return left

    def _file(self, observation: Observation, report: Report) -> None:
        """Have a report kept, if it has any values, and what it tells noted, if that is more than itself."""
        sheaf, is_kept = self._sheaf_of(report.tenant_id), bool(report.values)
        if not is_kept or not observation.is_plain:
            self._observed.append(Observed(report.tenant_id, len(sheaf), is_kept, observation))
        if is_kept:
            self._append(report)

    def _append(self, report: Report) -> None:
        self._sheaf_of(report.tenant_id).append(report)
        self._kept_count += 1

    def _sheaf_of(self, tenant_id: int) -> Sheaf:
        return self._sheaves.setdefault(tenant_id, Sheaf(tenant_id))

    def outcome(self) -> Outcome:
        """What the messages taken so far come to."""
        sheaves, changes = tuple(self._sheaves.values()), tuple(self.overlay.changes())
        return Outcome(sheaves, self._tally.mishaps(), changes, tuple(self._observed))

    def _note(self, sent: Envelope | Report, fault: PayloadError) -> None:
        self._tally.note(mishap(sent, fault))

    def _judge(self, report: Report) -> None:
        tenant_id = report.tenant_id
        watched = self._known.book.watched(tenant_id)
        if not watched or watched.isdisjoint(report.values):
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


def envelope_of(message: Message) -> Envelope:
    """What is known of a message before its payload is looked at. On a topic of no device it is its publisher's."""
    return Envelope(
        message.tenant_id,
        telemetry_device(message.topic) or message.principal,
        message.topic,
        message.client_id,
        message.arrived_at,
        message.properties.content_type or "",
    )


def envelopes_of(item: Item) -> list[Envelope]:
    """What is known of the messages of an item before their payload is looked at."""
    if not isinstance(item, Sheaf):
        return [envelope_of(item if isinstance(item, Message) else item[0])]
    columns = zip(item.device_ids, item.arrived_at(), strict=True)
    return [Envelope(item.tenant_id, device_id, "", "", arrived_at, "") for device_id, arrived_at in columns]


def observed(
    parsed: Parsed, kind: DeviceType | None, behind_ms: int | None
) -> tuple[Observation, Sequence[PayloadError]]:
    """What a report tells, as its device's type asks for it, and what is wrong with it then."""
    if kind is None:
        return Observation(parsed.report, behind_ms, parsed.units), ()
    report, units, rejected_count, flagged_count, remarks = normalise(parsed, kind)
    return Observation(report, behind_ms, units, rejected_count, flagged_count), remarks


def newest_of(parsed: Sequence[Parsed]) -> Parsed | None:
    """The report that tells of the device's clock: of several in a message the newest, for the others had waited."""
    return min((one for one in parsed if one.behind_ms is not None), key=lambda one: one.behind_ms or 0, default=None)


def work_of(message: Message, *, is_read: bool) -> int:
    """How much work a message is, in bytes of one that is a single object in JSON."""
    size = len(message.payload)
    return size * UNUSUAL_WEIGHT if is_read and message.payload[:1] != USUAL_START else size


def telemetry_device(topic: str) -> str | None:
    """The device whose telemetry topic this is; None for every other topic."""
    if not topic.startswith(_BEFORE_DEVICE) or not topic.endswith(_AFTER_DEVICE):
        return None
    device_id = topic[len(_BEFORE_DEVICE) : -len(_AFTER_DEVICE)]
    return device_id if device_id and "/" not in device_id else None
