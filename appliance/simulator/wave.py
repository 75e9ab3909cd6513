"""What a simulated device measures at a moment.

A curve is a few slow sines of co-prime periods and a little smooth noise, so it looks alive and never
jumps. It is a function of seed, device and moment alone: the same question has the same answer, in
every process. Without a fault, pressure stays within 40 to 54.
"""

from math import pi, sin

from appliance.instant import DAY_MS, MINUTE_MS, SECOND_MS
from appliance.simulator.model import Measurement, Scenario

FAULTY_DEVICE = 2
"""The place of the device whose pressure fails, counted from 0."""
FAULT_EVERY_MS = 4 * MINUTE_MS
FAULT_RISE = 27.0
"""How much higher pressure stands at the height of a fault; no healthy pressure is so low that it stays below 60."""
FAULT_ABOVE_MS = 45 * SECOND_MS
"""How long pressure stays at its height in a fault."""

_FAULT_CLIMB_MS = 8 * SECOND_MS
_FAULT_BEGINS_MS = 2 * SECOND_MS
_WORD = 0xFFFF_FFFF
_TURN = 2 * pi


def measure(seed: int, device: int, at: int, fault: float) -> Measurement:
    """What the device measures at a moment; `fault` (0 to 1) is how far its pressure has failed."""
    lane = _mixed(seed * 1_000_003 + device)
    healthy = 47 + 3 * _tide(lane, at) + 2.5 * _sway(lane + 1, at, 97) + 1.5 * _noise(lane + 2, at, 10)
    pressure = healthy + FAULT_RISE * fault
    # What presses more flows more; a fault that closes a valve lets less through.
    flow = 125 + 4 * (healthy - 47) + 6 * _sway(lane + 3, at, 61) + 2 * _noise(lane + 4, at, 10) - 70 * fault
    temperature = 16 + _share(lane + 5) * 5 + 1.5 * _sway(lane + 6, at, 1_801) + 0.2 * _noise(lane + 7, at, 20)
    battery = 99 - 35 * ((at / (20 * DAY_MS) + _share(lane + 8)) % 1)
    signal = -62 - 12 * _share(lane + 9) + 5 * _sway(lane + 10, at, 233) + 2 * _noise(lane + 11, at, 10)
    return Measurement(round(flow, 1), round(pressure, 1), round(temperature, 2), round(battery), round(signal))


def fault_of(scenario: Scenario, device: int, elapsed_ms: int) -> float:
    """How far the pressure of a device has failed, 0 to 1, this long after the simulation began.

    The first fault begins at once, so that a rule that asks for 20 s above 60 fires within 40 s.
    """
    if scenario is not Scenario.PRESSURE_FAULT or device != FAULTY_DEVICE:
        return 0.0
    since = elapsed_ms % FAULT_EVERY_MS - _FAULT_BEGINS_MS
    until = _FAULT_CLIMB_MS * 2 + FAULT_ABOVE_MS - since
    return _eased(min(since, until) / _FAULT_CLIMB_MS)


def _tide(lane: int, at: int) -> float:
    """-1 to 1 and back within a day, each device a little earlier or later."""
    return sin(_TURN * (at % DAY_MS / DAY_MS + _share(lane) / 12))


def _sway(lane: int, at: int, period_s: int) -> float:
    """-1 to 1 and back within the period, each device in a phase of its own."""
    period_ms = period_s * SECOND_MS
    return sin(_TURN * (at % period_ms / period_ms + _share(lane)))


def _noise(lane: int, at: int, every_s: int) -> float:
    """-1 to 1: chance at every lattice moment, eased in between."""
    step, rest = divmod(at, every_s * SECOND_MS)
    before = _share(lane * 31 + step)
    after = _share(lane * 31 + step + 1)
    return 2 * (before + (after - before) * _eased(rest / (every_s * SECOND_MS))) - 1


def _eased(share: float) -> float:
    """0 to 1 without corners; what lies outside is its nearer end."""
    share = min(max(share, 0.0), 1.0)
    return share * share * (3 - 2 * share)


def _share(number: int) -> float:
    """A number of 0 to 1 that looks like chance, the same for the same argument."""
    return _mixed(number) / _WORD


def _mixed(number: int) -> int:
    """32 bits in which every bit of the argument has its part."""
    number = (number ^ number >> 32) & _WORD
    number = (number ^ number >> 16) * 0x45D9F3B & _WORD
    number = (number ^ number >> 16) * 0x45D9F3B & _WORD
    return number ^ number >> 16
