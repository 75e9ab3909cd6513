"""Devices that expect something: whom a command waits for on the disk, and who of them is to be looked at next."""

from collections.abc import Iterable

from appliance.commands.delivery.flight import Place


class Expecting:
    """Devices for whom something waits; it has each of them once, however often it is told of them."""

    def __init__(self) -> None:
        self._waiting: set[Place] = set()
        self._ready: dict[Place, None] = {}
        """Those that are to be looked at, in order."""
        self._reserved: set[Place] = set()
        """Those to whom something is just being offered that is written down along with it."""

    def __len__(self) -> int:
        """For how many something waits."""
        return len(self._waiting)

    def __contains__(self, place: Place) -> bool:
        """Whether something waits for a device."""
        return place in self._waiting

    def add(self, place: Place) -> None:
        """Something waits for a device; that alone has nobody look at it."""
        self._waiting.add(place)

    def remove(self, places: Iterable[Place]) -> None:
        """Nothing waits for these any more."""
        self._waiting.difference_update(places)

    @property
    def is_ready(self) -> bool:
        """Whether any device is to be looked at."""
        return bool(self._ready)

    def look_at(self, place: Place) -> None:
        """Have a device looked at, after those that are to be looked at already."""
        self._ready[place] = None

    def take(self, count: int) -> list[Place]:
        """Who is to be looked at next, so many at most: from now on they are not, unless it is said again."""
        taken = list(self._ready)[:count]
        for place in taken:
            del self._ready[place]
        return taken

    def is_reserved(self, place: Place) -> bool:
        """Whether a device may be offered nothing else for now."""
        return place in self._reserved

    def reserve(self, places: Iterable[Place]) -> None:
        """Have these offered nothing else until they are released."""
        self._reserved.update(places)

    def release(self, place: Place) -> None:
        """A device may be offered something else again."""
        self._reserved.discard(place)
