"""When simulated devices publish, connect again and storm."""

from appliance.instant import MINUTE_MS
from appliance.simulator.model import Scenario

STORM_EVERY_MS = MINUTE_MS

_FIRST_PAUSE_MS = 500
_LONGEST_PAUSE_MS = 30_000
_DOUBLINGS = 6


def pause_ms(failure_count: int, choice: float) -> int:
    """How long to wait before connecting again after so many failures in a row.

    Doubles from half a second to half a minute. `choice` (0 to 1) takes up to half of it away, so that
    devices that were lost together do not come back together.
    """
    longest = min(_FIRST_PAUSE_MS << min(failure_count, _DOUBLINGS), _LONGEST_PAUSE_MS)
    return round(longest * (1 - choice / 2))


def storm_count(scenario: Scenario, elapsed_ms: int) -> int:
    """How many times all devices have lost their connection, this long after the simulation began."""
    return elapsed_ms // STORM_EVERY_MS if scenario is Scenario.STORM else 0


def due_s(message: int, device_count: int, rate: float) -> float:
    """When the message of this number is due, in seconds after the first.

    The devices take turns, so that at `rate` messages a second each they are spread over the interval.
    """
    return message / (device_count * rate)
