"""Certificates and what is trusted: at the start, after a change, and when a session is resumed."""

import asyncio
import socket
import ssl
from pathlib import Path

import pytest

from broker.listener import Endpoint
from broker.tls import DeviceTls, explained, is_end, tls_context
from tests.broker.certificates import DAY, Authority
from tests.broker.conftest import Certificates
from tests.broker.doorway import Doorway, door_open, goodbye

VERSIONS = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2], ids=["1.3", "1.2"])


def _visit(port: int, context: ssl.SSLContext, session: ssl.SSLSession | None) -> tuple[ssl.SSLSession | None, bool]:
    with (
        socket.create_connection(("127.0.0.1", port), timeout=30) as sock,
        context.wrap_socket(sock, server_hostname="127.0.0.1", session=session) as tls,
    ):
        tls.sendall(b"hello")
        assert tls.recv(7) == b"welcome"
        return tls.session, bool(tls.session_reused)


async def visit(
    doorway: Doorway, context: ssl.SSLContext, session: ssl.SSLSession | None = None
) -> tuple[ssl.SSLSession | None, bool]:
    """Come in and leave; gives the session to resume, and whether one was resumed."""
    return await asyncio.to_thread(_visit, doorway.ports[0], context, session)


def device_tls(authority: Authority, name: str) -> DeviceTls:
    return DeviceTls(*authority.issue(name), authority.trust)


@VERSIONS
async def test_a_resumed_session_still_shows_the_certificate(
    certificates: Certificates, version: ssl.TLSVersion
) -> None:
    context = certificates.ours.client_context(certificates.ours, "sensor-9")
    context.maximum_version = version
    async with door_open(Endpoint("127.0.0.1", 0, device_tls(certificates.ours, "resuming"))) as doorway:
        session, was_resumed = await visit(doorway, context)
        assert not was_resumed
        for _ in range(2):
            session, was_resumed = await visit(doorway, context, session)
            assert was_resumed
        assert len(doorway.certificates) == 3
        assert doorway.certificates[0] is not None
        assert b"sensor-9" in doorway.certificates[0]
        assert len(set(doorway.certificates)) == 1


async def test_one_ticket_is_given(certificates: Certificates) -> None:
    assert device_tls(certificates.ours, "one-ticket").context.num_tickets == 1


@VERSIONS
async def test_after_new_files_nobody_resumes_what_was_trusted_before(
    certificates: Certificates, version: ssl.TLSVersion, tmp_path: Path
) -> None:
    """The CA of the first client is taken away: its ticket must not bring it in."""
    trust = tmp_path / "trust.pem"
    trust.write_bytes(certificates.ours.trust.read_bytes() + certificates.theirs.trust.read_bytes())
    server = certificates.ours.issue("renewed")
    tls = DeviceTls(*server, trust)
    async with door_open(Endpoint("127.0.0.1", 0, tls)) as doorway:
        contexts, sessions = [], []
        for authority in (certificates.theirs, certificates.ours):
            contexts.append(certificates.ours.client_context(authority))
            contexts[-1].maximum_version = version
            sessions.append((await visit(doorway, contexts[-1]))[0])
        trust.write_bytes(certificates.ours.trust.read_bytes())
        before = tls.context
        tls.reload()
        assert tls.context is not before
        with pytest.raises((OSError, AssertionError)):
            await visit(doorway, contexts[0], sessions[0])
        await doorway.until(lambda doorway: bool(doorway.refused))
        assert doorway.reasons[0][1].startswith("the client's certificate was not issued here")
        _, was_resumed = await visit(doorway, contexts[1], sessions[1])
        assert not was_resumed


@VERSIONS
@pytest.mark.parametrize("days", [-800, 800], ids=["not begun", "over"])
async def test_whether_a_certificate_is_over_is_left_to_the_authoriser(
    certificates: Certificates, version: ssl.TLSVersion, days: int
) -> None:
    """The clock of a gateway without a battery may be wrong: it must not keep anybody out by itself."""
    context = certificates.ours.client_context(certificates.ours, "elsewhen", shifted_by=days * DAY)
    context.maximum_version = version
    async with door_open(Endpoint("127.0.0.1", 0, device_tls(certificates.ours, "timeless"))) as doorway:
        session, _ = await visit(doorway, context)
        _, was_resumed = await visit(doorway, context, session)
        assert was_resumed
        assert doorway.refused == []


async def test_a_renewed_certificate_is_shown_to_new_clients_and_open_connections_go_on(
    certificates: Certificates, tmp_path: Path
) -> None:
    certificate, key = tmp_path / "server.pem", tmp_path / "server.key"

    def put(name: str) -> None:
        for source, target in zip(certificates.ours.issue(name), (certificate, key), strict=True):
            target.write_bytes(source.read_bytes())

    put("first")
    tls = DeviceTls(certificate, key, certificates.ours.trust)
    async with door_open(Endpoint("127.0.0.1", 0, tls)) as doorway:
        reader, writer = await doorway.knock(certificates.client)
        assert b"first" in _shown(writer)
        put("second")
        tls.reload()
        _, second = await doorway.knock(certificates.client)
        assert b"second" in _shown(second)
        writer.write(b"hello")
        assert await reader.readexactly(7) == b"welcome"
        for each in (writer, second):
            await goodbye(each)


def _protocol(port: int, context: ssl.SSLContext, *asked: str) -> str | None:
    if asked:
        context.set_alpn_protocols(asked)
    with (
        socket.create_connection(("127.0.0.1", port), timeout=30) as sock,
        context.wrap_socket(sock, server_hostname="127.0.0.1") as tls,
    ):
        tls.sendall(b"hello")
        assert tls.recv(7) == b"welcome"
        return tls.selected_alpn_protocol()


@pytest.mark.parametrize(
    ("asked", "told"), [((), None), (("http/1.1",), None), (("mqtt", "x-amzn-mqtt-ca"), "x-amzn-mqtt-ca")]
)
async def test_a_client_is_told_which_protocol_it_got_and_let_in_without_one(
    certificates: Certificates, asked: tuple[str, ...], told: str | None
) -> None:
    tls = DeviceTls(*certificates.ours.issue("protocols"), certificates.ours.trust, ("x-amzn-mqtt-ca", "mqtt"))
    async with door_open(Endpoint("127.0.0.1", 0, tls)) as doorway:
        for _ in range(2):
            context = certificates.ours.client_context(certificates.ours)
            assert await asyncio.to_thread(_protocol, doorway.ports[0], context, *asked) == told
            tls.reload()


def test_files_that_do_not_fit_change_nothing(certificates: Certificates, tmp_path: Path) -> None:
    certificate, key = certificates.ours.issue("kept")
    tls = DeviceTls(certificate, key, certificates.ours.trust)
    before = tls.context
    key.write_bytes(certificates.ours.issue("other")[1].read_bytes())
    with pytest.raises(ssl.SSLError):
        tls.reload()
    key.unlink()
    with pytest.raises(FileNotFoundError):
        tls.reload()
    assert tls.context is before


def test_a_certificate_that_is_missing_stops_the_start(certificates: Certificates) -> None:
    certificate, _ = certificates.ours.issue("other")
    with pytest.raises(OSError, match="No such file"):
        tls_context(certificate, certificate.with_name("missing"), certificates.ours.trust)


@pytest.mark.parametrize("known", [[], ["mqtt"]])
@VERSIONS
async def test_a_protocol_that_the_gateway_does_not_know_is_no_obstacle(
    certificates: Certificates, version: ssl.TLSVersion, known: list[str]
) -> None:
    """The device kit of AWS offers a name of its own, and goes on when nothing is chosen."""
    server = tls_context(*certificates.ours.issue("alpn"), certificates.ours.trust)
    if known:
        server.set_alpn_protocols(known)
    client = certificates.ours.client_context(certificates.ours)
    client.maximum_version = version
    client.set_alpn_protocols(["x-amzn-mqtt-ca"])
    async with door_open(Endpoint("127.0.0.1", 0, server)) as doorway:
        await visit(doorway, client)
        assert doorway.refused == []


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(104, "Connection reset by peer"), "Connection reset by peer"),
        (OSError(), "the client went away"),
        (ssl.SSLError(1, "whatever"), "unknown"),
    ],
)
def test_an_error_without_a_known_cause_is_told_as_it_is(error: OSError, words: str) -> None:
    assert explained(error) == words


def _shown(writer: asyncio.StreamWriter) -> bytes:
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    assert isinstance(shown, bytes)
    return shown


def test_an_end_without_a_farewell_is_one_in_whatever_class_it_comes() -> None:
    cut_off = ssl.SSLError(1, "unexpected eof while reading")
    cut_off.reason = "UNEXPECTED_EOF_WHILE_READING"
    assert is_end(cut_off)
    assert is_end(ssl.SSLEOFError())
    assert not is_end(ssl.SSLError(1, "bad record mac"))
    assert not is_end(ConnectionResetError())
