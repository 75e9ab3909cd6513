from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.instant import DAY_MS, SECOND_MS
from appliance.simulator.model import Scenario
from appliance.simulator.wave import FAULT_EVERY_MS, FAULTY_DEVICE, fault_of, measure

seeds = st.integers(0, 2**32)
devices = st.integers(0, 100_000)
moments = st.integers(0, 4_000_000_000_000)
faults = st.floats(0, 1)


@given(seeds, devices, moments)
def test_a_healthy_device_measures_within_its_bounds(seed: int, device: int, at: int) -> None:
    measured = measure(seed, device, at, 0.0)
    assert 40 <= measured.pressure <= 54
    assert 80 <= measured.flow_rate <= 170
    assert 14 <= measured.temperature <= 23
    assert 0 <= measured.battery_level <= 100
    assert -85 <= measured.signal_strength <= -50


@given(seeds, devices, moments, faults)
def test_the_same_question_has_the_same_answer(seed: int, device: int, at: int, fault: float) -> None:
    assert measure(seed, device, at, fault) == measure(seed, device, at, fault)


@given(seeds, devices, moments)
def test_nothing_jumps_within_a_second(seed: int, device: int, at: int) -> None:
    now, later = measure(seed, device, at, 0.0), measure(seed, device, at + SECOND_MS, 0.0)
    assert abs(now.pressure - later.pressure) <= 1
    assert abs(now.flow_rate - later.flow_rate) <= 4
    assert abs(now.temperature - later.temperature) <= 0.1


@settings(deadline=None)
@given(seeds, devices, moments)
def test_the_battery_empties_over_days_and_is_changed_once(seed: int, device: int, at: int) -> None:
    levels = [measure(seed, device, at + day * DAY_MS, 0.0).battery_level for day in range(20)]
    assert sum(later > earlier for earlier, later in pairwise(levels)) <= 1


def test_devices_differ() -> None:
    assert len({measure(1, device, 0, 0.0) for device in range(1_000)}) == 1_000


@settings(deadline=None)
@given(seeds, moments)
def test_a_fault_stays_above_60_for_40_s_and_is_there_within_10(seed: int, began: int) -> None:
    pressures = _pressures_of_the_faulty_device(seed, began, 0)
    above = [second for second, pressure in enumerate(pressures) if pressure > 60]
    assert above[0] <= 10
    assert above == list(range(above[0], above[-1] + 1))
    assert above[-1] - above[0] >= 40


@settings(deadline=None)
@given(seeds, moments, st.integers(1, 20))
def test_the_next_fault_is_like_the_first(seed: int, began: int, cycle: int) -> None:
    pressures = _pressures_of_the_faulty_device(seed, began, cycle * FAULT_EVERY_MS)
    assert sum(pressure > 60 for pressure in pressures) >= 40
    assert pressures[-1] < 55


@given(devices, moments)
def test_only_one_device_fails_and_only_in_its_scenario(device: int, elapsed_ms: int) -> None:
    assert fault_of(Scenario.STEADY, device, elapsed_ms) == 0
    assert fault_of(Scenario.STORM, device, elapsed_ms) == 0
    assert device == FAULTY_DEVICE or fault_of(Scenario.PRESSURE_FAULT, device, elapsed_ms) == 0


@given(moments)
def test_a_fault_is_a_share(elapsed_ms: int) -> None:
    assert 0 <= fault_of(Scenario.PRESSURE_FAULT, FAULTY_DEVICE, elapsed_ms) <= 1


def _pressures_of_the_faulty_device(seed: int, began: int, from_ms: int) -> list[float]:
    """Second by second over half a cycle."""
    return [
        measure(
            seed, FAULTY_DEVICE, began + elapsed_ms, fault_of(Scenario.PRESSURE_FAULT, FAULTY_DEVICE, elapsed_ms)
        ).pressure
        for elapsed_ms in range(from_ms, from_ms + FAULT_EVERY_MS // 2, SECOND_MS)
    ]
