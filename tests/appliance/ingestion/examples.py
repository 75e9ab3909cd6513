"""Messages and turns as the tests of ingestion make them."""

from collections.abc import Sequence

import msgspec

from appliance.ingestion.model import Mishap
from appliance.ingestion.payload import Envelope, Tolerances, mishap, read, unpack
from appliance.telemetry.model import Report
from broker.changes import Change, ChangeKey
from broker.message import Message
from broker.ports import Turn

NOW = 1_800_000_000_000
"""When messages arrive unless a test says otherwise."""
FUTURE_MS = 300_000
PAST_MS = 366 * 86_400_000
TOLERANCES = Tolerances(payload_bytes=10_000, future_ms=FUTURE_MS, past_ms=PAST_MS)


def envelope(device_id: str = "pump", arrived_at: int = NOW, content_type: str = "") -> Envelope:
    return Envelope(1, device_id, f"sensors/{device_id}/telemetry", device_id, arrived_at, content_type)


def read_reports(payload: bytes, sent: Envelope) -> tuple[list[Report], list[Mishap]]:
    """The reports of a message, without what else is known of them."""
    objects, faults = unpack(payload, sent, TOLERANCES)
    found = [read(item, sent, TOLERANCES) for item in objects]
    told = [*faults, *(fault for _, fault in found if fault is not None)]
    return [one.report for one, _ in found if one is not None], [mishap(sent, fault) for fault in told]


def message(
    payload: object, device_id: str = "pump", *, arrived_at: int = NOW, tenant_id: int = 1, topic: str = ""
) -> Message:
    """A telemetry message unless it has a topic of its own; what is not bytes is sent as JSON."""
    encoded = payload if isinstance(payload, bytes) else msgspec.json.encode(payload)
    topic = topic or f"sensors/{device_id}/telemetry"
    return Message(tenant_id, device_id, device_id, topic, encoded, 1, False, arrived_at)


def turn(
    messages: Sequence[Message] = (),
    receipts: Sequence[object] = (),
    changes: dict[ChangeKey, Change] | None = None,
) -> Turn:
    return Turn(messages, changes or {}, receipts)
