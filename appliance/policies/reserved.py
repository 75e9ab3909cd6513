"""What no policy can give to a device: the topics of the gateway itself, and names that would widen a filter."""

from appliance.policies.containment import Pattern
from appliance.policies.default import TABLE
from appliance.policies.heard import is_heard
from appliance.policies.model import Action

REQUESTS = (
    *(
        text.replace("{device_id}", "+")
        for actions, text in TABLE
        if text.startswith("$") and Action.PUBLISH in actions
    ),
    "$aws/certificates/create/json",
    "$aws/certificates/create/cbor",
    "$aws/certificates/create-from-csr/json",
    "$aws/certificates/create-from-csr/cbor",
    "$aws/provisioning-templates/+/provision/json",
    "$aws/provisioning-templates/+/provision/cbor",
    "$aws/rules/+/#",
)
"""The topics under `$` that a device may publish to, if a policy lets it: what it asks for, never answers."""

_REQUESTS = tuple(Pattern(text) for text in REQUESTS)
_HEARD = ("$aws/", "$headworks/devices/")


def reserve(action: Action, wish: str) -> str | None:
    """None when a policy may decide, else why no policy can allow it."""
    match action:
        case Action.CONNECT:
            return _reserve_client_id(wish)
        case Action.SUBSCRIBE:
            # It is valid for the broker: wildcards stand where they may.
            return _reserve_filter(wish) if wish else "an empty topic filter matches nothing"
        case Action.PUBLISH | Action.RETAIN_PUBLISH | Action.RECEIVE:
            if not wish or "+" in wish or "#" in wish:
                return f"{wish!r} is not a topic name: it is empty or holds a wildcard"
            return _reserve_heard(wish) if action is Action.RECEIVE else _reserve_said(action, wish)


def _reserve_client_id(client_id: str) -> str | None:
    if not client_id or client_id.startswith("$") or any(sign in client_id for sign in "/+#"):
        return f"client id {client_id[:140]!r} is empty, begins with $, or holds one of / + #"
    return None


def _reserve_filter(topic_filter: str) -> str | None:
    if not topic_filter.startswith(_HEARD) or is_heard(topic_filter):
        return _reserve_heard(topic_filter)
    return (
        f"{topic_filter!r} matches no topic that the gateway ever publishes to: docs/reference/policies.md lists them"
    )


def _reserve_heard(topic: str) -> str | None:
    if topic.startswith("$") and not topic.startswith(_HEARD):
        return f"{topic!r} begins with $: of those only the topics under {' and '.join(_HEARD)} are for devices"
    return None


def _reserve_said(action: Action, topic: str) -> str | None:
    if not topic.startswith("$"):
        return None
    if action is Action.RETAIN_PUBLISH:
        return f"{topic!r} begins with $: nothing is retained there"
    if not any(request.matches(topic) for request in _REQUESTS):
        return f"{topic!r} begins with $ and is no request that devices make: only the gateway publishes there"
    return None
