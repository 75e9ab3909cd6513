"""Readings as sensors give them: random walks, the same each time, at moments that are not quite regular."""

import random

METRICS = ("flowRate", "humidity", "pressure", "temperature", "vibration")
INTERVAL_MS = 5_000
JITTER_MS = 100
SPREAD_MS = 4_000
"""Devices do not all measure at the same moment."""
_START = 500.0


class Walk:
    """One device. Its metrics go by one step at most, of a tenth or of one; or all are doubles of full precision."""

    __slots__ = ("_chance", "_is_full", "_offset_ms", "_places")

    def __init__(self, device: int, *, is_full: bool) -> None:
        self._chance = random.Random(device)  # noqa: S311  the same walk each time, not a secret
        self._is_full = is_full
        self._offset_ms = self._chance.randrange(SPREAD_MS)
        self._places = [_START] * len(METRICS)

    def step(self, at: int) -> tuple[int, tuple[float | int, ...]]:
        """The moment of a measurement that was due at `at` (UTC milliseconds), and its value of each metric."""
        chance = self._chance
        moment = at + self._offset_ms + chance.randrange(2 * JITTER_MS)
        places = self._places
        if self._is_full:
            self._places = [place + chance.gauss(0, 1) for place in places]
            return moment, tuple(self._places)
        flow, humidity, pressure, temperature, vibration = self._places = [
            place + chance.randrange(-1, 2) for place in places
        ]
        return moment, (flow / 10, int(humidity), pressure / 10, temperature / 10, vibration / 10)
