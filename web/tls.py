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


class EachTime(ssl.SSLContext):
    """The settings of a listening socket, which keeps them as long as it lives: every handshake asks for them anew.

    Settings that are in use never forget what they trusted, nor who may resume; only others do.
    """

    choose: Callable[[], ssl.SSLContext]

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,  # noqa: FBT001, FBT002  as the standard library has it
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """Begin a handshake by the settings of this moment."""
        return self.choose().wrap_bio(incoming, outgoing, server_side, server_hostname, session)


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
        self._newcomers = _newcomer_context(device)
        self.for_newcomers = EachTime(ssl.PROTOCOL_TLS_SERVER)
        self.for_newcomers.choose = lambda: self._newcomers

    def reload(self) -> None:
        """Take up renewed certificates, and what is trusted now: new connections get them, open ones go on.

        Nobody resumes what was trusted before.
        Raises `ssl.SSLError` or `OSError` when a file is missing or does not fit.
        """
        self.for_people.load_cert_chain(self._web_files.certificate, self._web_files.key)
        files = self._device_files
        self.for_devices = _device_context(files.certificate, files.key, files.trust)
        self._newcomers = _newcomer_context(files)
        self.also_reload()

    def chosen(self, hello: ClientHello) -> ssl.SSLContext:
        """The settings for who asks for this on a port that people and devices share."""
        is_device = DEVICE_PROTOCOL in hello.alpn or (self._device_host and hello.server_name == self._device_host)
        return self.for_devices if is_device else self.for_people


def _newcomer_context(files: TlsFiles) -> ssl.SSLContext:
    # They trust the device CA, and have a certificate of it or none: its bearers may renew it.
    context = _device_context(files.certificate, files.key, files.trust)
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


def _device_context(certificate: Path, key: Path, trust: Path) -> ssl.SSLContext:
    context = tls_context(certificate, key, trust)
    context.set_alpn_protocols([DEVICE_PROTOCOL, HTTP_1])
    return context
