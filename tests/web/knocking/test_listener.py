import asyncio
import contextlib
import dataclasses
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from appliance.config import HttpConfig
from appliance.enrolment.tray.model import Acceptance
from appliance.enrolment.tray.service import Tray
from appliance.registry.authority import RSA_BITS
from tests.appliance.enrolment.requests import new_key
from tests.appliance.enrolment.self_made import certificate
from tests.web.house import House
from tests.web.knocking.clients import EMPTY, ask, context_of, device, post
from web import server
from web.knocking import listener
from web.server import Served


@pytest.fixture(name="served")
async def _served(house: House) -> AsyncIterator[Served]:
    config = HttpConfig(host="127.0.0.1", port=0, trust_port=None, enrolment_port=None, knock_port=0)
    async with server.serving(house.gateway, config) as made:
        yield made


@pytest.fixture(name="port")
def _port(served: Served) -> int:
    assert served.knock_port is not None
    return served.knock_port


async def test_a_device_knocks_waits_is_let_in_and_has_a_certificate_for_its_own_key(
    house: House, port: int, tmp_path: Path
) -> None:
    key = new_key()
    mine = device(house.gateway.registry, tmp_path / "device", key)
    waits = await ask(port, mine, post({"device_id": "fan-1", "type": "fan", "note": "hall 2"}))
    assert (waits.status, waits.headers["retry-after"], waits.told["state"]) == (202, "5", "pending")
    [knock] = await house.gateway.tray.waiting(1)
    assert (knock.wanted_id, knock.label, knock.note, knock.address) == ("fan-1", "fan", "hall 2", "127.0.0.1")
    assert knock.key_fingerprint.startswith(waits.told["code"])
    # The same key in another certificate is the same knock.
    again = await ask(port, device(house.gateway.registry, tmp_path / "again", key, certificate(key, "other")))
    assert again.told["code"] == waits.told["code"]
    await house.gateway.tray.accept(1, knock.knock_number, Acceptance("fan-1", "fan"))
    given = await ask(port, mine)
    assert (given.status, given.told["device_id"], given.told["port"]) == (200, "fan-1", 8883)
    leaf = x509.load_pem_x509_certificates(given.told["certificate"].encode())[0]
    assert leaf.public_key() == key.public_key()
    assert given.told["root"] == house.gateway.registry.root_pem


async def test_who_was_refused_hears_it(house: House, port: int, tmp_path: Path) -> None:
    mine = device(house.gateway.registry, tmp_path / "device")
    await ask(port, mine)
    [knock] = await house.gateway.tray.waiting(1)
    await house.gateway.tray.refuse(1, knock.knock_number)
    refused = await ask(port, mine)
    assert (refused.status, refused.told["error"]) == (403, "knock_refused")


async def test_a_weak_key_is_refused_in_words(house: House, port: int, tmp_path: Path) -> None:
    key = rsa.generate_private_key(65_537, RSA_BITS // 2)
    refused = await ask(port, device(house.gateway.registry, tmp_path / "device", key))
    assert (refused.status, refused.told["error"]) == (400, "unfit_key")
    assert await house.gateway.tray.waiting(1) == []


async def test_nothing_else_is_there(house: House, port: int, tmp_path: Path) -> None:
    mine = device(house.gateway.registry, tmp_path / "device")
    for sent, status in (
        (b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", 404),
        (b"GET /enrol HTTP/1.1\r\nhost: a\r\n\r\n", 405),
        (b"GET /v1/devices HTTP/1.1\r\nhost: a\r\n\r\n", 404),
        (post({"admin": True}), 400),
        (b"POST /enrol HTTP/1.1\r\nhost: a\r\ncontent-length: 99999\r\n\r\n" + bytes(50_000), 413),
        (b"\x10\x12\x00\x04MQTT\x04\x02\x00\x3c\x00\x06pump-7\r\n\r\n", 400),
    ):
        assert (await ask(port, mine, sent)).status == status
    assert await house.gateway.tray.waiting(1) == []


async def test_of_two_requests_on_one_connection_only_the_first_is_answered(
    house: House, port: int, tmp_path: Path
) -> None:
    answer = await ask(port, device(house.gateway.registry, tmp_path / "device"), EMPTY + EMPTY)
    assert answer.status == 202


async def test_who_is_slow_piece_by_piece_is_answered_all_the_same(house: House, port: int, tmp_path: Path) -> None:
    whole = post({"note": "slow"})
    pieces = [whole[at : at + 7] for at in range(0, len(whole), 7)]
    assert (await ask(port, device(house.gateway.registry, tmp_path / "device"), *pieces)).status == 202


async def test_who_shows_no_certificate_or_no_tls_is_refused_and_told_of_where_owners_look(
    house: House, port: int
) -> None:
    with pytest.raises((ssl.SSLError, OSError)):
        await ask(port, context_of(house.gateway.registry))
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
    async with asyncio.timeout(30):
        await reader.read()
    writer.transport.abort()
    assert house.gateway.broker.refusals["tls_handshake_failed"] == 2


async def test_so_many_at_once_are_held_and_one_address_is_not_all_of_them(
    house: House, port: int, tmp_path: Path
) -> None:
    idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(listener.CONNECTIONS_OF_NETWORK)]
    with pytest.raises((ssl.SSLError, OSError)):
        await ask(port, device(house.gateway.registry, tmp_path / "device"))
    for _, writer in idle:
        writer.close()
        await writer.wait_closed()
    async with asyncio.timeout(30):
        while not await _is_answered(house, port, tmp_path):  # noqa: ASYNC110  that they went away is told to nobody
            await asyncio.sleep(0.05)


async def _is_answered(house: House, port: int, folder: Path) -> bool:
    try:
        return (await ask(port, device(house.gateway.registry, folder / "device"))).status == 202
    except OSError:
        return False


async def test_of_many_that_come_at_the_same_moment_no_more_are_held_than_may_be(port: int) -> None:
    count = 3 * listener.CONNECTIONS_OF_NETWORK
    crowd = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", port) for _ in range(count)))
    ends = [asyncio.create_task(_ended(reader)) for reader, _ in crowd]
    async with asyncio.timeout(30):
        while sum(end.done() for end in ends) < count - listener.CONNECTIONS_OF_NETWORK:
            await asyncio.wait([end for end in ends if not end.done()], return_when=asyncio.FIRST_COMPLETED)
    assert sum(end.done() for end in ends) == count - listener.CONNECTIONS_OF_NETWORK
    for _, writer in crowd:
        writer.transport.abort()
    await asyncio.gather(*ends)


async def _ended(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(OSError):
        await reader.read()


class MistakenTray:
    """Does what no tray does, wherever it hurts."""

    def __init__(self, *, raises: bool) -> None:
        self._raises = raises

    async def knock_with_certificate(self, *_: object) -> None:
        if self._raises:
            raise RuntimeError("a mistake")


@pytest.mark.parametrize("raises", [True, False])
async def test_a_mistake_about_one_who_knocks_ends_nothing_but_that_connection(
    house: House, tmp_path: Path, *, raises: bool
) -> None:
    gateway = dataclasses.replace(house.gateway, tray=cast("Tray", MistakenTray(raises=raises)))
    mine = device(house.gateway.registry, tmp_path / "device")
    with socket.create_server(("127.0.0.1", 0)) as opened:
        async with listener.serving(gateway, opened):
            for _ in range(2):
                if raises:
                    assert (await ask(opened.getsockname()[1], mine)).status == 500
                    continue
                with pytest.raises((OSError, EOFError, KeyError)):
                    await ask(opened.getsockname()[1], mine)


async def test_who_says_nothing_or_stops_half_way_is_left_when_its_time_is_up(house: House, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as opened:
        async with listener.serving(house.gateway, opened, request_seconds=0.5), asyncio.timeout(30):
            port = opened.getsockname()[1]
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            with pytest.raises((EOFError, OSError)):
                await reader.readexactly(1)
            writer.transport.abort()
            mine = device(house.gateway.registry, tmp_path / "device")
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=mine, server_hostname="localhost")
            writer.write(EMPTY[:20])
            with pytest.raises((EOFError, OSError)):
                await reader.readexactly(1)
            writer.transport.abort()
    assert house.gateway.broker.refusals["tls_handshake_failed"] == 2


async def test_an_address_that_comes_without_end_has_to_wait(house: House, port: int, tmp_path: Path) -> None:
    for _ in range(listener.ATTEMPTS_A_MINUTE):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.transport.abort()
    mine = device(house.gateway.registry, tmp_path / "device")
    async with asyncio.timeout(20):
        while True:
            try:
                answer = await ask(port, mine)
            except OSError:
                break
            assert answer.status == 202


async def test_a_renewed_certificate_is_shown_from_then_on(
    house: House, served: Served, port: int, tmp_path: Path
) -> None:
    served.reload_certificate()
    assert (await ask(port, device(house.gateway.registry, tmp_path / "device"))).status == 202


async def test_it_is_closed_unless_somebody_wants_it_and_may_knock(house: House) -> None:
    config = HttpConfig(host="127.0.0.1", port=0, trust_port=None, enrolment_port=None)
    async with server.serving(house.gateway, config) as served:
        assert served.knock_port is None


async def test_leaving_does_not_wait_for_who_is_still_there(house: House) -> None:
    config = HttpConfig(host="127.0.0.1", port=0, trust_port=None, enrolment_port=None, knock_port=0)
    async with asyncio.timeout(30):
        async with server.serving(house.gateway, config) as served:
            _, writer = await asyncio.open_connection("127.0.0.1", served.knock_port)
        writer.close()
