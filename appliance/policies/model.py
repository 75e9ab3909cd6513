"""The nouns of policies: statements, what they are about, whom they concern, and what was decided."""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from appliance.errors import InvalidInputError, NotFoundError


class UnknownPolicyError(NotFoundError):
    """This tenant has no policy of that name."""

    code = "unknown_policy"


class InvalidPolicyError(InvalidInputError):
    """The text is not a policy that can be kept; the message says which part of it, and why."""

    code = "invalid_policy"


class Effect(StrEnum):
    """What a statement does to what it is about."""

    ALLOW = "allow"
    DENY = "deny"


class Action(StrEnum):
    """What a device may do or not."""

    CONNECT = "connect"
    PUBLISH = "publish"
    RETAIN_PUBLISH = "retain-publish"
    SUBSCRIBE = "subscribe"
    RECEIVE = "receive"


class Kind(StrEnum):
    """How the text of a resource is read, and which actions it is about."""

    CLIENT_ID = "client_id"
    """One client identifier, for connect."""
    FILTER = "filter"
    """An MQTT topic filter, for every other action."""
    AWS_CLIENT = "client"
    """A client identifier in which `*` and `?` stand for others, for connect."""
    AWS_TOPIC = "topic"
    """A topic name in which `*` and `?` stand for others, for publish, retain-publish and receive."""
    AWS_TOPIC_FILTER = "topicfilter"
    """A topic filter in which `*` and `?` also stand for others, for subscribe."""
    ANY = "any"
    """Everything, for every action; its text is `*`."""


class Resource(msgspec.Struct, frozen=True):
    """Some client identifiers or topics. Its variables are those of its language."""

    kind: Kind
    text: str


class Comparison(StrEnum):
    """How a condition compares."""

    EQUALS = "StringEquals"
    NOT_EQUALS = "StringNotEquals"
    LIKE = "StringLike"
    NOT_LIKE = "StringNotLike"
    IS = "Bool"


class Condition(msgspec.Struct, frozen=True):
    """Something about the device that must hold: its `variable` compares to one of the values."""

    test: Comparison
    variable: str
    values: tuple[str, ...]


class Statement(msgspec.Struct, frozen=True):
    """One thing that devices may do, or may not."""

    effect: Effect
    actions: tuple[Action, ...]
    resources: tuple[Resource, ...]
    conditions: tuple[Condition, ...] = ()
    """All of them must hold."""
    sid: str = ""
    """What its writer calls it."""


class Document(msgspec.Struct, frozen=True):
    """What a policy says."""

    statements: tuple[Statement, ...]
    replaces_default: bool = False
    """Whether the default table does not count for the devices that it concerns."""


class Policy(msgspec.Struct, frozen=True):
    """A document with a name, and whom it concerns."""

    name: str
    document: Document
    types: tuple[str, ...] = ()
    """Device types, as the registry writes them."""
    devices: tuple[str, ...] = ()
    """Device ids, registered or not yet."""


class KeptPolicy(msgspec.Struct, frozen=True):
    """A policy as it is kept."""

    tenant_id: int
    policy: Policy
    changed_at: int


class Change(msgspec.Struct, frozen=True):
    """What a transaction did to a policy."""

    before: Policy | None
    """What it was in that transaction; None: there was none of its name."""
    after: Policy | None
    """What it is; None: it is gone."""


class Subject(msgspec.Struct, frozen=True):
    """What of a device its policy depends on."""

    device_id: str
    type: str = ""
    zone: str = ""
    serial_number: str = ""
    attributes: Mapping[str, str] = {}


class Source(msgspec.Struct, frozen=True):
    """Where a statement stands."""

    policy: str
    """The name of the policy; `DEFAULT_NAME` of the default table, `GATEWAY_NAME` for what no policy can change."""
    number: int
    """Its place there, from 1."""


DEFAULT_NAME = "default"
"""The policy of every device: the default table."""
GATEWAY_NAME = "gateway"
"""What no policy can change."""


class Verdict(msgspec.Struct, frozen=True):
    """Whether something may be done, which statement decides, and why in words."""

    is_allowed: bool
    reason: str
    source: Source | None = None
    """The statement that decides; None when none is about it."""
    resource: str = ""
    """What of the statement decides, its variables filled in."""
    is_too_costly: bool = False
    """Whether it is denied because to decide it would take too long."""
