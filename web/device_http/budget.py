"""How much each device may ask for in a second, over all its connections: as much as one connection over MQTT."""

from broker.limits import Limits

NOTED_EVERY_S = 60.0
"""A device that asks for too much is told so each time; its page, once in a while."""
REMEMBERED = 10_000
"""Devices. Of more, those are forgotten that are not in the middle of a second and not to be kept from their page."""
_SECOND = 1.0

Who = tuple[int, str]
"""Tenant and device."""


class _Window:
    """What a device has asked for since its second began."""

    __slots__ = ("began_at", "byte_count", "noted_at", "request_count")

    def __init__(self, now: float) -> None:
        self.began_at = now
        self.request_count = self.byte_count = 0
        self.noted_at: float | None = None


class Budget:
    """What devices have asked for."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._windows: dict[Who, _Window] = {}

    def charge(self, who: Who, byte_count: int, now: float) -> bool:
        """Count a request with so many bytes; whether it is one too many. `now` is in seconds that never go back."""
        window = self._windows.get(who)
        if window is None:
            if len(self._windows) >= REMEMBERED:
                self._forget(now)
            window = self._windows[who] = _Window(now)
        elif now - window.began_at >= _SECOND:
            window.began_at = now
            window.request_count = window.byte_count = 0
        window.request_count += 1
        window.byte_count += byte_count
        return window.request_count > self._limits.publishes_per_s or (
            # The first of a second may be larger than all of them: it would never be taken otherwise.
            window.request_count > 1 and window.byte_count > self._limits.bytes_per_s
        )

    def is_to_be_noted(self, who: Who, now: float) -> bool:
        """Whether the page of a device should say that it has asked for too much; then it says so."""
        window = self._windows[who]
        if window.noted_at is not None and now - window.noted_at < NOTED_EVERY_S:
            return False
        window.noted_at = now
        return True

    @property
    def reason(self) -> str:
        """What is said of it."""
        limits = self._limits
        return (
            f"more than {limits.publishes_per_s} requests or {limits.bytes_per_s} bytes in a second over HTTPS,"
            " all its connections together"
        )

    def _forget(self, now: float) -> None:
        def is_of_use(window: _Window) -> bool:
            is_noted = window.noted_at is not None and now - window.noted_at < NOTED_EVERY_S
            return now - window.began_at < _SECOND or is_noted

        self._windows = {who: window for who, window in self._windows.items() if is_of_use(window)}
