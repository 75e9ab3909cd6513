"""Which reports a reader wants to have."""

import msgspec

from appliance.errors import InvalidInputError
from appliance.telemetry.model import Report
from broker.limits import Limits
from broker.topics import SHARED, filter_fault, matches

NAMES_LIMIT = 100


class Wanted(msgspec.Struct, frozen=True):
    """Reports of these devices, on topics that one of these filters matches; an empty set wants all."""

    device_ids: frozenset[str] = frozenset()
    topic_filters: tuple[str, ...] = ()

    def has(self, report: Report) -> bool:
        """Whether a report is wanted."""
        if self.device_ids and report.device_id not in self.device_ids:
            return False
        return not self.topic_filters or any(matches(each, report.topic) for each in self.topic_filters)


EVERYTHING = Wanted()


def wanted(device_ids: list[str], topic_filters: list[str]) -> Wanted:
    """What somebody asks for. Raises `InvalidInputError`."""
    if len(device_ids) > NAMES_LIMIT or len(topic_filters) > NAMES_LIMIT:
        raise InvalidInputError(f"at most {NAMES_LIMIT} devices and {NAMES_LIMIT} topic filters may be named")
    for each in topic_filters:
        fault = filter_fault(each, Limits())
        if fault is not None or each.startswith(SHARED):
            raise InvalidInputError(f"{each[:128]!r} is no topic filter: {fault or 'it is a shared subscription'}")
    return Wanted(frozenset(device_ids), tuple(topic_filters))
