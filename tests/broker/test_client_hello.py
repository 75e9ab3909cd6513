"""No bytes confuse the look at a ClientHello, and OpenSSL's own are understood."""

import ssl
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.client_hello import ClientHello, Foreign, Incomplete, read_client_hello
from tests.broker.doorway import client_hello, in_records

MUCH = 16_384
NAMES = st.from_regex(r"[a-z][a-z0-9]{0,20}(\.[a-z][a-z0-9]{0,20}){0,3}", fullmatch=True)
PROTOCOLS = st.lists(st.from_regex(r"[a-z0-9./-]{1,30}", fullmatch=True), max_size=5)
SIZES = st.lists(st.integers(1, 200), max_size=20)


def _context(protocols: list[str]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # How far back it goes is else a matter of how Python was built.
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if protocols:
        context.set_alpn_protocols(protocols)
    return context


class TestLaws:
    @given(st.binary(max_size=300) | st.binary(max_size=300).map(lambda rest: b"\x16\x03\x01" + rest))
    def test_no_bytes_raise_anything(self, data: bytes) -> None:
        assert isinstance(read_client_hello(data, MUCH), ClientHello | Incomplete | Foreign)

    @given(st.data())
    def test_no_damage_to_a_hello_raises_anything(self, draws: Any) -> None:
        hello = bytearray(client_hello(_context(["mqtt"]), "gateway.local"))
        for _ in range(draws.draw(st.integers(1, 5))):
            hello[draws.draw(st.integers(0, len(hello) - 1))] = draws.draw(st.integers(0, 255))
        assert isinstance(read_client_hello(bytes(hello), MUCH), ClientHello | Incomplete | Foreign)

    @given(NAMES, PROTOCOLS, SIZES)
    def test_what_openssl_says_is_understood_however_it_is_cut_into_records(
        self, name: str, protocols: list[str], sizes: list[int]
    ) -> None:
        message = client_hello(_context(protocols), name)[5:]
        data = in_records(message, *sizes)
        expected = ClientHello(name, tuple(protocols), (0x0304, 0x0303), len(data))
        assert read_client_hello(data, MUCH) == expected
        assert read_client_hello(data + b"\x14\x03\x03", MUCH) == expected

    @settings(max_examples=25)
    @given(SIZES)
    def test_of_a_part_it_says_how_much_more_there_is_at_least(self, sizes: list[int]) -> None:
        data = in_records(client_hello(_context(["mqtt"]), "gateway.local")[5:], *sizes)
        for end in range(len(data)):
            found = read_client_hello(data[:end], MUCH)
            assert isinstance(found, Incomplete)
            assert end < found.needed_bytes <= len(data)

    @settings(max_examples=25)
    @given(SIZES)
    def test_waiting_for_what_is_needed_reads_the_whole_hello_in_few_looks(self, sizes: list[int]) -> None:
        """However small the records are: each look costs the loop a turn."""
        message = client_hello(_context(["mqtt"]), "gateway.local")[5:]
        for data in (in_records(message, *sizes), in_records(message, *[1] * len(message))):
            found, looks = read_client_hello(b"", MUCH), 1
            while isinstance(found, Incomplete):
                found, looks = read_client_hello(data[: found.needed_bytes], MUCH), looks + 1
            assert isinstance(found, ClientHello)
            assert looks < 60


def test_a_client_that_names_no_host_and_no_protocol_is_understood() -> None:
    found = read_client_hello(client_hello(_context([])), MUCH)
    assert isinstance(found, ClientHello)
    assert (found.server_name, found.alpn) == ("", ())


def test_a_client_without_the_list_of_versions_has_its_one_version() -> None:
    context = _context([])
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    found = read_client_hello(client_hello(context), MUCH)
    assert isinstance(found, ClientHello)
    assert found.supported_versions == (0x0303,)


def test_a_host_is_compared_in_lower_case() -> None:
    found = read_client_hello(client_hello(_context([]), "GateWay.Local"), MUCH)
    assert isinstance(found, ClientHello)
    assert found.server_name == "gateway.local"


def test_a_hello_without_extensions_is_understood() -> None:
    body = b"\x03\x03" + bytes(32) + b"\x00" + b"\x00\x02\x00\x2f" + b"\x01\x00"
    data = in_records(b"\x01" + len(body).to_bytes(3, "big") + body)
    assert read_client_hello(data, MUCH) == ClientHello("", (), (0x0303,), len(data))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "speaks HTTP, not TLS"),
        (bytes.fromhex("100c00044d5154540402000000 00"), "speaks MQTT without TLS"),
        (bytes.fromhex("802e010301001500000010"), "outdated version of TLS"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "something other than TLS"),
        (b"\x16\x02", "damaged"),
        (b"\x16\x03\x01\x00\x00", "damaged"),
        (b"\x16\x03\x01\x40\x01", "damaged"),
        (b"\x16\x03\x01\x00\x01\x02", "damaged"),
        (b"\x16\x03\x01\x00\x01\x01\x17", "damaged"),
        (b"\x16\x03\x01\x00\x04\x01\x00\x00\x00", "damaged"),
        (b"\x16\x03\x01\x00\x04\x01\x00\x40\x00", "exceeds 16384 bytes"),
    ],
)
def test_what_is_no_hello_is_told_apart(data: bytes, words: str) -> None:
    found = read_client_hello(data, MUCH)
    assert isinstance(found, Foreign)
    assert words in found.reason


def test_a_hello_that_is_complete_but_too_large_is_foreign() -> None:
    data = client_hello(_context([]))
    assert isinstance(read_client_hello(data, len(data)), ClientHello)
    assert isinstance(read_client_hello(data, len(data) - 1), Foreign)
