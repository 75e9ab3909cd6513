"""A token that does not answer keeps nobody waiting, and is asked again when it does."""

import asyncio
import itertools
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from appliance.config import CaConfig
from appliance.registry.hardware.model import HardwareBusyError, HardwareKeyError
from appliance.registry.hardware.service import ANSWER_LIMIT_S, WAITING_LIMIT, Turns
from appliance.registry.hardware.token import Call, Token
from appliance.registry.model import DEFAULT_TENANT, NewDevice
from appliance.registry.service import Registry
from appliance.store.database import Database
from broker.ports import Principal
from tests.appliance.registry.examples import NOW, FakeClock, credentials, der
from tests.appliance.registry.hardware.softhsm import Shelf, needs_softhsm
from tests.appliance.registry.hardware.stalling import Stalling, needs_compiler

LABELS = map("stalling-{}".format, itertools.count())
PATIENCE_S = 0.2


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory, whole_shelf: Shelf) -> Stalling:
    return Stalling(tmp_path_factory.mktemp("stalling"))


@pytest.fixture
def stalling(module: Stalling) -> Iterator[Stalling]:
    yield module
    module.end()


@pytest.fixture
def settings(shelf: Shelf, stalling: Stalling) -> CaConfig:
    return stalling.settings(shelf.add(next(LABELS)))


def with_token(registry: Registry, settings: CaConfig) -> Registry:
    registry.authorities.token = Token(settings)
    return registry


@contextmanager
def stalled(stalling: Stalling, *registries: Registry) -> Iterator[None]:
    """The token does not answer while the block lasts, and the registries have little patience with it."""
    stalling.begin()
    for registry in registries:
        registry.authorities.turns.answer_s = PATIENCE_S
    try:
        yield
    finally:
        stalling.end()
        for registry in registries:
            registry.authorities.turns.answer_s = ANSWER_LIMIT_S


async def answers_again(token: Token) -> None:
    async with asyncio.timeout(30):
        while token.is_silent:
            await asyncio.to_thread(threading.Event().wait, 0.01)


@needs_softhsm
@needs_compiler
async def test_the_gateway_starts_beside_a_token_that_does_not_answer_and_issues_when_it_does(
    database: Database, settings: CaConfig, stalling: Stalling, tmp_path: Path
) -> None:
    clock, folder = FakeClock(NOW), tmp_path / "pki"
    async with with_token(Registry(database, folder, clock), settings).opened() as registry:
        await registry.authorities.use_hardware(b"")
        [bundle] = await registry.issue_many(DEFAULT_TENANT, [NewDevice("a")])
    # One is to be issued again that only the token can sign, and one that needs none.
    other = (folder / "root.pem").read_bytes()
    for name in ("web.pem", "mqtt.pem"):
        (folder / name).write_bytes(other)
    again = with_token(Registry(database, folder, clock), settings)
    with stalled(stalling, again):
        async with asyncio.timeout(30), again.opened() as registry:
            assert isinstance(registry.authenticate(credentials("a", der(bundle))), Principal)
            assert [(folder / name).read_bytes() == other for name in ("web.pem", "mqtt.pem")] == [False, True]
            status = registry.authorities.hardware_status()
            assert (status.ok, status.is_serving) == (False, True)
            assert "no certificates are issued" in status.summary
            assert "does not answer" in status.summary
            for _ in range(3):
                with pytest.raises(HardwareKeyError, match="does not answer"):
                    await registry.issue_certificate(DEFAULT_TENANT, "a")
            with pytest.raises(HardwareKeyError, match="does not answer"):
                await registry.revocation_list()
    await answers_again(again.authorities.token)


@needs_softhsm
@needs_compiler
async def test_what_was_given_up_changes_nothing_when_it_comes_back_and_then_the_token_is_asked_again(
    registry: Registry, settings: CaConfig, stalling: Stalling, tmp_path: Path
) -> None:
    with_token(registry, settings)
    await registry.authorities.hardware_request()
    before = registry.authorities.status()
    with stalled(stalling, registry), pytest.raises(HardwareKeyError, match="does not answer"):
        await registry.authorities.use_hardware(b"")
    await answers_again(registry.authorities.token)
    # Whatever was under way has had its turn.
    await registry.authorities.hardware_request()
    assert registry.authorities.status() == before
    assert not list((tmp_path / "pki").glob("issuer*"))
    await registry.authorities.use_hardware(b"")
    with stalled(stalling, registry), pytest.raises(HardwareKeyError, match="does not answer"):
        await registry.issue_many(DEFAULT_TENANT, [NewDevice("a")])
    await answers_again(registry.authorities.token)
    await registry.issue_many(DEFAULT_TENANT, [NewDevice("a")])
    assert registry.authorities.hardware_status().ok


@needs_softhsm
@needs_compiler
async def test_the_end_does_not_wait_for_a_token_that_does_not_answer(
    database: Database, settings: CaConfig, stalling: Stalling, tmp_path: Path
) -> None:
    ending = with_token(Registry(database, tmp_path / "pki", FakeClock(NOW)), settings)
    async with asyncio.timeout(30), ending.opened() as registry:
        await registry.authorities.use_hardware(b"")
        await registry.add_device(DEFAULT_TENANT, "a")
        stalling.begin()
        registry.authorities.turns.answer_s = PATIENCE_S
        waiting = [registry.issue_certificate(DEFAULT_TENANT, "a") for _ in range(3)]
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(each) for each in answers] == [HardwareKeyError] * 3
    assert ending.authorities.token.is_silent
    stalling.end()
    await answers_again(ending.authorities.token)


class Stubborn(Token):
    """A token that is asked for whatever a test wants."""

    def ask(self, work: "threading.Event") -> str:
        with self._called():
            work.wait(20)
        return "done"


async def test_too_many_do_not_wait_and_whoever_gives_up_leaves_room() -> None:
    turns, token, goes_on = Turns(), Stubborn(CaConfig()), threading.Event()
    waiting = [asyncio.ensure_future(turns.take(token, lambda: token.ask(goes_on))) for _ in range(WAITING_LIMIT)]
    await asyncio.sleep(0)
    with pytest.raises(HardwareBusyError):
        await turns.take(token, lambda: "never")
    waiting[-1].cancel()
    with suppress(asyncio.CancelledError):
        await waiting.pop()
    late = asyncio.ensure_future(turns.take(token, lambda: "late"))
    await asyncio.sleep(0)
    goes_on.set()
    assert await asyncio.gather(*waiting, late) == ["done"] * (WAITING_LIMIT - 1) + ["late"]
    await turns.close(token)


class Locked(Stubborn):
    """A token that remembers whether it was locked again."""

    is_locked = False

    def close(self) -> None:
        self.is_locked = True


async def test_at_the_end_the_token_is_locked_and_its_thread_ends_however_much_waits() -> None:
    turns, token, goes_on = Turns(), Locked(CaConfig()), threading.Event()
    thread = await turns.take(token, threading.current_thread)
    waiting = [asyncio.ensure_future(turns.take(token, lambda: token.ask(goes_on))) for _ in range(WAITING_LIMIT)]
    await asyncio.sleep(0)
    closing_it = asyncio.ensure_future(turns.close(token))
    await asyncio.sleep(0)
    goes_on.set()
    assert await asyncio.gather(*waiting) == ["done"] * WAITING_LIMIT
    await closing_it
    await asyncio.to_thread(thread.join, 30)
    assert (thread.is_alive(), token.is_locked) == (False, True)


async def test_the_thread_ends_though_nobody_waits_for_the_end_any_more() -> None:
    turns, token, goes_on = Turns(), Locked(CaConfig()), threading.Event()
    thread = await turns.take(token, threading.current_thread)
    waiting = asyncio.ensure_future(turns.take(token, lambda: token.ask(goes_on)))
    await asyncio.sleep(0)
    closing_it = asyncio.ensure_future(turns.close(token))
    await asyncio.sleep(0)
    closing_it.cancel()
    with suppress(asyncio.CancelledError):
        await closing_it
    goes_on.set()
    await waiting
    await asyncio.to_thread(thread.join, 30)
    assert not thread.is_alive()


async def test_long_work_of_many_calls_is_not_given_up() -> None:
    turns, token, goes_on = Turns(), Stubborn(CaConfig()), threading.Event()
    turns.answer_s = 0.05
    goes_on.set()

    def work() -> int:
        for _ in range(20):
            token.ask(goes_on)
            threading.Event().wait(0.01)
        return 20

    assert await turns.take(token, work) == 20
    assert not token.is_silent
    await turns.close(token)


async def test_what_the_work_raises_reaches_whoever_waits() -> None:
    turns, token = Turns(), Stubborn(CaConfig())

    def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await turns.take(token, fail)
    assert await turns.take(token, lambda: 1) == 1
    await turns.close(token)
    await turns.close(token)


def test_a_call_is_answered_or_given_up_and_never_both() -> None:
    call = Call()
    assert [call.decide(), call.decide(), call.decide()] == [True, False, False]
    token = Stubborn(CaConfig())
    with closing(token):
        token.give_up(call)
        assert (token.is_silent, token.trouble) == (False, "")
        young = Call()
        token.give_up(young)
        assert token.is_silent
        with pytest.raises(HardwareKeyError, match="does not answer"):
            token.ask(threading.Event())


def test_a_token_has_seconds_to_answer_and_a_start_waits_no_minute() -> None:
    """A unit of systemd has 90 seconds to start."""
    assert 5 <= ANSWER_LIMIT_S <= 20
