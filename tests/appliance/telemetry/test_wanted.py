"""Work that is always wanted is never broken off."""

from appliance.telemetry.wanted import is_wanted


def test_what_is_always_wanted_goes_on() -> None:
    for _ in range(3):
        is_wanted()
