"""What the audit log is told of an erasing."""

from collections.abc import Sequence

from appliance.audit.change import bounded
from appliance.audit.model import Entry
from appliance.instant import to_text
from appliance.telemetry.keeping.model import Erasure

FROM = "the first reading"


def asked(device_ids: Sequence[str], search: str, now: int) -> list[Entry]:
    """What is asked for: each device, and before them the one act, when a search has found them."""
    if not search:
        return [Entry("telemetry.erase", device_id) for device_id in device_ids]
    found = bounded(search)
    facts = {
        "device_count": str(len(device_ids)),
        "devices": bounded(" ".join(device_ids)),
        "from": FROM,
        "to": to_text(now),
    }
    act = Entry("telemetry.erase_many", found, facts)
    return [act, *(Entry("telemetry.erase", device_id, {"search": found}) for device_id in device_ids)]


def asked_again(erasures: Sequence[Erasure]) -> list[Entry]:
    """What is asked for because it came back out of a backup."""
    return [Entry("telemetry.erase", each.device_id) for each in erasures]


def erased(erasures: Sequence[Erasure]) -> list[Entry]:
    """What is done."""
    return [Entry("telemetry.erased", each.device_id) for each in erasures]
