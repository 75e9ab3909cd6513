"""What a device may do, by the policies of its tenant, and what whoever operates the gateway may."""

from collections.abc import Callable

from appliance.policies.book import PolicyBook, concerns
from appliance.policies.model import Action
from appliance.registry.model import Device

Judge = Callable[[PolicyBook, Device, str], str | None]
"""Says None when a device may do something, else why not."""

__all__ = [
    "Judge",
    "concerns",
    "may_connect",
    "may_operator_publish",
    "may_publish",
    "may_receive",
    "may_retain",
    "may_subscribe",
]


def may_connect(policies: PolicyBook, device: Device, client_id: str) -> str | None:
    """None when the device may connect under this client identifier, else why not."""
    return policies.refusal(device, Action.CONNECT, client_id)


def may_publish(policies: PolicyBook, device: Device, topic: str) -> str | None:
    """None when the device may publish to this topic name, else why not."""
    return policies.refusal(device, Action.PUBLISH, topic)


def may_subscribe(policies: PolicyBook, device: Device, topic_filter: str) -> str | None:
    """None when the device may be sent whatever this topic filter can match, else why not."""
    return policies.refusal(device, Action.SUBSCRIBE, topic_filter)


def may_receive(policies: PolicyBook, device: Device, topic: str) -> str | None:
    """None when the device may be sent messages of this topic name, else why not."""
    return policies.refusal(device, Action.RECEIVE, topic)


def may_retain(policies: PolicyBook, device: Device, topic: str) -> str | None:
    """None when the device may leave a retained message at this topic name, else why not."""
    return policies.refusal(device, Action.RETAIN_PUBLISH, topic)


def may_operator_publish(topic: str) -> str | None:
    """None when whoever operates the gateway may publish to this topic name, else why not."""
    # What begins with $ is the server's own [MQTT-4.7.2-1].
    return f"{topic!r} begins with $: only the gateway itself publishes there" if topic.startswith("$") else None
