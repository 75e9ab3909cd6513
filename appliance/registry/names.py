"""The names and addresses by which devices and people reach this gateway."""

import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import msgspec

from appliance.registry.model import InvalidHostNameError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

LOCAL_DOMAINS = ("local", "home.arpa", "internal", "lan", "localhost")
"""Domains that exist only inside a LAN: the web CA is good for these."""

LOCAL_NETWORKS: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "169.254.0.0/16",
        "127.0.0.0/8",
        "::1/128",
        "fc00::/7",
        "fe80::/10",
    )
)
"""Addresses that are only reached from near by: private, link-local, loopback, unique local."""

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.ASCII)
_HOST_NAME_LENGTH = 253


class ServerNames(msgspec.Struct, frozen=True):
    """The names in a server certificate, sorted, each once."""

    hosts: tuple[str, ...]
    addresses: tuple[str, ...]

    def missing_from(self, wider: "ServerNames") -> tuple[str, ...]:
        """Those of `wider` that are not here."""
        return tuple(sorted({*wider.hosts, *wider.addresses} - {*self.hosts, *self.addresses}))


def gather(hostname: str, configured: Sequence[str], addresses: Iterable[str]) -> ServerNames:
    """Everything this gateway may be called: its host name, as mDNS has it, by the settings, by address.

    A host name that cannot stand in a certificate is left out; a configured one that cannot raises
    `InvalidHostNameError`.
    """
    hosts = {"localhost"}
    found = {ip_address("127.0.0.1"), ip_address("::1")}
    found.update(ip_address(_without_zone(address)) for address in addresses)
    own = canonical_host(hostname)
    if own:
        hosts.update((own, own.split(".")[0] + ".local"))
    for name in configured:
        address = _as_address(name)
        if address:
            found.add(address)
        else:
            hosts.add(_configured_host(name))
    return ServerNames(tuple(sorted(hosts)), tuple(sorted(str(address) for address in found)))


def lan_host(names: ServerNames) -> str:
    """The name or address to tell others in the LAN: an address that is not only this machine's own, else a name."""
    for text in names.addresses:
        address = ip_address(text)
        if address.version == 4 and not (address.is_loopback or address.is_link_local):  # noqa: PLR2004  as in IPv4
            return text
    return next((host for host in names.hosts if host.endswith(".local")), "localhost")


def within(names: ServerNames, domains: Sequence[str], networks: Sequence[Network]) -> ServerNames:
    """The names that lie in these domains and networks, as RFC 5280 4.2.1.10 judges it."""
    hosts = tuple(host for host in names.hosts if any(_is_in_domain(host, domain) for domain in domains))
    addresses = tuple(text for text in names.addresses if any(_is_in_network(text, network) for network in networks))
    return ServerNames(hosts, addresses)


def canonical_host(name: str) -> str:
    """A host name in lower case without the dot at its end; empty when it is none."""
    host = name.strip().lower().removesuffix(".")
    if len(host) > _HOST_NAME_LENGTH or not _HOST_NAME.fullmatch(host) or _as_address(host):
        return ""
    return host


def _configured_host(name: str) -> str:
    host = canonical_host(name)
    if not host:
        raise InvalidHostNameError(f"http.names holds {name!r}: expected a host name or an address")
    return host


def _as_address(text: str) -> Address | None:
    try:
        return ip_address(text.strip())
    except ValueError:
        return None


def _without_zone(address: str) -> str:
    return address.partition("%")[0]


def _is_in_domain(host: str, domain: str) -> bool:
    return host == domain or host.endswith("." + domain)


def _is_in_network(text: str, network: Network) -> bool:
    address = ip_address(text)
    return address.version == network.version and address in network
