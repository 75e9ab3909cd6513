"""Questions to plugins, which are coroutines, asked by a broker that does not wait.

Most answers need no waiting: a coroutine is stepped once on the spot, and one that ends there costs no
task. What does wait goes on in a task. Libraries ask which task they are in (`asyncio.timeout` does),
so the first step already runs in the name of the task that would go on with it.
"""

import asyncio
import contextlib
import logging
import types
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from functools import partial
from typing import Any, Generic, TypeVar

log = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")
_Work = asyncio.Future[Callable[[], Coroutine[Any, Any, None]]]


class Later(Generic[T]):
    """An answer that is still to come: `then` takes the function that is called with it, once, on the loop."""

    __slots__ = ("then",)

    def __init__(self, then: Callable[[Callable[[T], None]], None]) -> None:
        self.then = then

    def chained(self, conclude: "Callable[[T], R | Later[R]]") -> "Later[R]":
        """What is concluded from the answer, as soon as there is one."""
        return Later(lambda tell: self.then(lambda answer: _settle(conclude(answer), tell)))


class Questions:
    """Steps coroutines that answer a question, and gives those that wait a task."""

    def __init__(self, open_limit: int, timeout_s: float) -> None:
        self.timed_out_count = 0
        self.turned_away_count = 0
        """Questions that were not asked because too many were open."""
        self._open_limit = open_limit
        self._timeout_s = timeout_s
        self._tasks: asyncio.TaskGroup | None = None
        self._idle: list[_Lender] = []
        self._lenders: set[_Lender] = set()
        self._open: dict[asyncio.Future[Any], Callable[[], None]] = {}
        """What is still to be answered, and how it fails when the process stops."""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Answer questions; on leaving, those that are open are answered as failed."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            try:
                yield
            finally:
                self._tasks = None
                self._idle.clear()
                for lender in self._lenders:
                    lender.task.cancel()
        for fail in list(self._open.values()):
            fail()

    def ask(self, question: Coroutine[Any, Any, T], failed: T, turned_away: T) -> T | Later[T]:
        """Give the answer at once if it needs no waiting.

        `failed` is the answer when nobody answers in time; `turned_away` when too many are already being waited for.
        """
        if self._tasks is None or self.open_count >= self._open_limit:
            self.turned_away_count += 1
            question.close()
            return turned_away
        lender = self._borrow(self._tasks)
        try:
            awaited = _step_as(lender.task, question)
        except StopIteration as end:
            self._idle.append(lender)
            answer: T = end.value
            return answer
        except asyncio.CancelledError:
            lender.task.cancel()
            return failed
        answers: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._open[answers] = partial(_fail, question, answers, failed)
        answers.add_done_callback(self._open.pop)
        lender.work.set_result(partial(self._go_on, question, awaited, answers, failed))
        return Later(lambda tell: answers.add_done_callback(lambda done: tell(done.result())))

    @property
    def open_count(self) -> int:
        """Questions that wait for their answers."""
        return len(self._open)

    def _borrow(self, tasks: asyncio.TaskGroup) -> "_Lender":
        while self._idle:
            lender = self._idle.pop()
            if not lender.task.done() and not lender.task.cancelling():
                return lender
        work: _Work = asyncio.get_running_loop().create_future()
        lender = _Lender(work, tasks.create_task(_lend(work), name="plugin answer"))
        self._lenders.add(lender)
        lender.task.add_done_callback(lambda _: self._lenders.discard(lender))
        return lender

    async def _go_on(
        self, question: Coroutine[Any, Any, T], awaited: object, answers: asyncio.Future[T], failed: T
    ) -> None:
        answer = failed
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await _rest(question, awaited)
        except TimeoutError:
            self.timed_out_count += 1
            log.warning("plugin did not answer in time limit_s=%g", self._timeout_s)
        finally:
            answers.set_result(answer)


class _Lender:
    """A task that lends its name to first steps, and goes on with the first that has to wait."""

    __slots__ = ("task", "work")

    def __init__(self, work: "_Work", task: "asyncio.Task[None]") -> None:
        self.work = work
        self.task = task


async def _lend(work: "_Work") -> None:
    go_on = await work
    await go_on()


def _fail(question: Coroutine[Any, Any, Any], answers: "asyncio.Future[T]", failed: T) -> None:
    question.close()
    answers.set_result(failed)


def _step_as(task: "asyncio.Task[None]", question: Coroutine[Any, Any, Any]) -> object:
    """Step a coroutine once in the name of a task; gives what it waits for, or raises its `StopIteration`.

    The switch of tasks is the documented way of extending asyncio.
    """
    loop = asyncio.get_running_loop()
    current = asyncio.current_task()
    if current is not None:
        asyncio.tasks._leave_task(loop, current)  # noqa: SLF001  documented for extending asyncio
    asyncio.tasks._enter_task(loop, task)  # noqa: SLF001  documented for extending asyncio
    try:
        return question.send(None)
    finally:
        asyncio.tasks._leave_task(loop, task)  # noqa: SLF001  documented for extending asyncio
        if current is not None:
            asyncio.tasks._enter_task(loop, current)  # noqa: SLF001  documented for extending asyncio


@types.coroutine
def _rest(coroutine: Coroutine[Any, Any, T], awaited: object) -> Generator[Any, Any, T]:
    """What is left of a coroutine that was stepped once and waits."""
    step: Callable[[], object]
    while True:
        try:
            sent = yield awaited
        except BaseException as error:  # noqa: BLE001  handed on to the coroutine, cancellation included
            thrown = error
            step = lambda: coroutine.throw(thrown)  # noqa: E731, B023  used before the next turn
        else:
            step = lambda: coroutine.send(sent)  # noqa: E731, B023  used before the next turn
        try:
            awaited = step()
        except StopIteration as end:
            answer: T = end.value
            return answer


def _settle(answer: T | Later[T], tell: Callable[[T], None]) -> None:
    if isinstance(answer, Later):
        answer.then(tell)
    else:
        tell(answer)
