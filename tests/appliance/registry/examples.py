"""What several tests of the registry use: moments, names, handshakes."""

import contextlib
import socket
import ssl
import threading
from pathlib import Path

from hypothesis import strategies as st

from appliance.instant import from_text
from appliance.registry.model import DEFAULT_TENANT, Bundle, TlsFiles
from appliance.registry.names import ServerNames
from appliance.registry.service import Registry
from broker.ports import Credentials, Decision, Denied, Principal

NOW = from_text("2026-11-21T06:00:00")
NAMES = ServerNames(("gateway-7f3a", "gateway-7f3a.local", "localhost"), ("127.0.0.1", "192.168.4.2", "::1"))

device_ids = st.from_regex(r"[A-Za-z0-9:_-]{1,128}", fullmatch=True)

STRICT = ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
"""What Python 3.13 asks of every chain by default."""


class FakeClock:
    """A clock that stands until it is set."""

    def __init__(self, now: int) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


def credentials(client_id: str, certificate: bytes | None, username: str | None = None) -> Credentials:
    return Credentials(client_id, username, b"secret" if username else None, certificate, "192.168.4.20:50000")


def der(bundle: Bundle) -> bytes:
    return ssl.PEM_cert_to_DER_cert(bundle.certificate_pem)


def server_context(tls: TlsFiles, *, asks_certificate: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls.certificate, tls.key)
    if asks_certificate:
        context.load_verify_locations(tls.trust)
        context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= STRICT
    return context


def client_context(trust: str, certificate: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=trust)
    if certificate:
        context.load_cert_chain(certificate, key)
    context.verify_flags |= STRICT
    return context


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> bytes | None:
    """A handshake and one byte each way over a socket pair; gives the client's certificate as the server saw it.

    Raises `ssl.SSLError` when either side refuses the other.
    """
    near, far = socket.socketpair()
    seen: list[bytes | None] = []
    errors: list[Exception] = []

    def serve() -> None:
        try:
            with server.wrap_socket(near, server_side=True) as connection:
                seen.append(connection.getpeercert(binary_form=True))
                connection.sendall(b"!")
                connection.recv(1)
        except (ssl.SSLError, OSError) as error:
            errors.append(error)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with client.wrap_socket(far, server_hostname=name) as connection:
            # With TLS 1.3 the client learns of a refusal only when it reads.
            if connection.recv(1) == b"!":
                connection.sendall(b"!")
    finally:
        with contextlib.suppress(OSError):
            far.close()
        thread.join()
        near.close()
    if errors:
        raise errors[0]
    return seen[0]


async def add(registry: Registry, device_id: str) -> Bundle:
    await registry.add_device(DEFAULT_TENANT, device_id)
    return await registry.issue_certificate(DEFAULT_TENANT, device_id)


def refusal(registry: Registry, client_id: str, certificate: bytes | None, username: str | None = None) -> str:
    answer = registry.authenticate(credentials(client_id, certificate, username))
    return answer.reason if isinstance(answer, Denied) else ""


def rights(registry: Registry, principal: Principal) -> list[Decision]:
    """What a device is told of its own topics."""
    name = principal.name
    return [
        registry.may_publish(principal, f"sensors/{name}/telemetry"),
        registry.may_subscribe(principal, f"cmd/{name}/#"),
        registry.may_receive(principal, f"cmd/{name}/restart"),
    ]


def denied_reason(decision: Decision) -> str:
    assert isinstance(decision, Denied)
    return decision.reason
