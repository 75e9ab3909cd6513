import contextlib
import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from OpenSSL import SSL

from appliance.registry.authority import RSA_BITS, RSA_MOST_BITS
from appliance.registry.model import TlsFiles
from appliance.registry.self_made import SelfMade, Unfit
from tests.appliance.enrolment.requests import new_key
from tests.appliance.enrolment.self_made import certificate, shown
from tests.web.house import House
from tests.web.knocking.clients import context_of, device
from web.knocking.tls import HANDSHAKE_BYTES, Tunnel, TunnelError, make_context


@pytest.fixture(name="context")
def _context(house: House) -> SSL.Context:
    return make_context(house.gateway.registry.device_tls())


class Client:
    """The other end of a tunnel, by the standard library, without a socket."""

    def __init__(self, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost", session=session)

    def meet(self, tunnel: Tunnel) -> None:
        """Shake hands, as far as it goes. Raises `TunnelError`."""
        for _ in range(4):
            with contextlib.suppress(ssl.SSLWantReadError):
                self.tls.do_handshake()
            sent = self.outgoing.read()
            try:
                if sent:
                    tunnel.receive(sent)
            finally:
                self.incoming.write(tunnel.outgoing())

    def read(self) -> bytes:
        try:
            return self.tls.read(65_536)
        except ssl.SSLWantReadError:
            return b""


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_certificate_that_nobody_vouches_for_is_shown(
    context: SSL.Context, house: House, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    key = new_key()
    theirs = device(house.gateway.registry, tmp_path / "device", key)
    theirs.minimum_version = theirs.maximum_version = version
    tunnel, client = Tunnel(context), Client(theirs)
    with pytest.raises(TunnelError):
        _ = tunnel.shown
    client.meet(tunnel)
    assert tunnel.is_established
    assert isinstance(tunnel.shown, SelfMade)
    assert tunnel.shown.key_fingerprint == shown(key).key_fingerprint
    client.tls.write(b"hello")
    assert tunnel.receive(client.outgoing.read()) == b"hello"
    tunnel.send(b"welcome" * 10_000)
    tunnel.close()
    client.incoming.write(tunnel.outgoing())
    received = b""
    while piece := client.read():
        received += piece
    assert received == b"welcome" * 10_000


@pytest.mark.parametrize("year", [1990, 2090])
def test_one_that_is_over_or_has_not_begun_is_taken(
    context: SSL.Context, house: House, tmp_path: Path, year: int
) -> None:
    key = new_key()
    odd = certificate(key, begins=datetime(year, 1, 1, tzinfo=UTC), days=1)
    tunnel = Tunnel(context)
    Client(device(house.gateway.registry, tmp_path / "device", key, odd)).meet(tunnel)
    assert isinstance(tunnel.shown, SelfMade)


def test_who_shows_none_is_told_why(context: SSL.Context, house: House) -> None:
    with pytest.raises(TunnelError, match="showed no certificate"):
        Client(context_of(house.gateway.registry)).meet(Tunnel(context))


def test_an_unfit_key_that_costs_little_is_let_in_to_be_told(
    context: SSL.Context, house: House, tmp_path: Path
) -> None:
    for key in (rsa.generate_private_key(65_537, RSA_BITS // 2), ed25519.Ed25519PrivateKey.generate()):
        tunnel = Tunnel(context)
        Client(device(house.gateway.registry, tmp_path / "device", key)).meet(tunnel)
        assert isinstance(tunnel.shown, Unfit)


def test_a_key_that_costs_much_ends_the_handshake(context: SSL.Context, house: House, tmp_path: Path) -> None:
    key = rsa.generate_private_key(65_537, RSA_MOST_BITS + 64)
    with pytest.raises(TunnelError, match="at most 4096"):
        Client(device(house.gateway.registry, tmp_path / "device", key)).meet(Tunnel(context))


def test_a_chain_is_refused_for_nobody_needs_it(context: SSL.Context, house: House, tmp_path: Path) -> None:
    key, own = new_key(), new_key()
    chain = (certificate(key, signed_by=own), certificate(own, "own"))
    with pytest.raises(TunnelError, match="comes alone"):
        Client(device(house.gateway.registry, tmp_path / "device", key, *chain)).meet(Tunnel(context))


def test_one_that_another_ca_has_signed_is_taken_for_its_key(
    context: SSL.Context, house: House, tmp_path: Path
) -> None:
    key = new_key()
    tunnel = Tunnel(context)
    theirs = device(house.gateway.registry, tmp_path / "device", key, certificate(key, signed_by=new_key()))
    Client(theirs).meet(tunnel)
    assert isinstance(tunnel.shown, SelfMade)
    assert tunnel.shown.key_fingerprint == shown(key).key_fingerprint


def test_a_handshake_that_is_too_long_is_ended(context: SSL.Context, house: House, tmp_path: Path) -> None:
    key = new_key()
    large = certificate(key, padding_bytes=HANDSHAKE_BYTES)
    with pytest.raises(TunnelError, match="more than 24576 bytes"):
        Client(device(house.gateway.registry, tmp_path / "device", key, large)).meet(Tunnel(context))


def test_a_certificate_alone_of_more_than_16_kb_is_refused(context: SSL.Context, house: House, tmp_path: Path) -> None:
    key = new_key()
    large = certificate(key, padding_bytes=17_000)
    with pytest.raises(TunnelError, match="at most 16384"):
        Client(device(house.gateway.registry, tmp_path / "device", key, large)).meet(Tunnel(context))


def test_nothing_is_resumed(context: SSL.Context, house: House, tmp_path: Path) -> None:
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        theirs = device(house.gateway.registry, tmp_path / "device")
        theirs.minimum_version = theirs.maximum_version = version
        first, tunnel = Client(theirs), Tunnel(context)
        first.meet(tunnel)
        tunnel.send(b"hello")
        first.incoming.write(tunnel.outgoing())
        assert first.read() == b"hello"
        again, second = Client(theirs, first.tls.session), Tunnel(context)
        again.meet(second)
        assert not again.tls.session_reused
        assert isinstance(second.shown, SelfMade)


def test_what_is_not_tls_is_told_in_words(context: SSL.Context) -> None:
    with pytest.raises(TunnelError, match="plain HTTP came"):
        Tunnel(context).receive(b"POST /enrol HTTP/1.1\r\n\r\n")
    with pytest.raises(TunnelError):
        Tunnel(context).receive(b"\x10\x1a\x00\x04MQTT\x04\x02\x00\x3c\x00\x0epump-7-longer-")


@given(st.lists(st.binary(min_size=1, max_size=600), max_size=5))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
def test_no_bytes_do_anything_but_fail_in_words(context: SSL.Context, pieces: list[bytes]) -> None:
    tunnel = Tunnel(context)
    with contextlib.suppress(TunnelError):
        for piece in pieces:
            assert tunnel.receive(piece) == b""
    assert not tunnel.is_established


def test_a_farewell_before_anything_was_said_is_no_mishap(context: SSL.Context) -> None:
    tunnel = Tunnel(context)
    tunnel.close()
    assert tunnel.outgoing() == b""
    with pytest.raises(TunnelError):
        tunnel.send(b"x")


def test_files_that_do_not_fit_are_an_error(house: House) -> None:
    files = house.gateway.registry.device_tls()
    with pytest.raises(SSL.Error):
        make_context(TlsFiles(files.certificate, house.gateway.registry.web_tls().key, files.trust))
