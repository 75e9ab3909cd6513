"""Where devices connect: the listeners that the settings ask for."""

import ssl
from collections.abc import Callable

from appliance.config import MqttConfig
from appliance.registry.model import TlsFiles
from broker.client_hello import ClientHello
from broker.listener import Endpoint, HandOver, SharedEndpoint
from broker.tls import DeviceTls

MQTT_PROTOCOLS = frozenset(("x-amzn-mqtt-ca", "mqtt"))
"""What a client of MQTT asks for on a port that serves HTTPS too, by ALPN."""
LOOPBACK = "127.0.0.1"


class Doors:
    """The endpoints for devices, and the certificate that is shown there."""

    def __init__(self, config: MqttConfig, files: Callable[[], TlsFiles]) -> None:
        """`files` gives the certificate files as they are now."""
        self._config = config
        shown = files()
        self._tls = DeviceTls(shown.certificate, shown.key, shown.trust)

    def reload(self) -> None:
        """Show a renewed certificate in new handshakes; connections that are open go on."""
        self._tls.reload()

    def endpoints(self, web: HandOver) -> tuple[Endpoint | SharedEndpoint, ...]:
        """The endpoints: MQTT with certificates first; `web` takes who speaks HTTPS on the shared port."""
        config = self._config
        secure: list[Endpoint | SharedEndpoint] = [Endpoint(config.host, config.port, self._tls)]
        if config.shared_port is not None:
            secure.append(SharedEndpoint(config.host, config.shared_port, self._choice(web)))
        if config.plain_port is not None:
            host = config.host if config.plain_networks else LOOPBACK
            secure.append(Endpoint(host, config.plain_port, networks=config.plain_networks))
        return tuple(secure)

    def _choice(self, web: HandOver) -> Callable[[ClientHello], ssl.SSLContext | HandOver]:
        def choose(hello: ClientHello) -> ssl.SSLContext | HandOver:
            return web if MQTT_PROTOCOLS.isdisjoint(hello.alpn) else self._tls.context

        return choose
