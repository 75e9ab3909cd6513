"""What a stream of server-sent events consists of (WHATWG HTML, section 9.2)."""

from appliance.instant import DAY_MS, day_of
from appliance.stream.model import Gap
from appliance.stream.replay.messages.model import GivenMessage
from appliance.stream.replay.messages.written import message_out
from appliance.stream.replay.model import Lack
from appliance.stream.written import as_json, gap_out, report_out
from appliance.telemetry.model import Report

MEDIA_TYPE = "text/event-stream"


def event(kind: str, about: object, event_id: str = "") -> bytes:
    """One event. `event_id` is what a reader sends back as `Last-Event-ID`; without one the last one stays."""
    head = f"event: {kind}\nid: {event_id}\n" if event_id else f"event: {kind}\n"
    return head.encode() + b"data: " + as_json(about) + b"\n\n"


def beat(event_id: str = "") -> bytes:
    """Nothing but a sign of life, and how far the reader has come though it wanted nothing of it."""
    return f"id: {event_id}\n: beat\n\n".encode() if event_id else b": beat\n\n"


def report_event(report: Report, event_id: str) -> bytes:
    """A report."""
    return event("report", report_out(report), event_id)


def message_event(message: GivenMessage, event_id: str) -> bytes:
    """A message."""
    return event("message", message_out(message), event_id)


def lack_event(lack: Lack) -> bytes:
    """A day of which something may be missing from a replay."""
    return event("gap", {"day": day_of(lack.day * DAY_MS), "why": lack.why})


def gap_event(gap: Gap, event_id: str) -> bytes:
    """What is missing."""
    return event("gap", gap_out(gap), event_id)
