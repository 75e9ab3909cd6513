"""Which reports a reader wants to have."""

from functools import lru_cache
from typing import Any

import msgspec

from appliance.errors import InvalidInputError
from appliance.telemetry.model import Report
from broker.limits import Limits
from broker.topics import SHARED, filter_fault

NAMES_LIMIT = 100

_Tree = dict[str | None, Any]
"""What may follow, by level; None where a filter ends. A hundred filters cost a report little more than one does."""


class Wanted(msgspec.Struct, frozen=True):
    """Reports of these devices, on topics that one of these filters matches; an empty set wants all."""

    device_ids: frozenset[str] = frozenset()
    topic_filters: tuple[str, ...] = ()

    def has(self, report: Report) -> bool:
        """Whether a report is wanted."""
        if self.device_ids and report.device_id not in self.device_ids:
            return False
        return not self.topic_filters or _is_matched(_tree(self.topic_filters), report.topic)


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


@lru_cache(maxsize=256)
def _tree(topic_filters: tuple[str, ...]) -> _Tree:
    root: _Tree = {}
    for each in topic_filters:
        node = root
        for level in each.split("/"):
            node = node.setdefault(level, {})
        node[None] = {}
    return root


def _is_matched(root: _Tree, topic: str) -> bool:
    """Whether any of the filters matches: sections 4.7.1 and 4.7.2."""
    levels = topic.split("/")
    nodes = [root]
    if topic.startswith("$"):
        # No wildcard stands for such a level [MQTT-4.7.2-1].
        nodes = [root[levels.pop(0)]] if levels[0] in root else []
    for level in levels:
        if any("#" in node for node in nodes):
            return True
        nodes = [node[each] for node in nodes for each in (level, "+") if each in node]
    return any(None in node or "#" in node for node in nodes)
