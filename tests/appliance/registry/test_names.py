"""The names by which the gateway is reached."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.registry.model import InvalidHostNameError
from appliance.registry.names import (
    LOCAL_DOMAINS,
    LOCAL_NETWORKS,
    ServerNames,
    canonical_host,
    gather,
    lan_host,
    within,
)

addresses = st.ip_addresses().map(str)
labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
hosts = st.lists(labels, min_size=1, max_size=3).map(".".join).filter(canonical_host)


@given(hostname=st.text(max_size=30), found=st.lists(addresses, max_size=5))
def test_any_machine_can_be_reached_by_loopback_and_its_addresses(hostname: str, found: list[str]) -> None:
    names = gather(hostname, (), found)
    assert "localhost" in names.hosts
    assert {ip_address(text) for text in ("127.0.0.1", "::1", *found)} == {ip_address(text) for text in names.addresses}


@given(
    hostname=hosts, configured=st.lists(st.one_of(hosts, addresses), max_size=4), found=st.lists(addresses, max_size=4)
)
def test_names_do_not_depend_on_the_order_they_came_in(hostname: str, configured: list[str], found: list[str]) -> None:
    assert gather(hostname, configured, found) == gather(hostname, configured[::-1], found[::-1])


@given(text=st.text(max_size=300))
def test_a_canonical_host_is_canonical_already(text: str) -> None:
    host = canonical_host(text)
    assert canonical_host(host) == host


@given(address=st.ip_addresses())
def test_an_address_is_local_when_its_network_is(address: str) -> None:
    inside = any(ip_address(address) in network for network in LOCAL_NETWORKS)
    kept = within(ServerNames((), (str(address),)), LOCAL_DOMAINS, LOCAL_NETWORKS)
    assert bool(kept.addresses) == inside


def test_a_host_has_its_name_and_the_one_of_mdns() -> None:
    assert gather("Gateway-7F3A", (), []).hosts == ("gateway-7f3a", "gateway-7f3a.local", "localhost")
    assert gather("gw.home.arpa.", (), []).hosts == ("gw.home.arpa", "gw.local", "localhost")


def test_configured_names_and_addresses_are_told_apart() -> None:
    names = gather("gw", ("Gateway.Example", "10.1.2.3", "fd00::1"), ["fe80::1%eth0"])
    assert "gateway.example" in names.hosts
    assert set(names.addresses) == {"10.1.2.3", "127.0.0.1", "::1", "fd00::1", "fe80::1"}


@pytest.mark.parametrize(
    "name", ["", "a b", "*.lan", "-a", "a..b", "http://gw", "gw:8443", "ü.lan", "x" * 64, "a." * 130]
)
def test_a_configured_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(InvalidHostNameError, match="host name or an address"):
        gather("gw", (name,), [])


@pytest.mark.parametrize("hostname", ["", "(none)", "10.0.0.1", "a b"])
def test_a_host_name_that_is_none_is_left_out(hostname: str) -> None:
    assert gather(hostname, (), []).hosts == ("localhost",)


@pytest.mark.parametrize("host", ["gw.local", "a.b.lan", "localhost", "lan", "x.home.arpa"])
def test_names_of_a_lan_are_local(host: str) -> None:
    assert within(ServerNames((host,), ()), LOCAL_DOMAINS, []).hosts == (host,)


@pytest.mark.parametrize("host", ["www.example.com", "evillocal", "local.example", "arpa", "gw"])
def test_names_of_the_internet_are_not(host: str) -> None:
    assert within(ServerNames((host,), ()), LOCAL_DOMAINS, []).hosts == ()


def test_what_was_left_out_can_be_told() -> None:
    names = ServerNames(("gw.lan", "www.example.com"), ("10.0.0.1", "192.0.2.1"))
    allowed = within(names, LOCAL_DOMAINS, [ip_network("10.0.0.0/8")])
    assert allowed.missing_from(names) == ("192.0.2.1", "www.example.com")


def test_others_are_told_an_address_of_the_lan_before_a_name() -> None:
    assert lan_host(gather("gw", (), ["fe80::1", "169.254.3.4", "192.168.4.2"])) == "192.168.4.2"
    assert lan_host(gather("gw", (), ["fd00::2"])) == "gw.local"
    assert lan_host(gather("", (), [])) == "localhost"
