"""What can wait waits until those who are in a hurry are done, but not for ever."""

import asyncio
import contextlib
from collections.abc import Iterator


class Lull:
    """Knows whether anybody is in a hurry."""

    def __init__(self) -> None:
        self._hurry_count = 0
        self._is_quiet = asyncio.Event()
        self._is_quiet.set()

    @contextlib.contextmanager
    def hurry(self) -> Iterator[None]:
        """Have others wait meanwhile."""
        self._hurry_count += 1
        self._is_quiet.clear()
        try:
            yield
        finally:
            self._hurry_count -= 1
            if not self._hurry_count:
                self._is_quiet.set()

    async def come(self, longest_s: float) -> bool:
        """Wait until nobody is in a hurry, or so many seconds; whether nobody is."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(longest_s):
                await self._is_quiet.wait()
        return self._is_quiet.is_set()
