"""Topic names and topic filters: MQTT 3.1.1 and 5, sections 4.7 and 4.8."""

from collections.abc import Sequence

from broker.errors import ProtocolError
from broker.limits import Limits
from broker.reason_codes import ReasonCode

SHARED = "$share/"
_SHARED_LEVELS = 3
"""`$share`, the name, and at least one level of the filter."""


def check_name(name: str, limits: Limits) -> None:
    """Raise `ProtocolError` unless this is a topic name that a client may use."""
    if not name:
        raise ProtocolError(ReasonCode.TOPIC_NAME_INVALID, "empty topic name [MQTT-4.7.3-1]")
    if "+" in name or "#" in name:
        raise ProtocolError(ReasonCode.MALFORMED_PACKET, "a topic name with a wildcard [MQTT-3.3.2-2]")
    fault = _size_fault(name, limits)
    if fault:
        raise ProtocolError(ReasonCode.TOPIC_NAME_INVALID, fault)


def shared_parts(topic_filter: str) -> tuple[str, str]:
    """Split `$share/{name}/{filter}` [MQTT 5, 4.8.2]; the name is empty for every other filter."""
    if not topic_filter.startswith(SHARED):
        return "", topic_filter
    parts = topic_filter.split("/", _SHARED_LEVELS - 1)
    if len(parts) < _SHARED_LEVELS:
        return "", topic_filter
    return parts[1], parts[2]


def filter_fault(topic_filter: str, limits: Limits) -> str | None:
    """Say what is wrong with a topic filter, shared or not; None when nothing is [4.7.1]."""
    if topic_filter == SHARED[:-1] or topic_filter.startswith(SHARED):
        name, topic_filter = shared_parts(topic_filter)
        fault = _share_fault(name, limits)
        if fault is not None:
            return fault
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
    """Whether a topic name matches a valid filter [4.7]."""
    # Of every message for one client this is asked about some of its filters: levels are the last thing to look at.
    if "+" in topic_filter:
        return name.startswith(topic_filter.partition("+")[0]) and _match(topic_filter.split("/"), name.split("/"))
    if not topic_filter.endswith("#"):
        return topic_filter == name
    if topic_filter == "#":
        return not name.startswith("$")  # [MQTT-4.7.2-1]
    # It matches what stands before the wildcard, too [4.7.1.2].
    before = topic_filter[:-2]
    return name.startswith(before) and name[len(before) : len(before) + 1] in ("", "/")


def _match(levels: Sequence[str], names: Sequence[str]) -> bool:
    """Whether the levels of a name match those of a filter with a `+`."""
    if levels[0] == "+" and names[0].startswith("$"):
        return False  # [MQTT-4.7.2-1]
    for index, level in enumerate(levels):
        if level == "#":
            return True
        if index >= len(names) or level not in ("+", names[index]):
            return False
    return len(levels) == len(names)


def _share_fault(name: str, limits: Limits) -> str | None:
    if not name:
        return "a shared subscription is written $share/{name}/{filter} [MQTT-4.8.2-1]"
    if "+" in name or "#" in name:
        return "the name of a shared subscription has no wildcard [MQTT-4.8.2-2]"
    if len(name.encode()) > limits.topic_bytes:
        return f"the name of a shared subscription has more than {limits.topic_bytes:,} bytes"
    return None


def _size_fault(text: str, limits: Limits) -> str | None:
    size = len(text.encode())
    if size > limits.topic_bytes:
        return f"a topic of {size:,} bytes, at most {limits.topic_bytes:,} are taken"
    levels = text.count("/") + 1
    if levels > limits.topic_levels:
        return f"a topic of {levels} levels, at most {limits.topic_levels} are taken"
    return None
