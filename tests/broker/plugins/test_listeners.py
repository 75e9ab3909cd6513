"""Listeners of an amqtt configuration, taken over or refused in words."""

import contextlib
import string
from pathlib import Path
from typing import Any

import pytest
from amqtt.broker import Broker
from amqtt.contexts import BrokerConfig
from hypothesis import given
from hypothesis import strategies as st

from broker.plugins.listeners import Kind, ListenerError, ListenerSettings, listeners_of

ALL = "0.0.0.0"  # noqa: S104  nothing listens here
ADDRESSES = st.sampled_from(["", ALL, "127.0.0.1", "localhost", "[::]", "[::1]"])
PORTS = st.one_of(st.just(""), st.integers(0, 65_535).map(lambda port: f":{port}"))


def _one(**keys: Any) -> ListenerSettings:
    [settings] = listeners_of({"listeners": {"default": keys}})
    return settings


@given(ADDRESSES, PORTS, st.sampled_from(Kind))
def test_addresses_are_read_as_amqtt_reads_them(address: str, port: str, kind: Kind) -> None:
    bind = address + port
    host, number = Broker._split_bindaddr_port(bind, {"tcp": 1883, "ws": 8883}[kind])
    settings = _one(type=str(kind), bind=bind)
    assert (settings.host, settings.port) == ((host or "").strip("[]"), number)


@given(st.integers(0, 65_535))
def test_a_port_alone_is_an_address_too(port: int) -> None:
    assert (_one(bind=port).port, _one(bind=str(port)).port, _one(bind=port).host) == (port, port, "")


# Other values than amqtt's own defaults: a value that is one of them amqtt takes for a value that is not there.
KEYS = {
    "type": st.just("ws"),
    "bind": st.sampled_from(["127.0.0.1:1", "[::]:2"]),
    "max_connections": st.integers(1, 3),
}


@given(st.fixed_dictionaries({}, optional=KEYS), st.fixed_dictionaries({}, optional=KEYS))
def test_what_a_listener_leaves_out_it_has_from_the_default_one_as_in_amqtt(default: Any, other: Any) -> None:
    entries = {"default": default, "other": other}
    theirs = BrokerConfig.from_dict({"listeners": {name: {**entry} for name, entry in entries.items()}, "plugins": {}})
    for settings in listeners_of({"listeners": entries}):
        listener = theirs.listeners[settings.name]
        host, port = Broker._split_bindaddr_port(listener.bind, 0)
        assert (settings.host, settings.port) == (str(host).strip("[]"), port)
        assert settings.kind == listener.type
        assert settings.max_connections == (listener.max_connections or None)


def test_what_a_listener_says_it_has_even_if_it_is_a_default_of_amqtt() -> None:
    other = {"type": "tcp", "bind": "0.0.0.0:1883", "max_connections": 0}
    default = {"type": "ws", "bind": "127.0.0.1:1", "max_connections": 5}
    settings = listeners_of({"listeners": {"default": default, "other": other}})[1]
    assert settings == ListenerSettings("other", Kind.TCP, ALL, 1883)


def test_a_whole_configuration_is_taken_over() -> None:
    config = {
        "listeners": {
            "default": {"type": "tcp", "bind": "0.0.0.0:1883", "max-connections": 100},
            "secure": {
                "bind": "0.0.0.0:8883",
                "ssl": True,
                "cafile": Path("/pki/ca.crt"),
                "certfile": "/pki/server.crt",
                "keyfile": "/pki/server.key",
                "capath": None,
            },
            "web": {"type": "ws", "bind": "0.0.0.0:8080", "max_connections": 0},
            "plain": None,
        },
        "plugins": {},
    }
    plain, secure, web, again = listeners_of(config)
    assert plain == ListenerSettings("default", Kind.TCP, ALL, 1883, max_connections=100)
    assert secure == ListenerSettings(
        "secure",
        Kind.TCP,
        ALL,
        8883,
        Path("/pki/server.crt"),
        Path("/pki/server.key"),
        Path("/pki/ca.crt"),
        100,
    )
    assert web == ListenerSettings("web", Kind.WEBSOCKET, ALL, 8080)
    assert (again.port, again.max_connections) == (1883, 100)


def test_without_listeners_there_is_amqtts_own() -> None:
    assert listeners_of({}) == (ListenerSettings("default", Kind.TCP, ALL, 1883),)


@pytest.mark.parametrize(
    ("listeners", "reason"),
    [
        ([], "expected a table"),
        ({"other": {}}, "one must be named 'default'"),
        ({"default": "tcp"}, "listeners.default: expected a table"),
        ({"default": {"type": "external"}}, "'external' is not supported; expected tcp or ws"),
        ({"default": {"capath": "/pki"}}, "capath: not supported; put the certificates"),
        ({"default": {"cadata": "PEM"}}, "cadata: not supported"),
        ({"default": {"reader": "x"}}, "reads its sockets itself"),
        ({"default": {"writer": "x"}}, "writes its sockets itself"),
        ({"default": {"colour": "red"}}, "colour"),
        ({"default": {"max-connections": "many"}}, "listeners.default: Expected `int"),
        ({"default": {"ssl": True}}, "TLS needs certfile and keyfile"),
        ({"default": {"certfile": "/c"}}, "go together"),
        ({"default": {"cafile": "/c"}}, "certificates of clients need ssl"),
        ({"default": {"bind": "0.0.0.0:mqtt"}}, "'0.0.0.0:mqtt' is not address:port"),
        ({"default": {"bind": "0.0.0.0:65536"}}, "is not address:port"),
        ({"default": {"bind": "::1:1883"}}, "is not address:port"),
    ],
)
def test_what_cannot_be_taken_over_is_said(listeners: Any, reason: str) -> None:
    with pytest.raises(ListenerError) as failure:
        listeners_of({"listeners": listeners})
    assert reason in str(failure.value)


@given(st.dictionaries(st.text(string.ascii_lowercase, max_size=8), st.one_of(st.none(), st.integers(), st.text())))
def test_no_configuration_raises_anything_else(entry: dict[str, Any]) -> None:
    with contextlib.suppress(ListenerError):
        listeners_of({"listeners": {"default": entry}})
