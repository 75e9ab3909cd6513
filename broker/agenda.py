"""Who has to be looked at when. To find those who are due costs what there is of them, not what there is to come."""

from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Agenda(Generic[K]):
    """Slots of time, each with those who are due in it. Whoever is expected again is moved, and never in two slots."""

    def __init__(self, slot_s: float) -> None:
        """`slot_s` is how exactly a time is kept: nobody is due before their time, nor more than this after it."""
        self._slot_s = slot_s
        self._slots: dict[int, dict[K, None]] = {}
        self._slot_of: dict[K, int] = {}
        self._opened = -1
        """The last slot that was looked into: what is expected for it, or one before, goes into the next."""

    def __len__(self) -> int:
        """Count those who are expected."""
        return len(self._slot_of)

    def expect(self, one: K, at: float) -> None:
        """Look at one once it is later than `at`, in seconds since any beginning, and not before."""
        self.forget(one)
        number = self._slot_of[one] = max(int(at / self._slot_s), self._opened) + 1
        self._slots.setdefault(number, {})[one] = None

    def forget(self, one: K) -> None:
        """Expect one no more."""
        number = self._slot_of.pop(one, None)
        if number is not None:
            slot = self._slots[number]
            del slot[one]
            if not slot:
                del self._slots[number]

    def due(self, now: float) -> list[K]:
        """Those whose time has come, who are expected no more."""
        opened = int(now / self._slot_s)
        if opened <= self._opened:
            return []
        # After a long sleep there are more numbers between than there are slots.
        wide = opened - self._opened > len(self._slots)
        numbers = sorted(self._slots) if wide else range(self._opened + 1, opened + 1)
        self._opened = opened
        found = [one for number in numbers if number <= opened for one in self._slots.pop(number, ())]
        for one in found:
            del self._slot_of[one]
        return found
