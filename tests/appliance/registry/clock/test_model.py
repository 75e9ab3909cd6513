"""What is told of the clock can go over a wire."""

import msgspec

from appliance.errors import ConflictError
from appliance.registry.clock.model import ClockNotSetError, ClockReport


def test_a_report_is_the_same_after_a_wire() -> None:
    report = ClockReport("floor", "2026-11-21T06:00:00.000Z", "2026-11-01T00:00:00.000Z", "plausible", "kernel")
    assert msgspec.json.decode(msgspec.json.encode(report), type=ClockReport) == report


def test_a_clock_that_is_not_set_is_a_conflict_with_a_code_of_its_own() -> None:
    assert issubclass(ClockNotSetError, ConflictError)
    assert ClockNotSetError.code == "clock_not_set"
