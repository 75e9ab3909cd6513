"""What a token is asked for, one thing after another, in a thread of its own.

A call of PKCS #11 that does not come back cannot be ended from outside. Then whoever waits is told so, nothing more is
asked of the token, and the thread is left to itself: until the call comes back, or the process ends without it.
"""

import asyncio
import contextlib
import logging
import queue
import threading
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from appliance.registry.hardware.model import HardwareBusyError, HardwareKeyError
from appliance.registry.hardware.token import Token

log = logging.getLogger(__name__)

T = TypeVar("T")

WAITING_LIMIT = 64
"""How much may wait for the token at once: at 100 ms a signature, some seconds."""

ANSWER_LIMIT_S = 10.0
"""A call that takes longer is taken for one that does not come back."""
NEXT_CALL_S = 0.5


class _Errand(NamedTuple):
    work: Callable[[], Any]
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[Any]


class Turns:
    """The thread, and who waits for it."""

    def __init__(self) -> None:
        self.answer_s = ANSWER_LIMIT_S
        self._errands: queue.SimpleQueue[_Errand | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._waiting_count = 0

    async def take(self, token: Token, work: Callable[[], T]) -> T:
        """Do work that asks the token, when it is its turn.

        Raises what the work raises, `HardwareBusyError` when too much waits already, and `HardwareKeyError` when the
        token does not answer.
        """
        if self._waiting_count >= WAITING_LIMIT:
            raise HardwareBusyError(f"{WAITING_LIMIT} things wait for the hardware token: try again in a minute")
        return await self._done(token, work)

    async def close(self, token: Token) -> None:
        """Lock the token again and end the thread, unless a call keeps it; what waits has its turn before."""
        if self._thread is None:
            return
        try:
            # However much waits: nothing comes after it.
            with contextlib.suppress(HardwareKeyError):
                await self._done(token, token.close)
        finally:
            self._errands.put(None)
            self._thread = None

    async def _done(self, token: Token, work: Callable[[], T]) -> T:
        if token.is_silent:
            raise HardwareKeyError(token.trouble)
        if self._thread is None:
            # The end of the process does not wait for it.
            self._thread = threading.Thread(target=self._serve, name="hardware token", daemon=True)
            self._thread.start()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        self._errands.put(_Errand(work, loop, answer))
        self._waiting_count += 1
        try:
            return await self._answered(token, answer)
        finally:
            self._waiting_count -= 1
            answer.cancel()

    async def _answered(self, token: Token, answer: asyncio.Future[T]) -> T:
        while True:
            call = token.call
            # While none is under way, the next one is looked out for.
            await asyncio.wait([answer], timeout=min(self.answer_s, NEXT_CALL_S) if call is None else self.answer_s)
            if answer.done():
                return answer.result()
            if call is not None and token.call is call:
                token.give_up(call)
            if token.is_silent:
                raise HardwareKeyError(token.trouble)

    def _serve(self) -> None:
        while (errand := self._errands.get()) is not None:
            if errand.answer.cancelled():
                continue
            try:
                result = errand.work()
            except BaseException as error:  # noqa: BLE001  whatever the work raises belongs to its caller
                outcome: tuple[Callable[[Any], None], Any] = (errand.answer.set_exception, error)
            else:
                outcome = (errand.answer.set_result, result)
            # The loop may have ended while the token kept silent.
            with contextlib.suppress(RuntimeError):
                errand.loop.call_soon_threadsafe(_settle, errand.answer, *outcome)


def _settle(answer: asyncio.Future[Any], settle: Callable[[Any], None], value: Any) -> None:
    if not answer.done():
        settle(value)
