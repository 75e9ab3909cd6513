"""What a device may do: the default policy, and how a wish is judged against it.

Everything that no statement allows is denied. A topic filter is judged by containment: it is allowed
when every topic it could match is allowed, so `cmd/+/x` is denied though it also matches own topics.
What a device may be sent is what it may subscribe to: it is judged again for every topic, because
queues outlive subscriptions and rights.
"""

from enum import StrEnum
from functools import lru_cache

import msgspec

from appliance.registry.model import check_device_id


class Action(StrEnum):
    """What a statement allows."""

    CONNECT = "connect"
    PUBLISH = "publish"
    SUBSCRIBE = "subscribe"


class Statement(msgspec.Struct, frozen=True):
    """One thing that a device may do. `{device_id}` stands for its own name."""

    action: Action
    resource: str
    """A client identifier for `connect`, a topic filter otherwise."""


DEFAULT_POLICY = (
    Statement(Action.CONNECT, "{device_id}"),
    Statement(Action.PUBLISH, "sensors/{device_id}/#"),
    Statement(Action.PUBLISH, "cmd/{device_id}/response/#"),
    Statement(Action.PUBLISH, "fw/{device_id}/status"),
    Statement(Action.SUBSCRIBE, "cmd/{device_id}/#"),
    Statement(Action.SUBSCRIBE, "fw/{device_id}/offer"),
)

_Levels = tuple[str, ...]


def may_connect(device_id: str, client_id: str) -> str | None:
    """None when the device may connect under this client identifier, else why not."""
    allowed = {"/".join(levels) for levels in _resources(Action.CONNECT, device_id)}
    if client_id in allowed:
        return None
    return f"client id {client_id!r} is not the device's: {device_id} connects as {', '.join(sorted(allowed))}"


def may_publish(device_id: str, topic: str) -> str | None:
    """None when the device may publish to this topic name, else why not.

    Raises `InvalidDeviceIdError` for a name that no device can have.
    """
    if "+" in topic or "#" in topic:
        return f"{topic!r} is not a topic name: it holds a wildcard"
    return _judge(Action.PUBLISH, device_id, topic)


def may_subscribe(device_id: str, topic_filter: str) -> str | None:
    """None when the device may receive whatever this topic filter can match, else why not.

    Raises `InvalidDeviceIdError` for a name that no device can have.
    """
    return _judge(Action.SUBSCRIBE, device_id, topic_filter)


def may_receive(device_id: str, topic: str) -> str | None:
    """None when the device may be sent messages of this topic name, else why not.

    Raises `InvalidDeviceIdError` for a name that no device can have.
    """
    refusal = _judge(Action.SUBSCRIBE, device_id, topic)
    return f"{device_id} may not be sent messages of {topic!r}: {refusal}" if refusal else None


def may_operator_publish(topic: str) -> str | None:
    """None when whoever operates the gateway may publish to this topic name, else why not."""
    # What begins with $ is the server's own [MQTT-4.7.2-1].
    return f"{topic!r} begins with $: only the gateway itself publishes there" if topic.startswith("$") else None


def contains(resource: str, topic_filter: str) -> bool:
    """Whether every topic that `topic_filter` matches is also matched by `resource` (MQTT 3.1.1, 4.7.1)."""
    return _contains(tuple(resource.split("/")), topic_filter.split("/"))


def _judge(action: Action, device_id: str, wish: str) -> str | None:
    levels = wish.split("/")
    resources = _resources(action, device_id)
    for resource in resources:
        if _contains(resource, levels):
            return None
    allowed = ", ".join("/".join(resource) for resource in resources)
    return f"no statement lets {device_id} {action} {_preposition(action)} {wish!r}; it may {action}: {allowed}"


def _preposition(action: Action) -> str:
    return "with client id" if action is Action.CONNECT else "to"


def _contains(resource: _Levels, wish: list[str]) -> bool:
    for position, level in enumerate(resource):
        if level == "#":
            # Also the parent: `a/#` matches `a`. What follows in the wish can only be narrower.
            return True
        if position >= len(wish) or wish[position] == "#":
            return False
        if level not in ("+", wish[position]):
            return False
    return len(wish) == len(resource)


# A device publishes under the same few statements all its life.
@lru_cache(maxsize=32_768)
def _resources(action: Action, device_id: str) -> tuple[_Levels, ...]:
    check_device_id(device_id)
    return tuple(
        tuple(statement.resource.replace("{device_id}", device_id).split("/"))
        for statement in DEFAULT_POLICY
        if statement.action is action
    )
