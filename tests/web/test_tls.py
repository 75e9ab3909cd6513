import asyncio
import contextlib
import socket
import ssl
from pathlib import Path

import pytest

from appliance.registry import authority
from appliance.registry.service import Registry
from broker.client_hello import ClientHello
from tests.appliance.registry.own_authorities.makers import Company, registered
from tests.web.house import House
from web.tls import DEVICE_PROTOCOL, Certificates


def made(house: House, device_host: str = "devices.example") -> Certificates:
    registry = house.gateway.registry
    return Certificates(registry.web_tls(), registry.device_tls(), device_host)


def hello(server_name: str = "", *alpn: str) -> ClientHello:
    return ClientHello(server_name, alpn, (0x0304,), 300)


async def test_a_device_is_known_by_what_it_asks_for_or_whom_it_calls(house: House) -> None:
    certificates = made(house, "Devices.Example")
    for asked in (hello("", DEVICE_PROTOCOL), hello("gateway.local", "h2", DEVICE_PROTOCOL), hello("devices.example")):
        assert certificates.chosen(asked) is certificates.for_devices
    for asked in (hello(), hello("gateway.local", "h2", "http/1.1"), hello("x.devices.example")):
        assert certificates.chosen(asked) is certificates.for_people


async def test_nobody_calls_a_device_host_that_there_is_not(house: House) -> None:
    certificates = made(house, "")
    assert certificates.chosen(hello("")) is certificates.for_people


async def test_devices_show_a_certificate_and_people_do_not(house: House) -> None:
    certificates = made(house)
    assert certificates.for_devices.verify_mode is ssl.CERT_REQUIRED
    assert certificates.for_people.verify_mode is ssl.CERT_NONE


async def test_reloading_leaves_handshakes_under_way_alone(house: House) -> None:
    certificates = made(house)
    people, devices = certificates.for_people, certificates.for_devices
    certificates.reload()
    # The listening socket keeps the one, so its certificate is replaced inside it; the other is chosen anew.
    assert certificates.for_people is people
    assert certificates.for_devices is not devices


async def test_what_is_trusted_no_more_is_trusted_by_no_handshake_that_begins_afterwards(
    house: House, tmp_path: Path
) -> None:
    registry, company = house.gateway.registry, Company()
    known = await registered(registry, company)
    certificates = made(house)
    async with await _greeting(certificates.for_newcomers) as server:
        port = server.sockets[0].getsockname()[1]
        of_company = device(registry, tmp_path, company)
        session = await asyncio.to_thread(talk, port, of_company)
        assert session is not None
        await registry.own_authorities.remove(1, known.authority_number)
        certificates.reload()
        with pytest.raises(OSError):  # noqa: PT011  an alert, or the end of the connection before it came
            await asyncio.to_thread(talk, port, of_company)
        with pytest.raises(OSError):  # noqa: PT011  as above
            await asyncio.to_thread(talk, port, of_company, session)
        assert await asyncio.to_thread(talk, port, ssl.create_default_context(cadata=registry.root_pem))


async def test_what_one_has_begun_can_be_resumed_while_nothing_has_changed(house: House, tmp_path: Path) -> None:
    registry, company = house.gateway.registry, Company()
    await registered(registry, company)
    async with await _greeting(made(house).for_newcomers) as server:
        port = server.sockets[0].getsockname()[1]
        of_company = device(registry, tmp_path, company)
        session = await asyncio.to_thread(talk, port, of_company)
        assert await asyncio.to_thread(talk, port, of_company, session) == session


async def _greeting(context: ssl.SSLContext) -> asyncio.Server:
    """A server that greets whoever has shaken hands, with a context that it keeps, as the web's sockets do."""

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"!")
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    return await asyncio.start_server(greet, "127.0.0.1", 0, ssl=context)


def device(registry: Registry, folder: Path, company: Company) -> ssl.SSLContext:
    """What a device with a certificate of this company connects with. TLS 1.2 has its sessions at once."""
    context, key = ssl.create_default_context(cadata=registry.root_pem), authority.make_key()
    certificate = authority.certificate_pem(company.issued("pump-7", key=key.public_key()))
    (folder / "device.pem").write_text(certificate + authority.key_pem(key))
    context.load_cert_chain(folder / "device.pem")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


def talk(port: int, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> ssl.SSLSession | None:
    """Shake hands and be greeted; gives the session, by which one may come back. Raises `OSError` for who is not."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=30) as plain,
        context.wrap_socket(plain, server_hostname="localhost", session=session) as secure,
    ):
        if secure.recv(1) != b"!":
            raise ConnectionError("nobody greeted")
        assert session is None or secure.session_reused
        return secure.session
