"""A few threads that read files for the loop, and may be kept out of them.

Rules:
- There are as many threads as places. Who has a place keeps it until its thread is out of the work, also when the
  caller was cancelled meanwhile: while readers are kept out, nobody reads.
- What runs here takes a check as its first argument and calls it between two pieces of work. It raises
  `UnwantedError` once nobody waits for the result.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Concatenate, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

Check = Callable[[], None]

PAUSE_SHARE = 3
"""A pause is so many times as long as the work before it."""
LONGEST_PAUSE_S = 1.0
"""After one piece of work: a stop waits for it."""


class UnwantedError(Exception):
    """Ends work in a thread whose caller was cancelled. The caller hears of the cancellation, never of this."""


class Readers:
    """The threads, and the places in them."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._free = asyncio.Semaphore(count)
        self._keeping_out = asyncio.Lock()
        self._threads: ThreadPoolExecutor

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Work can be done while this lasts; the threads end with it."""
        self._threads = ThreadPoolExecutor(self._count, thread_name_prefix="reader")
        try:
            yield
        finally:
            await asyncio.to_thread(self._threads.shutdown)

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator["Turn"]:
        """A place, for several pieces of work one after the other."""
        async with self._free:
            yield Turn(self._threads)

    async def run(self, function: Callable[Concatenate[Check, P], T], *arguments: P.args, **named: P.kwargs) -> T:
        """What `function(check, …)` gives, called in one of the threads."""
        async with self.turn() as turn:
            return await turn.run(function, *arguments, **named)

    async def run_leisurely(
        self, function: Callable[Concatenate[Check, P], T], *arguments: P.args, **named: P.kwargs
    ) -> T:
        """As `run`, with a pause afterwards that is longer than the work, as far as that is short: for a piece of much.

        A busy thread leaves the loop little of the interpreter: of every call to OpenSSL it comes back late.
        """
        time = asyncio.get_running_loop().time
        async with self.turn() as turn:
            begun = time()
            result = await turn.run(function, *arguments, **named)
            took_s = time() - begun
        await asyncio.sleep(min(LONGEST_PAUSE_S, PAUSE_SHARE * took_s))
        return result

    @contextlib.asynccontextmanager
    async def kept_out(self) -> AsyncIterator[None]:
        """Let nobody begin meanwhile, and wait for those who have begun."""
        async with self._keeping_out, contextlib.AsyncExitStack() as stack:
            for _ in range(self._count):
                await stack.enter_async_context(self._free)
            yield


class Turn:
    """A place in the threads while somebody has it."""

    def __init__(self, threads: ThreadPoolExecutor) -> None:
        self._threads = threads
        self._is_wanted = True

    async def run(self, function: Callable[Concatenate[Check, P], T], *arguments: P.args, **named: P.kwargs) -> T:
        """What `function(check, …)` gives, called in a thread. A caller that is cancelled waits until it has ended."""
        loop = asyncio.get_running_loop()
        working = loop.run_in_executor(self._threads, lambda: function(self._check, *arguments, **named))
        try:
            await asyncio.wait([working])
        except asyncio.CancelledError:
            self._is_wanted = False
            while not working.done():
                # To be cancelled again changes nothing: the thread is still inside.
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait([working])
            # Nobody is left to hear how it ended.
            working.exception()
            raise
        return working.result()

    def _check(self) -> None:
        if not self._is_wanted:
            raise UnwantedError
