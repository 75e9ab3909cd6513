"""The flights under way: commands that are written, or about to be, and that nobody has answered for yet."""

from appliance.commands.delivery.flight import Flight, Place
from appliance.commands.model import Command


class Flights:
    """Flights by device and command: of each command at most one."""

    def __init__(self) -> None:
        self._by_place: dict[Place, dict[int, Flight]] = {}

    def __len__(self) -> int:
        """How many there are."""
        return sum(map(len, self._by_place.values()))

    def all(self) -> list[Flight]:
        """Every one, as of now."""
        return [flight for flights in self._by_place.values() for flight in flights.values()]

    def to(self, place: Place) -> list[Flight]:
        """Those to a device, as of now."""
        return list(self._by_place.get(place, {}).values())

    def count_to(self, place: Place) -> int:
        """How many are under way to a device."""
        return len(self._by_place.get(place, ()))

    def of(self, command: Command) -> Flight | None:
        """The one of a command."""
        return self._by_place.get((command.tenant_id, command.device_id), {}).get(command.command_number)

    def add(self, flight: Flight) -> None:
        """Count one from now on, in place of an older one of the same command."""
        self._by_place.setdefault(flight.key.place, {})[flight.key.command_number] = flight

    def remove(self, flight: Flight) -> None:
        """Count one no longer; nothing happens where another has taken its place, or it was removed before."""
        flights = self._by_place.get(flight.key.place)
        if flights is not None and flights.get(flight.key.command_number) is flight:
            del flights[flight.key.command_number]
            if not flights:
                del self._by_place[flight.key.place]
