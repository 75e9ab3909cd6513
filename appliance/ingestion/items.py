"""What waits to be decided: messages as they came, and reports of usual messages, which are read at once.

A message that waits until its batch is full has left the processor's cache by then, with all its bytes. Read as soon as
it comes, it is still there, and what waits is a row of some hundred bytes instead.
"""

import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

from appliance.ingestion.usual import Told
from appliance.telemetry.model import TimeSource
from appliance.telemetry.sheaf import Sheaf
from broker.message import Message

log = logging.getLogger(__name__)

Read = tuple[Message, Told | None]
"""A message, and what it tells if it is usual."""

Item = Message | Read | Sheaf
"""A message that was not read; one that was; or reports of a tenant, each of a message, which came one after the other.
"""


class Items(NamedTuple):
    """The messages of a turn, in their order."""

    items: Sequence[Item]
    messages: Sequence[Message]
    """Those that are kept whole."""


EARLY_BYTES = 4_096
EARLY_MESSAGES = 512
"""Larger messages, and more in one go, would keep the loop from its turn: they are read when they are decided."""

KEPT_VALUES = 16
"""More that are not packed would take many times the memory of their message: it is read again when it is decided."""
FEW = 4
"""So many messages are worth a sheaf of their own."""

_DEVICE = TimeSource.DEVICE


def unread(messages: Sequence[Message]) -> Items:
    """Messages as they came."""
    return Items(messages, messages)


def read(messages: Sequence[Message], told_of: Callable[[Message], Told | None]) -> Items:
    """What messages tell; those are kept that are not usual, or that alone tell what came twice."""
    items: list[Item] = []
    kept: list[Message] = []
    sheaf: Sheaf | None = None
    is_few = len(messages) < FEW
    for message in messages[:EARLY_MESSAGES]:
        item: Message | Read = message
        told = None
        try:
            if len(message.payload) <= EARLY_BYTES:
                told = told_of(message)
                if told is None or len(told.values) <= KEPT_VALUES:
                    item = message, told
        except Exception:  # one bad message stops nobody: it is looked at again, and then somebody is told
            log.exception("message not read tenant_id=%s", message.tenant_id)
        if is_few or told is None or told.shape is None or told.time_source is not _DEVICE:
            items.append(item)
        else:
            if sheaf is None or sheaf.tenant_id != message.tenant_id:
                sheaf = Sheaf(message.tenant_id)
                items.append(sheaf)
            sheaf.add(told.device_id, told.topic, told.client_id, _DEVICE, told.shape, told.packed)
            continue
        kept.append(message)
        sheaf = None
    late = messages[EARLY_MESSAGES:]
    return Items([*items, *late], [*kept, *late]) if late else Items(items, kept)
