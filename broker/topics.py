"""Topic names, topic filters, and the subscription tree: MQTT 3.1.1, section 4.7.

Filters without a wildcard, which are nearly all, lie in a dictionary; the others in a tree of their
levels. `version` grows with every change, so that whoever remembers a match knows when it is stale.
"""

from collections.abc import Iterator
from typing import Generic, TypeVar

from broker.errors import ProtocolError
from broker.limits import Limits
from broker.reason_codes import ReasonCode

S = TypeVar("S")

SHARED = "$share/"


def check_name(name: str, limits: Limits) -> None:
    """Raise `ProtocolError` unless this is a topic name that a client may use."""
    if not name:
        raise ProtocolError(ReasonCode.TOPIC_NAME_INVALID, "empty topic name [MQTT-4.7.3-1]")
    if "+" in name or "#" in name:
        raise ProtocolError(ReasonCode.TOPIC_NAME_INVALID, "a topic name with a wildcard [MQTT-3.3.2-2]")
    fault = _size_fault(name, limits)
    if fault:
        raise ProtocolError(ReasonCode.TOPIC_NAME_INVALID, fault)


def filter_fault(topic_filter: str, limits: Limits) -> str | None:
    """Say what is wrong with a topic filter; None when nothing is [4.7.1]."""
    if not topic_filter:
        return "empty topic filter [MQTT-4.7.3-1]"
    levels = topic_filter.split("/")
    for level in levels:
        if len(level) > 1 and ("+" in level or "#" in level):
            return "a wildcard must fill its level [MQTT-4.7.1-2], [MQTT-4.7.1-3]"
    if "#" in levels[:-1]:
        return "the wildcard # must be the last level [MQTT-4.7.1-2]"
    return _size_fault(topic_filter, limits)


def matches(topic_filter: str, name: str) -> bool:
    """Whether a topic name matches a valid filter. The plain statement of section 4.7."""
    levels, names = topic_filter.split("/"), name.split("/")
    if name.startswith("$") and levels[0] in ("+", "#"):
        return False  # [MQTT-4.7.2-1]
    for index, level in enumerate(levels):
        if level == "#":
            return True
        if index >= len(names) or level not in ("+", names[index]):
            return False
    return len(levels) == len(names)


def _size_fault(text: str, limits: Limits) -> str | None:
    size = len(text.encode())
    if size > limits.topic_bytes:
        return f"a topic of {size:,} bytes, at most {limits.topic_bytes:,} are taken"
    levels = text.count("/") + 1
    if levels > limits.topic_levels:
        return f"a topic of {levels} levels, at most {limits.topic_levels} are taken"
    return None


class _Level(Generic[S]):
    """One level of the filters with wildcards."""

    __slots__ = ("below", "subscribers")

    def __init__(self) -> None:
        self.below: dict[str, _Level[S]] = {}
        self.subscribers: dict[S, int] = {}


class SubscriptionTree(Generic[S]):
    """Which subscriber wants which topics, with the highest QoS each filter was granted."""

    def __init__(self) -> None:
        self._exact: dict[str, dict[S, int]] = {}
        self._root: _Level[S] = _Level()
        self.version = 0

    def add(self, topic_filter: str, subscriber: S, qos: int) -> None:
        """Subscribe, or replace the QoS of the same subscription [MQTT-3.8.4-3]."""
        self.version += 1
        if not _has_wildcard(topic_filter):
            self._exact.setdefault(topic_filter, {})[subscriber] = qos
            return
        level = self._root
        for name in topic_filter.split("/"):
            level = level.below.setdefault(name, _Level())
        level.subscribers[subscriber] = qos

    def remove(self, topic_filter: str, subscriber: S) -> None:
        """Unsubscribe; nothing happens when there is no such subscription."""
        self.version += 1
        if _has_wildcard(topic_filter):
            _prune(self._root, topic_filter.split("/"), subscriber)
            return
        subscribers = self._exact.get(topic_filter)
        if subscribers is not None:
            subscribers.pop(subscriber, None)
            if not subscribers:
                del self._exact[topic_filter]

    def match(self, name: str) -> tuple[tuple[S, int], ...]:
        """Everyone who wants this topic name, once each, with the highest QoS among their filters."""
        exact = self._exact.get(name)
        if not self._root.below:
            return tuple(exact.items()) if exact else ()
        found: dict[S, int] = dict(exact) if exact else {}
        for subscribers in self._wildcard_matches(name):
            for subscriber, qos in subscribers.items():
                if found.get(subscriber, -1) < qos:
                    found[subscriber] = qos
        return tuple(found.items())

    @property
    def is_empty(self) -> bool:
        """Whether nobody is subscribed to anything."""
        return not self._exact and not self._root.below

    def _wildcard_matches(self, name: str) -> Iterator[dict[S, int]]:
        levels = name.split("/")
        # A stack instead of recursion: its depth is the client's choice.
        waiting = [(self._root, 0)]
        while waiting:
            level, depth = waiting.pop()
            # A wildcard in the first level does not match names that begin with $ [MQTT-4.7.2-1].
            wildcards_count = depth > 0 or not name.startswith("$")
            if wildcards_count and (rest := level.below.get("#")) is not None:
                yield rest.subscribers
            if depth == len(levels):
                yield level.subscribers
                continue
            if (same := level.below.get(levels[depth])) is not None:
                waiting.append((same, depth + 1))
            if wildcards_count and (any_name := level.below.get("+")) is not None:
                waiting.append((any_name, depth + 1))


def _prune(root: _Level[S], names: list[str], subscriber: S) -> None:
    """Remove a subscriber from the end of a path, and levels that nobody needs any more."""
    path = [root]
    for name in names:
        below = path[-1].below.get(name)
        if below is None:
            return
        path.append(below)
    path[-1].subscribers.pop(subscriber, None)
    for name in reversed(names):
        level = path.pop()
        if level.subscribers or level.below:
            return
        del path[-1].below[name]


def _has_wildcard(topic_filter: str) -> bool:
    return "+" in topic_filter or "#" in topic_filter
