"""How often an address may fail before it has to wait: what makes guessing hopeless."""

from appliance.accounts import throttle
from appliance.errors import TooManyAttemptsError
from appliance.registry.tokens.throttle import origin

REMEMBERED = 10_000
"""How many addresses are remembered; beyond, the oldest are forgotten."""


class Turnstile:
    """Counts what addresses do that honest ones do seldom: so many times a minute and not more.

    IPv6 addresses of one network are counted together: one customer has them all.
    """

    def __init__(self, limit: int = throttle.ATTEMPTS_A_MINUTE) -> None:
        """Keep the limit, which is not below the one for attempts to sign in."""
        self._limit = limit
        self._minutes: dict[str, throttle.Minute] = {}

    def check(self, address: str, now: int) -> None:
        """Raise `TooManyAttemptsError` while this address has to wait."""
        minute = self._minutes.get(network_of(address), throttle.Minute())
        wait_ms = throttle.minute_wait_ms(minute, now)
        if wait_ms and minute.count >= self._limit:
            raise TooManyAttemptsError(f"too many attempts: try again in {-(-wait_ms // 1000)} seconds")

    def count(self, address: str, now: int) -> None:
        """Note that it was done once more."""
        network = network_of(address)
        minute = self._minutes.pop(network, throttle.Minute())
        self._minutes[network] = throttle.after_attempt(minute, now)
        while len(self._minutes) > REMEMBERED:
            del self._minutes[next(iter(self._minutes))]


def network_of(address: str) -> str:
    """What is counted together with this address: of IPv6, the network that one customer has."""
    # An origin is told of an address with its port, which there is none of here.
    return origin(f"[{address}]:0")
