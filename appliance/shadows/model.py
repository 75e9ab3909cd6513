"""The nouns of shadows: what is asked of one, what is kept of it, and what was."""

import re
from enum import StrEnum
from typing import Any

import msgspec

from appliance.errors import NotFoundError
from appliance.shadows.delta import delta_of

Section = dict[str, Any]
"""An object of JSON, as `desired` and `reported` are; null stands nowhere in it."""

NAME = re.compile(r"[$a-zA-Z0-9:_-]{1,64}", re.ASCII)
DEVICE_ID = re.compile(r"[a-zA-Z0-9:_-]{1,128}", re.ASCII)

OK = 200


class BeforeHistoryError(NotFoundError):
    """What a shadow was at that moment is not known any more: its history begins later."""

    code = "before_history"


class Verb(StrEnum):
    """What can be asked of a shadow, by the topic's own words."""

    GET = "get"
    UPDATE = "update"
    DELETE = "delete"


class Address(msgspec.Struct, frozen=True):
    """Which shadow is asked for what."""

    device_id: str
    name: str
    """Empty for the classic shadow."""
    verb: Verb


class Answer(msgspec.Struct, frozen=True):
    """What whoever asked is told: 200 or the code of a refusal, and its JSON."""

    code: int
    payload: bytes

    @property
    def is_accepted(self) -> bool:
        """Whether it was done."""
        return self.code == OK


class Shadow(msgspec.Struct, frozen=True):
    """A shadow that is there."""

    device_id: str
    name: str
    """Empty for the classic shadow."""
    version: int
    desired: Section | None
    reported: Section | None
    metadata: Section
    """Mirrors `desired` and `reported`: each leaf has the second of its last change."""
    updated_at: int
    """UTC milliseconds."""

    @property
    def delta(self) -> Section | None:
        """What is desired and not reported so; None when nothing is."""
        return delta_of(self.desired, self.reported)


class ShadowSummary(msgspec.Struct, frozen=True):
    """A named shadow in a list."""

    name: str
    version: int
    updated_at: int
    """UTC milliseconds."""
    has_delta: bool


class ChangeKind(StrEnum):
    """What was done to a shadow."""

    UPDATED = "updated"
    DELETED = "deleted"


class ShadowChange(msgspec.Struct, frozen=True):
    """One change of a shadow, and what came of it."""

    version: int
    """After the change."""
    at: int
    """UTC milliseconds; never before that of the change before."""
    author: str
    """For example `device pump` or `user maria`."""
    kind: ChangeKind
    patch: Section
    """The `state` that was asked for, nulls included; empty for a deletion."""
    desired: Section | None
    """After the change."""
    reported: Section | None
    """After the change."""
    desired_before: Section | None
    reported_before: Section | None


class ShadowChanged(msgspec.Struct, frozen=True):
    """A shadow was changed or deleted: it is on the disk."""

    tenant_id: int
    device_id: str
    name: str
    """Empty for the classic shadow."""
