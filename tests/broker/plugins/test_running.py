"""Plugins that run: what they are asked, what they answer, and what becomes of those that fail."""

import asyncio
import logging

import pytest

from broker.encode import encode
from broker.packets import V4, Connect
from broker.plugins.host import PluginHost
from broker.plugins.ports import Mode, PluginConfig, SessionView
from broker.ports import ALLOWED, Denied, Pending, Principal
from broker.server import Broker
from tests.broker.plugins.examples import HERE, NOW, FakeBase, FakeView, Listening, answer, hosting, shown
from tests.broker.stage import QUIET, FakeStream, Line
from tests.fakes import FakeOwner

NAMES = f"{HERE}.ByName"
TOPICS = f"{HERE}.ByTopic"
GUESTS = PluginConfig(plugins={NAMES: None, TOPICS: None}, mode=Mode.GUESTS, guest_filters=("#",))


@pytest.mark.parametrize("is_slow", [False, True])
async def test_a_guest_gets_in_when_a_plugin_says_yes(is_slow: bool) -> None:
    config = PluginConfig(plugins={NAMES: {"is_slow": is_slow}}, mode=Mode.GUESTS)
    async with hosting(config) as host:
        authorizer = host.authorizer(FakeBase())
        assert await answer(authorizer.authenticate(shown("c", "anna"))) == Principal(1, "guest/anna")
        assert isinstance(await answer(authorizer.authenticate(shown("c", "villain"))), Denied)
        assert isinstance(await answer(authorizer.authenticate(shown("c", "nobody"))), Denied)


async def test_every_plugin_that_has_an_opinion_must_say_yes() -> None:
    anonymous = "amqtt.plugins.authentication.AnonymousAuthPlugin"
    config = PluginConfig(plugins={anonymous: {"allow_anonymous": True}, NAMES: None}, mode=Mode.BOTH)
    async with hosting(config) as host:
        authorizer = host.authorizer(FakeBase("device"))
        assert authorizer.authenticate(shown("c", "somebody")) == Principal(1, "guest/somebody")
        assert isinstance(authorizer.authenticate(shown("c", "villain")), Denied)
        assert authorizer.authenticate(shown("device")) == Principal(1, "device")
        assert isinstance(authorizer.authenticate(shown("device", "villain")), Denied)


async def test_actions_are_asked_for_by_amqtts_names_and_by_client() -> None:
    async with hosting(GUESTS) as host:
        authorizer = host.authorizer(FakeBase())
        guest = authorizer.authenticate(shown("c", "anna"))
        assert isinstance(guest, Principal)
        assert authorizer.may_publish(guest, "subscribe/receive") == ALLOWED
        assert isinstance(authorizer.may_publish(guest, "publish"), Denied)
        assert isinstance(authorizer.may_subscribe(guest, "subscribe"), Denied)
        assert isinstance(authorizer.may_receive(guest, "receive"), Denied)
        assert isinstance(authorizer.may_receive(guest, "not-c"), Denied)
        assert authorizer.may_receive(guest, "not-d") == ALLOWED
        assert await answer(authorizer.may_receive(guest, "slow")) == ALLOWED
        assert isinstance(await answer(authorizer.may_receive(guest, "slow/receive")), Denied)


async def test_no_opinion_about_a_topic_is_a_refusal() -> None:
    async with hosting(PluginConfig(plugins={TOPICS: None})) as host:
        assert isinstance(host.authorizer(FakeBase()).may_publish(Principal(1, "c"), "silent"), Denied)


async def test_an_error_in_a_plugin_is_a_refusal_and_logged_once_without_its_text(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with hosting(GUESTS) as host:
        authorizer = host.authorizer(FakeBase())
        guest = authorizer.authenticate(shown("c", "anna"))
        assert isinstance(guest, Principal)
        for _ in range(3):
            assert isinstance(authorizer.authenticate(shown("c", "faulty", "hunter2")), Denied)
            assert isinstance(authorizer.may_publish(guest, "fault"), Denied)
        assert host.status().fault_count == 6
    assert len([record for record in caplog.records if record.levelno >= logging.ERROR]) == 2
    assert "hunter2" not in caplog.text


async def test_an_endless_plugin_is_a_refusal() -> None:
    config = PluginConfig(plugins={NAMES: None}, mode=Mode.GUESTS, answer_timeout_s=0.01)
    async with hosting(config) as host:
        assert isinstance(await answer(host.authorizer(FakeBase()).authenticate(shown("c", "endless"))), Denied)
        assert host.status().timed_out_count == 1


async def test_plugins_are_closed_and_a_failing_one_keeps_nobody_from_it() -> None:
    listening = f"{HERE}.Listening"
    async with hosting(PluginConfig(plugins={listening: {"fails_to_close": True}, TOPICS: None})):
        assert [name for name, _ in Listening.heard] == ["pre_start"]
    assert [name for name, _ in Listening.heard] == ["pre_start", "post_shutdown", "close"]


async def test_plugins_are_closed_when_the_process_fails() -> None:
    async def fail() -> None:
        async with hosting(PluginConfig(plugins={f"{HERE}.Listening": None})):
            raise LookupError("a defect somewhere else")

    with pytest.raises(BaseExceptionGroup) as failure:
        await fail()
    assert failure.group_contains(LookupError)
    assert Listening.heard[-1][0] == "close"


async def test_sessions_that_the_broker_forgot_are_forgotten() -> None:
    view = FakeView()
    view.open["kept"] = SessionView("guest/anna", "kept", is_connected=True, is_clean=True)
    view.open["taken"] = SessionView("press-1", "taken", is_connected=True, is_clean=True)
    async with hosting(GUESTS, view) as host:
        authorizer = host.authorizer(FakeBase())
        for client_id in ("kept", "taken", *(f"c{number}" for number in range(3_000))):
            authorizer.authenticate(shown(client_id, "anna"))
        plugins = host._now.plugins
        assert plugins is not None
        assert len(plugins.sessions) < 1_100
        assert plugins.sessions.get("guest/anna", "kept").remote_address == "127.0.0.1"
        assert plugins.sessions.get("guest/anna", "taken").remote_address is None


def test_nothing_is_made_before_it_runs() -> None:
    host = PluginHost(PluginConfig(plugins={"no.such.Plugin": None}), lambda: NOW)
    assert isinstance(host.authorizer(FakeBase("c")).authenticate(shown("c")), Denied)


async def test_beyond_the_questions_that_may_be_open_nobody_is_let_in_and_nothing_is_judged() -> None:
    async with hosting(PluginConfig(plugins={NAMES: {"is_slow": True}, TOPICS: None}, open_questions=1)) as host:
        authorizer = host.authorizer(FakeBase("c"))
        assert isinstance(authorizer.authenticate(shown("c")), Pending)
        for word in (authorizer.authenticate(shown("c")), authorizer.may_receive(Principal(1, "c"), "t")):
            assert isinstance(word, Denied)
            assert not word.is_judgement


async def test_a_crowd_that_is_judged_again_by_plugins_with_few_places_to_ask_stays_but_for_who_is_denied() -> None:
    names = [f"c{number}" for number in range(30)]
    base = FakeBase(*names)
    async with hosting(PluginConfig(plugins={NAMES: {"is_slow": True}}, open_questions=3)) as host:
        owner = FakeOwner()
        broker = Broker(owner, host.authorizer(base), lambda: NOW, QUIET)
        async with broker.connected():
            lines = {name: Line(FakeStream()) for name in names}
            for count, (name, line) in enumerate(lines.items(), 1):
                broker.attach(line.stream)
                line.stream.feed(encode(Connect(V4, name, clean_start=True, keep_alive_s=0), V4))
                await owner.until(lambda owner, count=count: len(owner.events) == count)  # type: ignore[misc]
            base.known.discard("c29")
            await broker.judge_everybody()
            assert [name for name, line in lines.items() if line.closed_for] == ["c29"]
            for _ in range(1_000):
                await asyncio.sleep(0.01 if broker._reviewing._put_off else 0)
            assert not broker._reviewing._put_off
            assert host.status().turned_away_count > 0
            assert [name for name, line in lines.items() if line.closed_for] == ["c29"]
