"""Where devices connect: the listeners that the settings ask for."""

import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Sequence

import msgspec

from appliance.config import MqttConfig
from appliance.errors import ApplianceError
from appliance.registry.model import TlsFiles
from broker.client_hello import ClientHello
from broker.listener import Endpoint, HandOver, SharedEndpoint
from broker.plugins.listeners import ListenerSettings
from broker.server import Broker
from broker.tls import DeviceTls, tls_context

MQTT_PROTOCOLS = ("x-amzn-mqtt-ca", "mqtt")
"""What a client of MQTT asks for on a port that serves HTTPS too, by ALPN."""
LOOPBACK = "127.0.0.1"


class MqttListenError(ApplianceError):
    """A port for devices cannot be opened."""

    code = "mqtt_port"


class Ports(msgspec.Struct, frozen=True):
    """The ports that were really opened."""

    mqtt: int
    shared: int | None
    plain: int | None
    token: int | None
    further: tuple[int, ...]
    """Of the listeners that a configuration of amqtt asks for, in its order."""


class Doors:
    """The endpoints for devices, and the certificate that is shown there."""

    def __init__(
        self, config: MqttConfig, files: Callable[[], TlsFiles], further: Sequence[ListenerSettings] = ()
    ) -> None:
        """`files` gives the certificate files as they are now; `further` are plain listeners besides the settings'."""
        self._config = config
        self._further = further
        shown = files()
        self._tls = DeviceTls(shown.certificate, shown.key, shown.trust, MQTT_PROTOCOLS)
        self._files = shown
        self._token_context = self._without_certificates()

    def reload(self) -> None:
        """Show a renewed certificate in new handshakes, with new keys for tickets; connections that are open go on."""
        self._tls.reload()
        self._token_context = self._without_certificates()

    @contextlib.asynccontextmanager
    async def opened(self, broker: Broker, web: HandOver) -> AsyncIterator[Ports]:
        """Accept devices; `web` takes who speaks HTTPS on the shared port.

        Raises `MqttListenError` when a port cannot be opened.
        """
        endpoints = self.endpoints(web)
        async with contextlib.AsyncExitStack() as stack:
            try:
                opened = list(await stack.enter_async_context(broker.listening(*endpoints)))
            except OSError as error:
                raise MqttListenError(f"mqtt: {error.filename} cannot be opened: {error.strerror}") from error
            config = self._config
            yield Ports(
                mqtt=opened.pop(0),
                shared=None if config.shared_port is None else opened.pop(0),
                plain=None if config.plain_port is None else opened.pop(0),
                token=None if config.token_port is None else opened.pop(0),
                further=tuple(opened),
            )

    def endpoints(self, web: HandOver) -> tuple[Endpoint | SharedEndpoint, ...]:
        """The endpoints: MQTT with certificates, the shared port, plain MQTT, MQTT with tokens."""
        config = self._config
        found: list[Endpoint | SharedEndpoint] = [Endpoint(config.host, config.port, self._tls)]
        if config.shared_port is not None:
            found.append(SharedEndpoint(config.host, config.shared_port, self._choice(web)))
        if config.plain_port is not None:
            host = config.host if config.plain_networks else LOOPBACK
            found.append(self._plain(host, config.plain_port))
        if config.token_port is not None:
            found.append(SharedEndpoint(config.host, config.token_port, lambda _: self._token_context))
        # An empty host is every address, as in amqtt.
        found += [self._plain(listener.host or "0.0.0.0", listener.port) for listener in self._further]  # noqa: S104  the settings say so
        return tuple(found)

    def _plain(self, host: str, port: int) -> Endpoint:
        return Endpoint(host, port, networks=self._config.plain_networks)

    def _without_certificates(self) -> ssl.SSLContext:
        """What is shown where devices show tokens: the same certificate, and none is asked for."""
        context = tls_context(self._files.certificate, self._files.key, self._files.trust, MQTT_PROTOCOLS)
        context.verify_mode = ssl.CERT_NONE
        return context

    def _choice(self, web: HandOver) -> Callable[[ClientHello], ssl.SSLContext | HandOver]:
        protocols = frozenset(MQTT_PROTOCOLS)

        def choose(hello: ClientHello) -> ssl.SSLContext | HandOver:
            return web if protocols.isdisjoint(hello.alpn) else self._tls.context

        return choose
