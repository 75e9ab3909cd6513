"""How many wrong tokens an address may show, and where an address is near enough to show one in the open."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import msgspec

from appliance.instant import MINUTE_MS

FREE_MISSES = 10
"""Wrong tokens of one address that are looked at within a minute."""
REMEMBERED_ORIGINS = 10_000
"""Addresses of which wrong tokens are remembered; beyond it the oldest is forgotten."""

_NEIGHBOURHOOD_BITS = 64


class Misses(msgspec.Struct, frozen=True):
    """The wrong tokens of one address in the minute that began at `began_at`."""

    began_at: int = 0
    count: int = 0


def after_miss(misses: Misses, now: int) -> Misses:
    """The minute with one more, or a new one that begins with it."""
    if not misses.count or not 0 <= now - misses.began_at < MINUTE_MS:
        return Misses(now, 1)
    return Misses(misses.began_at, misses.count + 1)


def wait_ms(misses: Misses, now: int) -> int:
    """How long until an address is heard again; 0: at once. Never more than a minute, whatever the clock does."""
    if misses.count < FREE_MISSES or not 0 <= now - misses.began_at < MINUTE_MS:
        return 0
    return misses.began_at + MINUTE_MS - now


def origin(address: str) -> str:
    """Who is counted together: an address without its port, and of IPv6 the network that one customer has."""
    host = host_of(address)
    found = _address(host)
    if not isinstance(found, IPv6Address):
        return str(found) if found else host
    return str(ip_network((found, _NEIGHBOURHOOD_BITS), strict=False))


def host_of(address: str) -> str:
    """An address without its port."""
    return address.rpartition(":")[0].strip("[]")


def is_near(address: str, networks: Sequence[str]) -> bool:
    """Whether an address, with its port, is this machine's own or of one of the networks."""
    found = _address(host_of(address))
    return found is not None and (found.is_loopback or any(found in ip_network(network) for network in networks))


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    # A socket for both kinds tells of IPv4 like this.
    return found.ipv4_mapped or found if isinstance(found, IPv6Address) else found
