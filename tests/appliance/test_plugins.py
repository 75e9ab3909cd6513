from pathlib import Path
from typing import Any

import pytest

from appliance import plugins
from appliance.config import ConfigError, PluginsConfig
from appliance.plugins import PluginsError, Wanted
from broker.changes import RetainedKept, SessionKept
from broker.message import Message
from broker.packets import V4, Connack, Connect
from broker.plugins.host import PluginHost
from broker.plugins.listeners import Kind, ListenerSettings
from broker.plugins.ports import Mode, PluginConfig, PluginError, PluginStatus
from broker.ports import Turn
from broker.server import Broker
from tests.appliance.examples import clock
from tests.broker.plugins.examples import HearingPackets, Listening
from tests.broker.stage import FakeStream, Line, payloads
from tests.broker.stored import FakeStore
from tests.fakes import FakeAuthorizer, FakeOwner

LISTENING = "tests.broker.plugins.examples.Listening"
HEARING_PACKETS = "tests.broker.plugins.examples.HearingPackets"
PASSWORDS = "amqtt.plugins.authentication.FileAuthPlugin"
EVENTS = "amqtt.plugins.logging_amqtt.EventLoggerPlugin"
AMQTT_YAML = f"""
listeners:
  default:
    type: tcp
    bind: 127.0.0.1:1883
    max-connections: 500
sys-interval: 20
timeout-disconnect-delay: 2
plugins:
  {PASSWORDS}:
    password_file: passwords
  {EVENTS}:
"""


def read(file: Path, text: str, networks: tuple[str, ...] = (), **settings: Any) -> Wanted:
    file.write_text(text, encoding="utf-8")
    return plugins.read(PluginsConfig(amqtt_config=str(file), **settings), networks)


def refusal(file: Path, text: str, networks: tuple[str, ...] = (), **settings: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        read(file, text, networks, **settings)
    said = str(caught.value)
    assert said.startswith(f"plugins.amqtt_config: {file}: ")
    return said


def test_without_plugins_none_are_wanted() -> None:
    assert plugins.read(PluginsConfig(), ()) == Wanted(PluginConfig())


def test_what_the_settings_say_is_what_the_host_gets() -> None:
    settings = PluginsConfig(Mode.GUESTS, ("plant/#",), "", 2.0, 3, 4, {PASSWORDS: {"password_file": "p"}, EVENTS: {}})
    assert plugins.read(settings, ()).config == PluginConfig(
        plugins={PASSWORDS: {"password_file": "p"}, EVENTS: None},
        mode=Mode.GUESTS,
        guest_filters=("plant/#",),
        answer_timeout_s=2.0,
        open_questions=3,
        waiting_events=4,
    )


def test_a_configuration_of_amqtts_gives_its_plugins_and_plain_listeners_and_says_what_it_does_not(
    tmp_path: Path,
) -> None:
    wanted = read(tmp_path / "broker.yaml", AMQTT_YAML, classes={"my.Plugin": {}})
    assert wanted.config.plugins == {"my.Plugin": None, PASSWORDS: {"password_file": "passwords"}, EVENTS: None}
    assert wanted.listeners == (ListenerSettings("default", Kind.TCP, "127.0.0.1", 1883, max_connections=500),)
    said = " ".join(wanted.left_out)
    for words in ("sys_interval", "limits.sys_interval_s", "timeout_disconnect_delay", "max_connections"):
        assert words in said
    assert len(wanted.left_out) == 3


def test_the_same_configuration_says_the_same_in_every_language_that_amqtt_knows(tmp_path: Path) -> None:
    toml = f'[plugins."{PASSWORDS}"]\npassword_file = "p"\n[listeners.default]\nbind = "[::1]:1"\n'
    json = (
        f'{{"plugins": {{"{PASSWORDS}": {{"password_file": "p"}}}}, "listeners": {{"default": {{"bind": "[::1]:1"}}}}}}'
    )
    yaml = f"plugins: [{{{PASSWORDS}: {{password_file: p}}}}]\nlisteners: {{default: {{bind: '[::1]:1'}}}}"
    found = [
        read(tmp_path / name, text)
        for name, text in (("b.toml", toml), ("b.json", json), ("b.yaml", yaml), ("b.yml", yaml))
    ]
    assert found[0].config.plugins
    assert found[0].listeners
    assert all(each == found[0] for each in found)


def test_a_configuration_without_listeners_opens_no_port(tmp_path: Path) -> None:
    # amqtt would listen on 0.0.0.0:1883: nothing is opened here that is not written.
    assert read(tmp_path / "b.toml", f"plugins = ['{EVENTS}']").listeners == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("auth = {}", "auth: configure its plugins by their class paths"),
        ("'topic-check' = {}", "topic_check: configure its plugins"),
        ("bridge = 1", "bridge: not a key of amqtt 0.12"),
        ("plugins = 1", "plugins: expected a table"),
        ("plugins = ['auth_file']", "'auth_file' is no class path"),
        ("[plugins]\n'a.B' = 7", "the options of a.B are no table"),
        ("plugins = ['a.B', 'a.B']", "the plugin a.B is configured twice"),
        ("plugins = ['mine.Plugin']", "the plugin mine.Plugin is configured in plugins.classes too"),
        ("[listeners.other]", "one must be named 'default'"),
        (
            "[listeners.default]\ntype = 'ws'\nbind = '127.0.0.1:8083'",
            "listeners.default: MQTT over WebSocket is on the",
        ),
        (
            "[listeners.default]\nssl = true\ncertfile = 'c'\nkeyfile = 'k'",
            "listeners.default: MQTT over TLS is on mqtt.port",
        ),
        ("[listeners.default]", "0.0.0.0:1883 is open to everybody; list in mqtt.plain_networks who may come"),
        ("[listeners.default]\nbind = 'gateway.lan:1'", "gateway.lan:1 is open to everybody"),
        ("[listeners.default", "not TOML"),
    ],
)
def test_what_cannot_be_taken_over_is_refused_in_a_sentence(tmp_path: Path, text: str, words: str) -> None:
    assert words in refusal(tmp_path / "b.toml", text, classes={"mine.Plugin": {}})


@pytest.mark.parametrize("bind", ["127.0.0.9:1", "[::1]:1", "localhost:1"])
def test_a_listener_of_this_machine_needs_no_networks(tmp_path: Path, bind: str) -> None:
    assert read(tmp_path / "b.toml", f"[listeners.default]\nbind = '{bind}'").listeners[0].port == 1


def test_a_listener_for_listed_networks_is_taken_over(tmp_path: Path) -> None:
    wanted = read(tmp_path / "b.toml", "[listeners.default]", ("192.168.7.0/24",))
    assert [(each.host, each.port) for each in wanted.listeners] == [("0.0.0.0", 1883)]  # noqa: S104  nothing is bound


@pytest.mark.parametrize(
    ("name", "text"),
    [("b.json", '{"secret": very secret'), ("b.yaml", "secret: 'very secret"), ("b.toml", "secret = very secret")],
)
def test_a_file_that_is_damaged_is_refused_without_a_word_of_it(tmp_path: Path, name: str, text: str) -> None:
    said = refusal(tmp_path / name, text)
    assert "very secret" not in said
    assert said.endswith(f": not {name[2:].upper()}")


def test_a_file_that_is_no_configuration_is_refused(tmp_path: Path) -> None:
    assert "must end in .yaml, .yml, .toml or .json" in refusal(tmp_path / "b.ini", "")
    assert "expected a table" in refusal(tmp_path / "b.json", "[1]")
    assert "expected a table" in refusal(tmp_path / "b.yaml", "")
    with pytest.raises(ConfigError, match=r"none\.toml: cannot be read: No such file"):
        plugins.read(PluginsConfig(amqtt_config=str(tmp_path / "none.toml")), ())


@pytest.fixture(autouse=True)
def _nothing_heard() -> None:
    for remembered in (Listening.heard, Listening.contexts, HearingPackets.packets):
        remembered.clear()


def hosting(*paths: str) -> PluginHost:
    return PluginHost(PluginConfig(plugins=dict.fromkeys(paths)), clock)


def heard() -> list[str]:
    return [kind for kind, _ in Listening.heard]


async def test_plugins_hear_how_clients_come_and_how_the_last_one_leaves() -> None:
    host = hosting(LISTENING, HEARING_PACKETS)
    broker = Broker(FakeOwner(), host.authorizer(FakeAuthorizer()), clock)
    async with plugins.running(host, broker, clock):
        async with broker.connected():
            stream = FakeStream()
            broker.attach(stream)
            answer = await Line(stream).send(Connect(V4, "c", True, 0))
            assert [type(each) for each in answer] == [Connack]
        assert stream.closed_for is not None
    assert heard() == ["pre_start", "connected", "disconnected", "post_shutdown", "close"]
    assert {direction for direction, *_ in HearingPackets.packets} == {"in", "out"}


async def test_plugins_that_listen_to_no_packets_slow_nobody() -> None:
    host = hosting(LISTENING)
    broker = Broker(FakeOwner(), host.authorizer(FakeAuthorizer()), clock)
    async with plugins.running(host, broker, clock):
        assert broker.packet_observers == []
        assert len(broker.exchange.observers) == 1


async def test_without_plugins_the_broker_is_as_it_was() -> None:
    host, authorizer = hosting(), FakeAuthorizer()
    broker = Broker(FakeOwner(), authorizer, clock)
    async with plugins.running(host, broker, clock):
        assert host.authorizer(authorizer) is authorizer
        assert (broker.exchange.observers, broker.packet_observers) == ([], [])


async def test_what_a_plugin_publishes_while_it_starts_is_not_undone_by_what_was_kept() -> None:
    store, host = FakeStore(), hosting(LISTENING)
    old = Message(1, "", "", "plugin/state", b"off", 1, True, 1)
    kept = SessionKept(1, 1, "c", "c", 3_600, clock())
    store.commit(Turn([], {("retained", 1, "plugin/state"): RetainedKept(old), ("session", 1, ""): kept}, []))
    broker = Broker(FakeOwner(), host.authorizer(FakeAuthorizer()), clock, store=store)
    async with plugins.running(host, broker, clock):
        [context] = Listening.contexts
        assert [session.client_id for session in context.sessions] == ["c"]
        await context.retain_message("plugin/state", b"on", 1)
        async with broker.connected():
            assert [message.payload for message in broker.retained(1, "#")] == [b"on"]
            assert len(list(broker.sessions(1))) == 1


async def test_a_plugin_subscribes_for_a_client_where_it_may() -> None:
    host, authorizer = hosting(LISTENING), FakeAuthorizer()
    authorizer.denied_filters.add("secret/#")
    broker = Broker(FakeOwner(), host.authorizer(authorizer), clock)
    async with plugins.running(host, broker, clock), broker.connected():
        stream = FakeStream()
        broker.attach(stream)
        line = Line(stream)
        await line.send(Connect(V4, "c", True, 0))
        [context] = Listening.contexts
        await context.add_subscription("c", "plant/#", 1)
        await context.broadcast_message("plant/7", b"hello", 0)
        assert payloads(await line.heard()) == [b"hello"]
        with pytest.raises(PluginError, match="'c' may not subscribe to 'secret/#'"):
            await context.add_subscription("c", "secret/#", 1)


@pytest.mark.parametrize("path", ["nowhere.Plugin", "tests.broker.plugins.examples.Breaking"])
async def test_a_plugin_that_cannot_be_made_ends_the_start_in_a_sentence(path: str) -> None:
    host = hosting(path)
    broker = Broker(FakeOwner(), host.authorizer(FakeAuthorizer()), clock)
    with pytest.raises(PluginsError, match=f"^plugins: the plugin {path} cannot be used: "):
        async with plugins.running(host, broker, clock):
            raise AssertionError


async def test_how_plugins_do_is_told_in_numbers() -> None:
    host = hosting(LISTENING)
    broker = Broker(FakeOwner(), host.authorizer(FakeAuthorizer()), clock)
    async with plugins.running(host, broker, clock):
        status = plugins.status(host)
    assert (status.ok, status.summary) == (True, "0 errors of plugins")
    assert set(status.details) == set(PluginStatus.__struct_fields__)
