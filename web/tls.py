"""What the web shows in a TLS handshake: to people the certificate of the web CA, to devices that of the device CA."""

import ssl
from collections.abc import Callable
from pathlib import Path

from appliance.registry.model import TlsFiles
from broker.client_hello import ClientHello
from broker.tls import tls_context

HTTP_1 = "http/1.1"
DEVICE_PROTOCOL = "x-amzn-http-ca"
"""What a device asks for that wants HTTPS with its certificate, by ALPN."""


class Certificates:
    """The settings of handshakes that begin now."""

    def __init__(self, web: TlsFiles, device: TlsFiles, device_host: str) -> None:
        """`device_host` is the name by which devices call; empty when they have none of their own.

        Raises `ssl.SSLError` or `OSError` when a file is missing or does not fit.
        """
        self._web_files = web
        self._device_files = device
        self._device_host = device_host.lower()
        self.also_reload: Callable[[], None] = lambda: None
        """Called when renewed certificates are taken up: for whoever shows them by other settings."""
        self.for_people = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.for_people.minimum_version = ssl.TLSVersion.TLSv1_2
        self.for_people.set_alpn_protocols([HTTP_1])
        self.for_people.load_cert_chain(web.certificate, web.key)
        self.for_devices = _device_context(device.certificate, device.key, device.trust)
        # They trust the device CA, and have a certificate of it or none: its bearers may renew it.
        self.for_newcomers = _device_context(device.certificate, device.key, device.trust)
        self.for_newcomers.verify_mode = ssl.CERT_OPTIONAL

    def reload(self) -> None:
        """Take up renewed certificates: new connections get them, open ones go on.

        Raises `ssl.SSLError` or `OSError` when a file is missing or does not fit.
        """
        self.for_people.load_cert_chain(self._web_files.certificate, self._web_files.key)
        files = self._device_files
        self.for_devices = _device_context(files.certificate, files.key, files.trust)
        self.for_newcomers.load_cert_chain(files.certificate, files.key)
        self.for_newcomers.load_verify_locations(files.trust)
        self.also_reload()

    def chosen(self, hello: ClientHello) -> ssl.SSLContext:
        """The settings for who asks for this on a port that people and devices share."""
        is_device = DEVICE_PROTOCOL in hello.alpn or (self._device_host and hello.server_name == self._device_host)
        return self.for_devices if is_device else self.for_people


def _device_context(certificate: Path, key: Path, trust: Path) -> ssl.SSLContext:
    context = tls_context(certificate, key, trust)
    context.set_alpn_protocols([DEVICE_PROTOCOL, HTTP_1])
    return context
