"""How often an address may fail before it has to wait: what makes guessing hopeless."""

from appliance.accounts import throttle
from appliance.errors import TooManyAttemptsError

REMEMBERED = 10_000
"""How many addresses are remembered; beyond, the oldest are forgotten."""


class Turnstile:
    """Counts what addresses do that honest ones do seldom: twenty times a minute and not more."""

    def __init__(self) -> None:
        self._minutes: dict[str, throttle.Minute] = {}

    def check(self, address: str, now: int) -> None:
        """Raise `TooManyAttemptsError` while this address has to wait."""
        wait_ms = throttle.minute_wait_ms(self._minutes.get(address, throttle.Minute()), now)
        if wait_ms:
            raise TooManyAttemptsError(f"too many attempts: try again in {-(-wait_ms // 1000)} seconds")

    def count(self, address: str, now: int) -> None:
        """Note that it was done once more."""
        minute = self._minutes.pop(address, throttle.Minute())
        self._minutes[address] = throttle.after_attempt(minute, now)
        while len(self._minutes) > REMEMBERED:
            del self._minutes[next(iter(self._minutes))]
