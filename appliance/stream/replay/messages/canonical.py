"""A report as the message that says the same: what a device could have sent, and the gateway understands alike.

Rules:
- It is the telemetry message of docs/reference/payloads.md, in JSON. Numbers that JSON has no word for are the words
  NaN, Infinity and -Infinity, which the gateway reads as numbers, and as which devices send them.
- A moment that the gateway took, for the device told none that could be, is not in it: taken in again with the same
  arrival it is taken again.
- Its topic is that of the device's telemetry, also where a mapping rule had read it from another one: on that, it would
  be read by the rule.
"""

import json
from math import isfinite

from appliance.instant import to_text
from appliance.stream.replay.messages.model import GivenMessage
from appliance.stream.written import as_json
from appliance.telemetry.model import Report, TimeSource


def message_of(report: Report) -> GivenMessage:
    """The message."""
    said: dict[str, object] = {"deviceId": report.device_id}
    if report.time_source is TimeSource.DEVICE:
        said["timestamp"] = to_text(report.at)
    if report.sequence is not None:
        said["sequence"] = report.sequence
    said["readings"] = dict(report.values)
    return GivenMessage(
        topic=f"sensors/{report.device_id}/telemetry",
        client_id=report.client_id,
        arrived_at=report.arrived_at,
        content_type="",
        payload=as_json(said) if _is_finite(report) else _with_words(said),
    )


def _is_finite(report: Report) -> bool:
    return all(not isinstance(value, float) or isfinite(value) for value in report.values.values())


def _with_words(said: object) -> bytes:
    return json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
