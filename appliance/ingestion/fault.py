"""What is wrong with a payload, in words for its author."""

from appliance.instant import to_text
from appliance.telemetry.model import Report


class PayloadError(Exception):
    """A payload, or one object in it, cannot be understood."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason


def defect(error: Exception, *, is_kept: bool) -> PayloadError:
    """Say that the gateway failed at a message, and whether its readings are lost."""
    kept = "; its readings are kept, but rules may not have seen them" if is_kept else ""
    return PayloadError("defect", f"the gateway could not process it ({type(error).__name__}){kept}")


def contradiction(report: Report, metric: str) -> PayloadError:
    """Say that a reading came again with another value."""
    shown = f"{metric[:40]} of sequence {report.sequence} at {to_text(report.at)}"
    return PayloadError("came_twice", f"{shown} came again with another value; the first is kept")
