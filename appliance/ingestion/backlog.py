"""What the broker handed over and nobody has committed: whole turns, in order, bounded.

A turn is atomic: what it changes belongs to its messages and to its acknowledgements, so it is
committed whole or not at all.
"""

from collections import Counter, deque
from collections.abc import Mapping, Sequence

import msgspec

from appliance.ingestion.items import Item, Items
from appliance.ingestion.model import is_waited_for
from appliance.telemetry.sheaf import Sheaf
from broker.changes import Change, ChangeKey, DeliveryKept, RetainedKept
from broker.message import Message
from broker.ports import Turn

BYTES_LIMIT = 33_554_432
"""Of payloads that wait; a few large messages must not fill the memory that many small ones may have."""
BATCH_BYTES = 2_097_152
"""Of payloads in a batch: one that holds so many is full, for what is decoded takes many times the memory."""
SHEAF_BYTES = 2_048
"""What a sheaf takes besides what is packed in it."""
TOLD_BYTES = 512
"""What a message tells, where it waits beside its message."""
CHANGES_PER_MESSAGE = 16
"""So many changes weigh as much as one message."""


class Batch(msgspec.Struct, frozen=True):
    """Some turns as one: what is committed together."""

    items: Sequence[Item]
    changes: dict[ChangeKey, Change]
    """Each row once, as the last of the turns left it."""
    receipts: Sequence[object]
    arrived_at: int | None
    """When the oldest of the turns came, UTC milliseconds; None when there is no turn in it."""
    waits: Mapping[int, int]
    """How many of its messages came at which moment, UTC milliseconds."""
    payload_bytes: int = 0
    """As the backlog counts them."""

    @property
    def message_count(self) -> int:
        """How many messages it has."""
        return sum(self.waits.values())

    @property
    def messages(self) -> Sequence[Message]:
        """Those of its messages that were kept."""
        return [item if isinstance(item, Message) else item[0] for item in self.items if not isinstance(item, Sheaf)]


class _Waiting(msgspec.Struct, frozen=True):
    items: Sequence[Item]
    changes: Mapping[ChangeKey, Change]
    receipts: Sequence[object]
    arrived_at: int
    waits: Mapping[int, int]
    message_count: int
    weight: int
    payload_bytes: int
    is_asking: bool


class Backlog:
    """Turns in the order in which they came. Weights are in messages."""

    def __init__(self, limit: int) -> None:
        self.weight = 0
        self.message_count = 0
        self.asked_at: int | None = None
        """When the oldest turn came to which somebody waits for an answer; None when there is none."""
        self._payload_bytes = 0
        self._limit = limit
        self._begun: list[_Waiting] = []
        """Those in hand."""
        self._begun_weight = self._begun_bytes = 0
        self._waiting: deque[_Waiting] = deque()

    def __len__(self) -> int:
        """Count the turns."""
        return len(self._begun) + len(self._waiting)

    @property
    def oldest_at(self) -> int | None:
        """When the oldest turn came; None when there is none."""
        oldest = self._begun or self._waiting
        return oldest[0].arrived_at if oldest else None

    @property
    def waiting_weight(self) -> int:
        """What weigh those that are not in hand."""
        return self.weight - self._begun_weight

    def add(self, turn: Turn, now: int, told: Items) -> None:
        """Put a turn behind the others, with what its messages tell."""
        count = len(turn.messages)
        items, messages = told
        # A turn that only waits for those before it weighs something too: their number is bounded as well.
        weight = max(1, count + len(turn.changes) // CHANGES_PER_MESSAGE)
        size = _payload_bytes(messages, turn.changes)
        size += sum([SHEAF_BYTES + item.packed_bytes for item in items if isinstance(item, Sheaf)])
        size += TOLD_BYTES * sum([isinstance(item, tuple) and item[1] is not None for item in items])
        is_asking = any(is_waited_for(message.topic) for message in messages)
        waits = Counter([message.arrived_at for message in turn.messages])
        waiting = _Waiting(items, turn.changes, turn.receipts, now, waits, count, weight, size, is_asking)
        self._waiting.append(waiting)
        self._count(waiting, 1)
        if is_asking and self.asked_at is None:
            self.asked_at = now

    def begin(self, weight: int, batch_weight: int) -> list[Item]:
        """Take the next turns in hand, until they weigh so much or are enough for a batch: their items.

        All in hand are enough for one when they weigh so much, have too many bytes or none is left.
        """
        items: list[Item] = []
        wanted = min(self._begun_weight + weight, batch_weight)
        while self._waiting and self._begun_weight < wanted and self._begun_bytes < BATCH_BYTES:
            waiting = self._waiting.popleft()
            self._begun.append(waiting)
            self._begun_weight += waiting.weight
            self._begun_bytes += waiting.payload_bytes
            items += waiting.items
        return items

    def take(self) -> Batch:
        """Take out the turns in hand."""
        items: list[Item] = []
        waits = Counter[int]()
        changes: dict[ChangeKey, Change] = {}
        receipts: list[object] = []
        for begun in self._begun:
            self._count(begun, -1)
            items += begun.items
            waits.update(begun.waits)
            changes |= begun.changes
            receipts += begun.receipts
        arrived_at = self._begun[0].arrived_at if self._begun else None
        batch = Batch(items, changes, receipts, arrived_at, waits, self._begun_bytes)
        self._begun = []
        self._begun_weight = self._begun_bytes = 0
        self.asked_at = next((waiting.arrived_at for waiting in self._waiting if waiting.is_asking), None)
        return batch

    def is_batch(self, weight: int) -> bool:
        """Whether there are enough for a batch of such a weight, or for one of the most bytes."""
        return self.weight >= weight or self._payload_bytes >= BATCH_BYTES

    def is_filled(self, part: int) -> bool:
        """Whether it has reached this part of what it may hold: 1 is all of it, 2 is half."""
        return self.weight * part >= self._limit or self._payload_bytes * part >= BYTES_LIMIT

    def _count(self, waiting: _Waiting, sign: int) -> None:
        self.weight += sign * waiting.weight
        self.message_count += sign * waiting.message_count
        self._payload_bytes += sign * waiting.payload_bytes


def _payload_bytes(messages: Sequence[Message], changes: Mapping[ChangeKey, Change]) -> int:
    """Bytes of the payloads that a turn keeps in memory, each message once."""
    size = sum([len(message.payload) for message in messages])
    if not changes:
        return size
    # A message that only waits or is retained is not among those of the turn when the owner published it.
    counted = set(map(id, messages))
    for change in changes.values():
        match change:
            case DeliveryKept():
                message = change.delivery.message
            case RetainedKept():
                message = change.message
            case _:
                continue
        if id(message) not in counted:
            counted.add(id(message))
            size += len(message.payload)
    return size
