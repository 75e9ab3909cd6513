"""Plugins written for amqtt, as the settings and a configuration file of amqtt ask for them.

What such a file has that this gateway has not is refused in a sentence; what is set elsewhere here is named.
"""

import contextlib
import ipaddress
import tomllib
from collections.abc import AsyncIterator, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from appliance.config import ConfigError, PluginsConfig
from appliance.errors import ApplianceError
from appliance.health import Status
from appliance.instant import Clock
from appliance.registry.model import DEFAULT_TENANT
from broker.plugins.host import PluginHost, options_by_class_path
from broker.plugins.listeners import Kind, ListenerError, ListenerSettings, listeners_of
from broker.plugins.ports import PluginConfig, PluginError
from broker.plugins.view import TenantView
from broker.server import Broker

_SETTING = "plugins.amqtt_config"
_SET_ELSEWHERE = {
    "sys_interval": "limits.sys_interval_s says it here",
    "session_expiry_interval": "limits.session_expiry_s says it here",
    "timeout_disconnect_delay": "limits.keep_alive_s bounds the silence of clients here",
}
_OUTDATED = {
    "auth": "configure its plugins by their class paths under plugins",
    "topic_check": "configure its plugins by their class paths under plugins",
}


class PluginsError(ApplianceError):
    """A plugin cannot be used as it is configured."""

    code = "plugins"


class Wanted(msgspec.Struct, frozen=True):
    """What is to be hosted."""

    config: PluginConfig
    listeners: tuple[ListenerSettings, ...] = ()
    """Plain ones, by which devices connect too."""
    left_out: tuple[str, ...] = ()
    """What was not taken over from a file of amqtt, a sentence each."""


def read(settings: PluginsConfig, plain_networks: tuple[str, ...]) -> Wanted:
    """Read what the settings ask for, and the file that they name.

    Raises `ConfigError` when the file cannot be read, or holds what cannot be taken over.
    """
    plugins = dict(settings.classes)
    listeners: tuple[ListenerSettings, ...] = ()
    left_out: tuple[str, ...] = ()
    if settings.amqtt_config:
        path = Path(settings.amqtt_config)
        raw = _keys_of(_parsed(path), path)
        try:
            found = options_by_class_path(raw.get("plugins") or {})
            listeners = listeners_of(raw) if raw.get("listeners") is not None else ()
        except (PluginError, ListenerError) as error:
            raise _refused(path, str(error)) from error
        _check_plugins(found, plugins, path)
        plugins |= found
        for listener in listeners:
            _check_listener(listener, path, is_narrow=not plain_networks)
        left_out = tuple(f"{_SETTING}: {path}: {sentence}" for sentence in _left_out(raw, listeners))
    config = PluginConfig(
        plugins={path: options or None for path, options in plugins.items()},
        mode=settings.mode,
        guest_filters=settings.guest_filters,
        tenant_id=DEFAULT_TENANT,
        answer_timeout_s=settings.answer_timeout_s,
        open_questions=settings.open_questions,
        waiting_events=settings.waiting_events,
    )
    return Wanted(config, listeners, left_out)


@contextlib.asynccontextmanager
async def running(host: PluginHost, broker: Broker, clock: Clock) -> AsyncIterator[None]:
    """Host the plugins. Enter before the broker is connected: they hear how the last client leaves.

    Raises `PluginsError` when one cannot be loaded.
    """
    observer = host.observer()
    if observer is None:
        yield
        return
    # Plugins may publish from their first moment on, which must not be undone by what was kept from before.
    broker.restore()
    broker.observe(observer)
    view = TenantView(broker.exchange, DEFAULT_TENANT, clock, partial(broker.grant, DEFAULT_TENANT))
    async with contextlib.AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(host.running(view))
        except PluginError as error:
            raise PluginsError(f"plugins: {error}") from error
        packets = host.packet_observer()
        if packets is not None:
            broker.packet_observers.append(packets)
        yield


def status(host: PluginHost) -> Status:
    """How the plugins do. What they refuse, slow ones too, is for them to say: the gateway is well with it."""
    now = host.status()
    details = {key: getattr(now, key) for key in now.__struct_fields__}
    return Status(ok=True, summary=f"{now.fault_count} errors of plugins", details=details)


def _parsed(path: Path) -> Mapping[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        match path.suffix:
            case ".toml":
                raw: Any = tomllib.loads(text)
            case ".json":
                raw = msgspec.json.decode(text)
            case ".yaml" | ".yml":
                raw = msgspec.yaml.decode(text)
            case _:
                raise _refused(path, "its name must end in .yaml, .yml, .toml or .json")
    except OSError as error:
        raise _refused(path, f"cannot be read: {error.strerror}") from error
    except ImportError as error:
        raise _refused(path, "YAML is read by a package that comes with headworks[amqtt]") from error
    except (tomllib.TOMLDecodeError, msgspec.DecodeError, UnicodeDecodeError) as error:
        # Without the text of the error: it may quote a line of the file, which may hold a secret.
        raise _refused(path, f"not {path.suffix[1:].upper()}") from error
    if not isinstance(raw, Mapping):
        raise _refused(path, "expected a table of settings")
    return raw


def _keys_of(raw: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Write the keys as amqtt does inside, and refuse those that cannot be taken over."""
    found = {str(key).replace("-", "_"): value for key, value in raw.items()}
    for key in found:
        if key in _OUTDATED:
            raise _refused(path, f"{key}: {_OUTDATED[key]}")
        if key not in ("plugins", "listeners", *_SET_ELSEWHERE):
            raise _refused(path, f"{key}: not a key of amqtt 0.12")
    if not isinstance(found.get("plugins") or {}, dict | list):
        raise _refused(path, "plugins: expected a table of options by class path")
    return found


def _check_plugins(found: Mapping[str, Any], plugins: Mapping[str, Any], path: Path) -> None:
    for name, options in found.items():
        if "." not in str(name):
            raise _refused(path, f"plugins: {name!r} is no class path")
        if not isinstance(options, dict):
            raise _refused(path, f"plugins: the options of {name} are no table")
        if name in plugins:
            raise _refused(path, f"the plugin {name} is configured in plugins.classes too")


def _check_listener(listener: ListenerSettings, path: Path, *, is_narrow: bool) -> None:
    where = f"listeners.{listener.name}"
    if listener.kind is Kind.WEBSOCKET:
        raise _refused(path, f"{where}: MQTT over WebSocket is on the web's port, for people and scripts")
    if listener.certificate is not None:
        raise _refused(path, f"{where}: MQTT over TLS is on mqtt.port, with this gateway's own certificates")
    if is_narrow and not _is_loopback(listener.host):
        bind = f"{listener.host or '0.0.0.0'}:{listener.port}"  # noqa: S104  named, not bound
        raise _refused(path, f"{where}: {bind} is open to everybody; list in mqtt.plain_networks who may come")


def _left_out(raw: Mapping[str, Any], listeners: tuple[ListenerSettings, ...]) -> Iterator[str]:
    for key, reason in _SET_ELSEWHERE.items():
        if raw.get(key) is not None:
            yield f"{key} is left out: {reason}"
    for listener in listeners:
        if listener.max_connections is not None:
            yield f"listeners.{listener.name}.max_connections is left out: limits.connections counts all of them"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _refused(path: Path, reason: str) -> ConfigError:
    return ConfigError(f"{_SETTING}: {path}: {reason}")
