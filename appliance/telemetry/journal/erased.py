"""Which messages are erased, by what their devices were asked to be rid of."""

from collections.abc import Iterable, Mapping

from appliance.telemetry.journal.model import RawMessage
from appliance.telemetry.keeping.model import Erasure

NAMES_LIMIT = 100
"""To look for more names takes longer than to look at each message."""


class Erased:
    """Devices that are erased, each up to a log id and a moment.

    Both count: the log begins anew when its file was lost, and then what was kept before has log ids that nobody was
    given since. A moment alone would spare what came before the question from a clock that was ahead.
    """

    def __init__(self, erasures: Iterable[Erasure] = ()) -> None:
        self._reach: dict[tuple[int, str], tuple[int, int]] = {}
        self.add(erasures)

    def add(self, erasures: Iterable[Erasure]) -> None:
        """Erase these, too."""
        for each in erasures:
            through, asked_at = self._reach.get((each.tenant_id, each.device_id), (-1, -1))
            reach = max(through, each.through_log_id), max(asked_at, each.asked_at)
            self._reach[each.tenant_id, each.device_id] = reach

    def may_be_in(self, content: bytes) -> bool:
        """Whether bytes that messages lie in may hold any that is erased: each has its device's name in it."""
        if len(self._reach) > NAMES_LIMIT:
            return True
        return any(device_id.encode("utf-8", "surrogatepass") in content for _, device_id in self._reach)

    def has(self, message: RawMessage) -> bool:
        """Whether a device that is erased sent this, or it is on a topic of one."""
        if not self._reach:
            return False
        for device in (message.principal, message.topic_device):
            through, asked_at = self._reach.get((message.tenant_id, device), (-1, -1))
            if message.log_id <= through or message.arrived_at <= asked_at:
                return True
        return False


def is_through(message: RawMessage, through_of: Mapping[tuple[int, str], int]) -> bool:
    """Whether the log id of a message is none beyond what its device is given from on, by tenant and device."""
    if not through_of:
        return False
    devices = (message.principal, message.topic_device)
    return any(message.log_id <= through_of.get((message.tenant_id, device), -1) for device in devices)
