"""What a device hears unasked: that its list of jobs has changed, and that another one is the first."""

from collections.abc import Callable, Sequence

import msgspec

from appliance.commands.jobs import answers, topics
from appliance.commands.jobs.model import Execution
from appliance.instant import SECOND_MS

LISTED_LIMIT = 15

Publish = Callable[[int, str, bytes], object]
"""Tells everybody who has subscribed: tenant, topic name, payload."""


class Heard(msgspec.Struct, frozen=True):
    """What has changed for a device."""

    is_list: bool
    is_first: bool


def changed(before: Sequence[Execution], after: Sequence[Execution]) -> Heard:
    """What a device has to hear: not that it has begun what it was shown, nor what it says of it."""
    was, now = [one.execution_id for one in before], [one.execution_id for one in after]
    return Heard(is_list=set(was) != set(now), is_first=was[:1] != now[:1])


def listed(pending: Sequence[Execution], now: int) -> bytes:
    """What is published on `notify`."""
    jobs = answers.summaries(pending[:LISTED_LIMIT])
    return msgspec.json.encode({"timestamp": now // SECOND_MS, "jobs": jobs})


def first(execution: Execution | None, document: bytes, running_ms: int, now: int) -> bytes:
    """What is published on `notify-next`."""
    said: dict[str, object] = {"timestamp": now // SECOND_MS}
    if execution is not None:
        said["execution"] = answers.whole(execution, answers.Document(document), running_ms)
    return msgspec.json.encode(said)


class Notice(msgspec.Struct, frozen=True):
    """What one device hears: written when it is sent, for a document may be large and devices many."""

    tenant_id: int
    device_id: str
    changed: Heard
    pending: list[Execution]
    document: bytes

    def tell(self, publish: Publish, running_ms: int, now: int) -> None:
        """Publish it."""
        if self.changed.is_list:
            publish(self.tenant_id, topics.notify(self.device_id), listed(self.pending, now))
        if self.changed.is_first:
            one = self.pending[0] if self.pending else None
            publish(self.tenant_id, topics.notify_next(self.device_id), first(one, self.document, running_ms, now))
