"""What each part says of itself; readiness and watchdog towards systemd."""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import msgspec

log = logging.getLogger(__name__)


class Status(msgspec.Struct, frozen=True):
    """What one part says of itself."""

    ok: bool
    summary: str
    details: Mapping[str, int | float | str] = {}
    is_serving: bool = False
    """Whether devices and people are served all the same while it is not well."""


class Health:
    """The parts of the process and how each is."""

    def __init__(self) -> None:
        self._parts: dict[str, Callable[[], Status]] = {}
        self.ready = False

    def register(self, name: str, status: Callable[[], Status]) -> None:
        """Let a part be asked under this name."""
        self._parts[name] = status

    def register_all(self, parts: Mapping[str, Callable[[], Status]]) -> None:
        """Let several parts be asked, each under its name."""
        self._parts.update(parts)

    def statuses(self) -> dict[str, Status]:
        """What every part says now."""
        return {name: status() for name, status in self._parts.items()}


def notify_systemd(message: str) -> bool:
    """Tell systemd how the service is, in the words of sd_notify(3); False when it does not listen."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        channel.sendto(message.encode(), "\0" + address[1:] if address[0] == "@" else address)
    return True


def watchdog_interval() -> float | None:
    """Seconds between two signs of life that systemd expects, halved; None without a watchdog."""
    microseconds = os.environ.get("WATCHDOG_USEC")
    return int(microseconds) / 2_000_000 if microseconds else None


@contextlib.asynccontextmanager
async def alive(answers: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Feed the watchdog while the loop turns and what is asked in between answers."""

    async def feed(interval_s: float) -> None:
        while True:
            await answers()
            notify_systemd("WATCHDOG=1")
            await asyncio.sleep(interval_s)

    async with asyncio.TaskGroup() as tasks:
        interval_s = watchdog_interval()
        task = tasks.create_task(feed(interval_s), name="watchdog") if interval_s else None
        try:
            yield
        finally:
            if task is not None:
                task.cancel()


def is_logged_by_journald() -> bool:
    """Whether standard output goes to the journal."""
    return "JOURNAL_STREAM" in os.environ
