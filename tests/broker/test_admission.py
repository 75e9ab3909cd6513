"""CONNECT while somebody is revoked: an answer from before counts no more."""

from collections.abc import Callable

import pytest

from broker.packets import V5, Connack, Connect, Will
from broker.ports import ALLOWED, Credentials, Denied, Pending, Principal
from broker.reason_codes import ReasonCode
from tests.broker.stage import Stage, staged, turn

WILL = Will("gone", b"c", 1, retain=False)


class Slow:
    """An authoriser that says who a client is when it is told to."""

    def __init__(self, stage: Stage) -> None:
        self.tell: list[Callable[[object], None]] = []
        self._at_once = stage.authorizer.authenticate
        stage.authorizer.authenticate = self.authenticate  # type: ignore[method-assign]  # a fake

    def authenticate(self, credentials: Credentials) -> Principal | Denied | Pending:
        word = self._at_once(credentials)
        return word if isinstance(word, Denied) else Pending(self.tell.append)  # type: ignore[arg-type]  # by its port


async def _doubt(stage: Stage, way: str) -> None:
    match way:
        case "suspect":
            stage.broker.end_soon(1, ["c"])
        case "everybody":
            await stage.broker.judge_everybody()
        case "rights":
            stage.broker.judge_soon(1, "c")
        case _:
            stage.broker.forget(1, "c")
    await turn()


@pytest.mark.parametrize("way", ["suspect", "everybody", "rights", "gone"])
class TestRevocationWhileTheAuthoriserThinks:
    async def test_an_answer_from_before_lets_nobody_in_who_is_denied_by_now(self, way: str) -> None:
        async with staged() as stage:
            slow, line = Slow(stage), stage.knock(V5)
            assert await line.send(Connect(V5, "c", clean_start=True, keep_alive_s=0)) == []
            stage.authorizer.denied_clients.add("c")
            await _doubt(stage, way)
            slow.tell[0](Principal(1, "c"))
            answer = await line.expect(Connack)
            assert (answer.code, line.closed_for) == (ReasonCode.NOT_AUTHORIZED, "this client is not known")
            assert list(stage.broker.sessions(1)) == []

    async def test_the_same_while_it_thinks_about_the_will_of_one_that_is_known(self, way: str) -> None:
        async with staged() as stage:
            slow, line, tell = Slow(stage), stage.knock(V5), list[Callable[[object], None]]()
            stage.authorizer.may_publish = lambda *_: Pending(tell.append)  # type: ignore[method-assign,arg-type]  # a fake
            await line.send(Connect(V5, "c", clean_start=True, keep_alive_s=0, will=WILL))
            slow.tell[0](Principal(1, "c"))
            assert await line.heard() == []
            stage.authorizer.denied_clients.add("c")
            await _doubt(stage, way)
            tell[0](ALLOWED)
            assert (await line.expect(Connack)).code == ReasonCode.NOT_AUTHORIZED

    @pytest.mark.parametrize("last", [Principal(1, "c"), Denied("revoked"), Denied("full", is_judgement=False)])
    async def test_if_that_takes_time_again_it_is_in_until_it_is_denied(
        self, way: str, last: Principal | Denied
    ) -> None:
        async with staged() as stage:
            slow, line = Slow(stage), stage.knock(V5)
            await line.send(Connect(V5, "c", clean_start=True, keep_alive_s=0))
            await _doubt(stage, way)
            slow.tell[0](Principal(1, "c"))
            assert (await line.expect(Connack)).code == 0
            slow.tell[1](last)
            assert line.closed_for == ("revoked" if last == Denied("revoked") else None)
            assert len(list(stage.broker.sessions(1))) == (line.closed_for is None)


async def test_an_answer_is_asked_for_once_while_nothing_changes() -> None:
    async with staged() as stage:
        slow, line = Slow(stage), stage.knock(V5)
        await line.send(Connect(V5, "c", clean_start=True, keep_alive_s=0))
        slow.tell[0](Principal(1, "c"))
        assert (await line.expect(Connack)).code == 0
        assert len(slow.tell) == 1
