"""Questions to plugins: answered on the spot where that is possible, in a task where it is not."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.plugins.questions import Later, Questions

FAILED = "failed"
AWAY = "turned away"


@contextlib.asynccontextmanager
async def _asking(open_limit: int = 10, timeout_s: float = 10.0) -> AsyncIterator[Questions]:
    questions = Questions(open_limit, timeout_s)
    async with questions.running():
        yield questions


async def _answered(answer: str | Later[str]) -> str:
    if not isinstance(answer, Later):
        return answer
    heard: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    answer.then(heard.set_result)
    async with asyncio.timeout(30):
        return await heard


async def _at_once() -> str:
    return "yes"


async def _after(turns: int) -> str:
    for _ in range(turns):
        await asyncio.sleep(0)
    return f"yes after {turns}"


async def _never() -> str:
    await asyncio.Event().wait()
    return "never"


async def test_what_does_not_wait_is_answered_at_once_and_costs_no_task() -> None:
    async with _asking() as questions:
        assert questions.ask(_at_once(), FAILED, AWAY) == "yes"
        before = asyncio.all_tasks()
        assert [questions.ask(_at_once(), FAILED, AWAY) for _ in range(100)] == ["yes"] * 100
        assert asyncio.all_tasks() == before


@given(st.lists(st.integers(0, 4), max_size=8))
async def test_every_question_gets_its_own_answer(turns: list[int]) -> None:
    async with _asking() as questions:
        answers = [questions.ask(_after(count), FAILED, AWAY) for count in turns]
        assert [isinstance(answer, Later) for answer in answers] == [count > 0 for count in turns]
        assert [await _answered(answer) for answer in answers] == [f"yes after {count}" for count in turns]
        await asyncio.sleep(0)
        assert questions.open_count == 0


async def test_a_question_is_one_task_from_its_first_step_to_its_last() -> None:
    async def ask_myself() -> str:
        first = asyncio.current_task()
        async with asyncio.timeout(30):
            await asyncio.sleep(0)
        return "same" if asyncio.current_task() is first is not None else "another"

    async with _asking() as questions:
        caller = asyncio.current_task()
        assert await _answered(questions.ask(ask_myself(), FAILED, AWAY)) == "same"
        assert asyncio.current_task() is caller


async def test_a_question_is_asked_from_a_callback_of_the_loop_too() -> None:
    """The broker asks from callbacks, where there is no task at all."""
    async with _asking() as questions:
        answers: asyncio.Future[str | Later[str]] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(lambda: answers.set_result(questions.ask(_after(2), FAILED, AWAY)))
        assert await _answered(await answers) == "yes after 2"


async def test_a_question_may_ask_another_one() -> None:
    async with _asking() as questions:

        async def ask_on() -> str:
            return f"{questions.ask(_at_once(), FAILED, AWAY)} and {await _after(1)}"

        assert await _answered(questions.ask(ask_on(), FAILED, AWAY)) == "yes and yes after 1"


async def test_whoever_does_not_answer_in_time_has_failed() -> None:
    async with _asking(timeout_s=0.01) as questions:
        assert await _answered(questions.ask(_never(), FAILED, AWAY)) == FAILED
        assert questions.timed_out_count == 1
        assert questions.open_count == 0


async def test_a_time_limit_inside_a_question_works() -> None:
    async def give_up() -> str:
        try:
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()
        except TimeoutError:
            return "gave up"
        return "never"

    async with _asking() as questions:
        assert await _answered(questions.ask(give_up(), FAILED, AWAY)) == "gave up"
        assert questions.timed_out_count == 0


async def test_beyond_the_limit_questions_are_turned_away() -> None:
    async with _asking(open_limit=2) as questions:
        open_ones = [questions.ask(_after(3), FAILED, AWAY) for _ in range(2)]
        assert questions.ask(_at_once(), FAILED, AWAY) == AWAY
        assert questions.turned_away_count == 1
        assert [await _answered(each) for each in open_ones] == ["yes after 3"] * 2
        await asyncio.sleep(0)
        assert questions.ask(_at_once(), FAILED, AWAY) == "yes"


@pytest.mark.parametrize("turns_before_the_end", [0, 1, 3])
async def test_what_is_open_at_the_end_has_failed(turns_before_the_end: int) -> None:
    heard: list[str] = []
    async with _asking() as questions:
        answers = [questions.ask(_never(), FAILED, AWAY) for _ in range(3)]
        for answer in answers:
            assert isinstance(answer, Later)
            answer.then(heard.append)
        await _after(turns_before_the_end)
    await asyncio.sleep(0)
    assert heard == [FAILED] * 3


async def test_before_and_after_everything_is_turned_away() -> None:
    questions = Questions(10, 1.0)
    assert questions.ask(_at_once(), FAILED, AWAY) == AWAY
    async with questions.running():
        assert questions.ask(_at_once(), FAILED, AWAY) == "yes"
    assert questions.ask(_at_once(), FAILED, AWAY) == AWAY


async def test_a_question_that_cancels_itself_has_failed_and_harms_nobody() -> None:
    async def cancel_at_once() -> str:
        raise asyncio.CancelledError

    async def cancel_my_task() -> str:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        return "yes"

    async with _asking() as questions:
        assert questions.ask(cancel_at_once(), FAILED, AWAY) == FAILED
        assert questions.ask(cancel_my_task(), FAILED, AWAY) == "yes"
        assert await _answered(questions.ask(_after(2), FAILED, AWAY)) == "yes after 2"


@given(st.lists(st.booleans(), min_size=1, max_size=4))
async def test_conclusions_follow_their_answers_however_late(delays: list[bool]) -> None:
    def conclude(is_late: bool) -> Callable[[int], int | Later[int]]:
        return lambda number: Later(lambda tell: tell(number + 1)) if is_late else number + 1

    answer: Later[int] = Later(lambda tell: tell(0))
    for is_late in delays:
        answer = answer.chained(conclude(is_late))
    heard: list[int] = []
    answer.then(heard.append)
    assert heard == [len(delays)]


async def test_an_error_inside_reaches_the_coroutine_that_waits() -> None:
    async def wait_for(failing: Awaitable[None]) -> str:
        try:
            await failing
        except ValueError:
            return "caught"
        return "missed"

    async with _asking() as questions:
        failing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        answer = questions.ask(wait_for(failing), FAILED, AWAY)
        failing.set_exception(ValueError())
        assert await _answered(answer) == "caught"
