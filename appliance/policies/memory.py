"""What is remembered of decisions, within bounds: what is used stays, what is not goes.

Everything lies in two generations. When the young one is full it becomes the old one, and what was the old one is
forgotten; what is asked for in the old one moves to the young one. A device has two generations of its own within
those of its tenant, so that whatever it asks, it fills its own share and nobody else's.
"""

from typing import Generic, TypeVar

from appliance.policies.model import Action

K = TypeVar("K")
V = TypeVar("V")

DEVICE_LIMIT = 128
"""Decisions in one generation of one device: a device has few topics, and those it goes on using stay."""


class Generations(Generic[K, V]):
    """A dictionary of at most twice as many entries as one generation has."""

    __slots__ = ("_old", "_young", "limit")

    def __init__(self, limit: int) -> None:
        """`limit` is the size of one generation."""
        self.limit = limit
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}

    def __len__(self) -> int:
        """Count the entries."""
        return len(self._young) + len(self._old)

    def get(self, key: K) -> V | None:
        """What is remembered; None when it is not, or not any more."""
        found = self._young.get(key)
        if found is None:
            found = self._old.pop(key, None)
            if found is not None:
                self.put(key, found)
        return found

    def put(self, key: K, value: V) -> None:
        """Remember it, in place of what was remembered by this key."""
        if len(self._young) >= self.limit and key not in self._young:
            self._old, self._young = self._young, {}
        self._old.pop(key, None)
        self._young[key] = value


Question = tuple[Action, str]
"""What is to be done, and to what."""


class OfDevice:
    """What was decided for one device as it is."""

    __slots__ = ("device", "old", "young")

    def __init__(self, device: object) -> None:
        self.device = device
        self.young: dict[Question, str | None] = {}
        self.old: dict[Question, str | None] = {}

    def __len__(self) -> int:
        """Count the decisions."""
        return len(self.young) + len(self.old)


class Decisions:
    """The decisions of one tenant: None for what is allowed, else why it is not."""

    __slots__ = ("_old", "_young", "_young_size", "limit")

    def __init__(self, limit: int) -> None:
        """`limit` is how much one generation holds: decisions, and the devices that they are about."""
        self.limit = limit
        self._young: dict[str, OfDevice] = {}
        self._old: dict[str, OfDevice] = {}
        self._young_size = 0

    def __len__(self) -> int:
        """Count the decisions."""
        return sum(map(len, (*self._young.values(), *self._old.values())))

    def of(self, device_id: str, device: object) -> OfDevice:
        """What was decided for a device; nothing, when another one has taken its place."""
        known = self._young.get(device_id)
        if known is not None and known.device is device:
            return known
        return self._taken_up(device_id, device)

    def recall(self, known: OfDevice, question: Question) -> bool:
        """Have a decision among the young ones of a device that `of` has just given; whether there is one."""
        if question in known.old:
            refusal = known.old.pop(question)
            self._young_size -= 1
            self.remember(known, question, refusal)
            return True
        return question in known.young

    def remember(self, known: OfDevice, question: Question, refusal: str | None) -> None:
        """Keep a decision for a device that `of` has just given."""
        if len(known.young) >= DEVICE_LIMIT:
            self._young_size -= len(known.old)
            known.old, known.young = known.young, {}
        known.young[question] = refusal
        self._young_size += 1
        if self._young_size > self.limit:
            self._grow_old()

    def _taken_up(self, device_id: str, device: object) -> OfDevice:
        """Have what is known of a device in the young generation."""
        before = self._young.pop(device_id, None)
        if before is not None:
            self._young_size -= len(before) + 1
        known = self._old.pop(device_id, None)
        if known is None or known.device is not device:
            known = OfDevice(device)
        size = len(known) + 1
        if self._young_size + size > self.limit:
            self._grow_old()
        self._young[device_id] = known
        self._young_size += size
        return known

    def _grow_old(self) -> None:
        self._old, self._young, self._young_size = self._young, {}, 0
