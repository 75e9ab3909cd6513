"""Plugins of amqtt's own, as shipped, in our broker; and a gateway without plugins, which needs no amqtt."""

import asyncio
import importlib.util
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from amqtt.plugins.authentication import FileAuthPlugin
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from broker.packets import Connect, Publish
from broker.plugins.host import PluginHost, options_by_class_path
from broker.plugins.ports import Mode, PluginConfig, PluginError, PluginStatus
from broker.ports import ALLOWED, Denied, Principal
from tests.broker.plugins.examples import HERE, NOW, FakeBase, FakeView, answer, hosting, message, shown

ROOT = Path(__file__).parents[2]
FILE = "amqtt.plugins.authentication.FileAuthPlugin"
ANONYMOUS = "amqtt.plugins.authentication.AnonymousAuthPlugin"
ACL = "amqtt.plugins.topic_checking.TopicAccessControlListPlugin"
TABOO = "amqtt.plugins.topic_checking.TopicTabooPlugin"
EVENTS = "amqtt.plugins.logging_amqtt.EventLoggerPlugin"
PACKETS = "amqtt.plugins.logging_amqtt.PacketLoggerPlugin"
SYS = "amqtt.plugins.sys.broker.BrokerSysPlugin"


def _password_file(folder: Path) -> Path:
    # The cheapest hash there is: the plugin takes its terms from the hash itself.
    hasher = PasswordHash((Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1),))
    path = folder / "passwords"
    path.write_text(f"# users\nanna:{hasher.hash('secret')}\nbob:{hasher.hash('hunter2')}\na line with hunter3\n")
    return path


def test_without_plugins_amqtt_is_not_imported() -> None:
    script = (
        "import asyncio, sys\n"
        "from broker.plugins.host import PluginHost\n"
        "from broker.plugins.ports import PluginConfig\n"
        "import broker.plugins.listeners\n"
        "async def main():\n"
        "    host = PluginHost(PluginConfig(), lambda: 0)\n"
        "    base = object()\n"
        "    async with host.running(None):\n"
        "        assert host.authorizer(base) is base\n"
        "        assert host.observer() is None and host.packet_observer() is None\n"
        "asyncio.run(main())\n"
        "print(sorted(name for name in sys.modules if name.split('.')[0] in ('amqtt', 'transitions', 'dacite')))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr


async def test_the_password_file_of_amqtt_admits_its_users(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    config = PluginConfig(plugins={FILE: {"password_file": str(_password_file(tmp_path))}}, mode=Mode.GUESTS)
    async with hosting(config) as host:
        authorizer = host.authorizer(FakeBase("press-1"))
        assert authorizer.authenticate(shown("c", "anna", "secret")) == Principal(1, "guest/anna")
        assert isinstance(authorizer.authenticate(shown("c", "anna", "hunter2")), Denied)
        assert isinstance(authorizer.authenticate(shown("c", "anna")), Denied)
        assert isinstance(authorizer.authenticate(shown("c", "eve", "secret")), Denied)
        assert isinstance(authorizer.authenticate(shown("c")), Denied)
        assert authorizer.authenticate(shown("press-1", certificate=b"DER")) == Principal(1, "press-1")
    assert "2 user(s) loaded" in caplog.text
    for secret in ("secret", "hunter2", "hunter3", "$argon2"):
        assert secret not in caplog.text


@pytest.mark.parametrize("is_allowed", [True, False])
async def test_anonymous_guests_get_in_as_amqtt_lets_them(is_allowed: bool) -> None:
    config = PluginConfig(plugins={ANONYMOUS: {"allow_anonymous": is_allowed}}, mode=Mode.GUESTS)
    async with hosting(config) as host:
        who = host.authorizer(FakeBase()).authenticate(shown("c"))
        assert who == Principal(1, "anonymous/c") if is_allowed else isinstance(who, Denied)


async def test_the_topic_lists_of_amqtt_narrow_what_guests_may_do(caplog: pytest.LogCaptureFixture) -> None:
    lists = {"publish_acl": {"anna": ["plant/+/out"]}, "acl": {"anna": ["plant/#"]}}
    config = PluginConfig(
        plugins={ANONYMOUS: None, ACL: lists}, mode=Mode.GUESTS, guest_filters=("plant/#",), tenant_id=1
    )
    async with hosting(config) as host:
        authorizer = host.authorizer(FakeBase())
        anna, bob = (authorizer.authenticate(shown(name, name)) for name in ("anna", "bob"))
        assert isinstance(anna, Principal)
        assert isinstance(bob, Principal)
        assert authorizer.may_publish(anna, "plant/7/out") == ALLOWED
        assert isinstance(authorizer.may_publish(anna, "plant/7/in"), Denied)
        assert isinstance(authorizer.may_publish(bob, "plant/7/out"), Denied)
        assert authorizer.may_subscribe(anna, "plant/+/in") == ALLOWED
        assert isinstance(authorizer.may_subscribe(anna, "other/#"), Denied)
        assert authorizer.may_receive(anna, "plant/7/in") == ALLOWED
        # After a restart a session has its name only.
        assert authorizer.may_publish(Principal(1, "guest/anna"), "plant/7/out") == ALLOWED
    assert "'acl' option is deprecated" in caplog.text


async def test_taboo_topics_of_amqtt_are_taboo_for_devices_too() -> None:
    async with hosting(PluginConfig(plugins={TABOO: None})) as host:
        authorizer = host.authorizer(FakeBase("press-1"))
        device = authorizer.authenticate(shown("press-1", certificate=b"DER"))
        assert isinstance(device, Principal)
        assert authorizer.may_publish(device, "permitted") == ALLOWED
        assert isinstance(authorizer.may_publish(device, "prohibited"), Denied)


async def test_the_loggers_of_amqtt_log_what_happens_but_no_password(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with hosting(PluginConfig(plugins={EVENTS: None, PACKETS: None})) as host:
        observer, packets = host.observer(), host.packet_observer()
        assert observer is not None
        assert packets is not None
        packets.packet_received(None, "c", Connect(4, "c", True, 60, username="anna", password=b"hunter2"))
        observer.connected(Principal(1, "c"), "c")
        packets.packet_sent(Principal(1, "c"), "c", Publish("a/b", b"1"))
        observer.delivered("c", message())
        observer.disconnected(Principal(1, "c"), "c")
    assert "### 'on_broker_client_connected' EVENT FIRED ###" in caplog.text
    assert "### 'on_broker_client_disconnected' EVENT FIRED ###" in caplog.text
    assert "### 'on_broker_post_shutdown' EVENT FIRED ###" in caplog.text
    assert "c -out-> PublishPacket" in caplog.text
    assert "ConnectPacket" in caplog.text
    assert "hunter2" not in caplog.text


async def test_the_system_topics_of_amqtt_are_published(caplog: pytest.LogCaptureFixture) -> None:
    view = FakeView()
    async with hosting(PluginConfig(plugins={SYS: {"sys_interval": 100}}), view) as host:
        [version] = view.published
        assert (version.topic, version.retain) == ("$SYS/broker/version", True)
        observer, packets = host.observer(), host.packet_observer()
        assert observer is not None
        assert packets is not None
        observer.connected(Principal(1, "c"), "c")
        packets.packet_received(Principal(1, "c"), "c", Publish("a/b", b"12345"))
        plugins = host._now.plugins
        assert plugins is not None
        [plugin] = plugins._plugins
        await _until(lambda: bool(plugin._stats["publish_received"]))
        plugin.broadcast_dollar_sys_topics()
        await _until(lambda: len(view.published) == 24)
        plugin._sys_handle.cancel()
    published = {each.topic.removeprefix("$SYS/broker/"): each.payload for each in view.published}
    assert published["clients/connected"] == b"1"
    assert published["load/bytes/received"] == b"12"
    assert "plugin warned" in caplog.text  # that psutil will be an extra


async def _until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not is_so():  # noqa: ASYNC110  the plugin under test has no event to wait for
            await asyncio.sleep(0)


async def test_packets_cost_nothing_when_no_plugin_listens_to_them() -> None:
    async with hosting(PluginConfig(plugins={ANONYMOUS: None})) as host:
        assert host.packet_observer() is None
        assert host.observer() is not None


@pytest.mark.skipif(
    importlib.util.find_spec("sqlalchemy") is None, reason="amqtt.contrib needs headworks[amqtt-contrib]"
)
async def test_the_tokens_of_amqtt_contrib_say_who_a_guest_is_and_which_topics_it_has() -> None:
    jwt = pytest.importorskip("jwt")
    key = "a key of at least thirty-two bytes, for HS256"
    claims = {"sub": "anna", "pub": ["plant/+/out"], "subs": ["plant/#"], "rec": ["plant/#"]}
    token = jwt.encode(claims, key, algorithm="HS256")
    plugins = {
        "amqtt.contrib.jwt.UserAuthJwtPlugin": {"secret_key": key, "user_claim": "sub"},
        "amqtt.contrib.jwt.TopicAuthJwtPlugin": {
            "secret_key": key,
            "publish_claim": "pub",
            "subscribe_claim": "subs",
            "receive_claim": "rec",
        },
    }
    config = PluginConfig(plugins={**plugins}, mode=Mode.GUESTS, guest_filters=("#",))
    async with hosting(config) as host:
        authorizer = host.authorizer(FakeBase())
        forged = jwt.encode(claims, key[::-1], algorithm="HS256")
        assert isinstance(await answer(authorizer.authenticate(shown("c", "anna", forged))), Denied)
        assert isinstance(await answer(authorizer.authenticate(shown("c", "bob", token))), Denied)
        guest = await answer(authorizer.authenticate(shown("c", "anna", token)))
        assert guest == Principal(1, "guest/anna")
        assert isinstance(guest, Principal)
        assert authorizer.may_publish(guest, "plant/7/out") == ALLOWED
        assert isinstance(authorizer.may_publish(guest, "plant/7/in"), Denied)
        assert authorizer.may_receive(guest, "plant/7/in") == ALLOWED


# --- what cannot be used ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plugins", "reason"),
    [
        ({"no.such.Plugin": None}, "no.such.Plugin cannot be used: it cannot be imported"),
        ({FILE: {"password_flie": "hunter2"}}, "it has no option password_flie"),
        ({FILE: {"password_file": 7_654_321}}, "its option password_file is missing or of another type"),
        ({FILE: {"password_file": "/no/such/file"}}, "Password file '/no/such/file' not found"),
        ({"pathlib.Path": None}, "Path is not a subclass of 'BasePlugin'"),
        ({f"{HERE}.Breaking": {"password": "hunter2"}}, "RuntimeError while it was made"),
    ],
)
async def test_a_plugin_that_cannot_be_used_is_named_and_its_options_are_not(
    plugins: dict[str, dict[str, object] | None], reason: str
) -> None:
    with pytest.raises(PluginError) as failure:
        async with hosting(PluginConfig(plugins=plugins)):
            raise AssertionError("it was loaded")
    assert reason in str(failure.value)
    assert "hunter2" not in str(failure.value)
    assert "7654321" not in str(failure.value)
    assert failure.value.__cause__ is None
    assert failure.value.__suppress_context__


def test_without_amqtt_the_error_says_what_to_install() -> None:
    script = (
        "import asyncio, sys\n"
        "sys.modules['amqtt'] = None\n"
        "from broker.plugins.host import PluginError, PluginHost\n"
        "from broker.plugins.ports import PluginConfig\n"
        "async def main():\n"
        "    try:\n"
        "        async with PluginHost(PluginConfig(plugins={'a.B': None}), lambda: 0).running(None):\n"
        "            pass\n"
        "    except PluginError as error:\n"
        "        print(error)\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "install headworks[amqtt]" in done.stdout, done.stderr


# --- the two forms of the setting, and the life of the host ----------------------------------------


def test_both_forms_of_amqtts_setting_are_taken() -> None:
    expected = {ANONYMOUS: {"allow_anonymous": False}, EVENTS: {}}
    assert options_by_class_path({ANONYMOUS: {"allow_anonymous": False}, EVENTS: None}) == expected
    assert options_by_class_path([{ANONYMOUS: {"allow_anonymous": False}}, EVENTS]) == expected
    assert options_by_class_path([]) == {}


def test_a_plugin_that_is_configured_twice_is_refused() -> None:
    with pytest.raises(PluginError, match="twice"):
        options_by_class_path([EVENTS, {EVENTS: None}])


async def test_a_host_that_does_not_run_denies_and_hears_nothing() -> None:
    host = PluginHost(PluginConfig(plugins={ANONYMOUS: None}, mode=Mode.BOTH, guest_filters=("#",)), lambda: NOW)
    authorizer, observer, packets = host.authorizer(FakeBase("c")), host.observer(), host.packet_observer()
    assert observer is not None
    assert packets is not None
    async with host.running(FakeView()):
        principal = authorizer.authenticate(shown("c"))
        assert isinstance(principal, Principal)
        assert authorizer.may_publish(principal, "t") == ALLOWED
    assert isinstance(authorizer.authenticate(shown("c")), Denied)
    assert isinstance(authorizer.may_publish(principal, "t"), Denied)
    assert host.status() == PluginStatus()
    observer.connected(principal, "c")
    observer.published(message())
    packets.packet_sent(principal, "c", Publish("t", b""))


async def test_in_guest_mode_devices_are_let_in_unasked(tmp_path: Path) -> None:
    path = f"{FileAuthPlugin.__module__}.{FileAuthPlugin.__name__}"
    config = PluginConfig(plugins=[{path: {"password_file": str(_password_file(tmp_path))}}], mode=Mode.GUESTS)
    async with hosting(config) as host:
        assert host.authorizer(FakeBase("press-1")).authenticate(shown("press-1", "anna", "wrong")) == Principal(
            1, "press-1"
        )
