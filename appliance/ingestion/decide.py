"""What comes of a batch of messages: readings, alerts, mishaps.

Nothing here is kept: the batch is decided on an overlay of what is known, which `Known.merge` takes
over after the commit and which is simply dropped if the commit fails.
"""

import logging
from collections.abc import Callable, Sequence

from appliance.alerts.book import Book, Overlay
from appliance.ingestion.model import Mishap, Outcome
from appliance.ingestion.payload import Envelope, Tolerances, read
from appliance.telemetry.model import Report
from broker.message import Message

log = logging.getLogger(__name__)

ReadingKey = tuple[int, str, str]
"""Tenant, device, metric."""

TELEMETRY_PREFIX = "sensors/"
TELEMETRY_SUFFIX = "/telemetry"
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
    ) -> None:
        """`newest_at` tells the moment of the newest committed reading of a metric, None when there is none."""
        self.book = book
        self.zone_of = zone_of
        self.tolerances = tolerances
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

    def take(self, messages: Sequence[Message]) -> None:
        """Decide about these messages, after those taken before."""
        for message in messages:
            device_id = telemetry_device(message.topic)
            if device_id is None:
                if message.topic.startswith(REQUEST_PREFIX):
                    self.requests.append(message)
                continue
            envelope = Envelope(message.tenant_id, device_id, message.topic, message.client_id, message.arrived_at)
            try:
                reports, mishaps = read(message.payload, envelope, self._known.tolerances)
                self._judge(reports)
            except Exception as error:  # one bad message stops nobody: the one broad except
                log.exception("message not processed tenant_id=%s device_id=%s", message.tenant_id, device_id)
                reason = f"the gateway could not process it ({type(error).__name__})"
                mishaps = [Mishap(message.tenant_id, device_id, "defect", reason, message.arrived_at)]
                reports = []
            self._reports += reports
            self._mishaps += mishaps

    def outcome(self) -> Outcome:
        """What the messages taken so far come to."""
        return Outcome(tuple(self._reports), tuple(self._mishaps), tuple(self.overlay.changes()))

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


def telemetry_device(topic: str) -> str | None:
    """The device whose telemetry topic this is; None for every other topic."""
    if topic.startswith(TELEMETRY_PREFIX) and topic.endswith(TELEMETRY_SUFFIX):
        device_id = topic[len(TELEMETRY_PREFIX) : -len(TELEMETRY_SUFFIX)]
        if device_id and "/" not in device_id:
            return device_id
    return None
