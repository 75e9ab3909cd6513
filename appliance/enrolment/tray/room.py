"""Who makes room in a full tray: so that honest ones stay, a network loses its own before it pushes others out."""

from collections.abc import Mapping
from ipaddress import IPv4Address, ip_address, ip_network

from appliance.enrolment.turnstile import network_of

_ORIGIN_BITS = 24


def origin_of(address: str) -> str:
    """The network that shares the tray with others: of IPv4 256 addresses, of IPv6 what one customer has."""
    network = network_of(address)
    try:
        found = ip_address(network)
    except ValueError:
        return network
    return str(ip_network((found, _ORIGIN_BITS), strict=False)) if isinstance(found, IPv4Address) else network


def giving_way(waiting: Mapping[str, int], origin: str) -> str | None:
    """Of which network one has to go for one more of `origin`; None where that one is refused instead.

    `waiting` says of how many of each network wait, the one first whose oldest has been silent the longest.
    A network that has no more than its share of the tray, divided among all that knock, loses nobody and is let in.
    """
    fullest = max(waiting, key=waiting.__getitem__, default=origin)
    return None if waiting.get(origin, 0) >= waiting.get(fullest, 0) else fullest
