"""Who may read the gateway's figures without showing who they are."""

from ipaddress import IPv6Address, ip_address, ip_network

import msgspec


class MetricsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who reads `/metrics`."""

    networks: tuple[str, ...] = ()
    """Networks, such as `192.168.7.0/24`, that are answered without a token."""

    def __post_init__(self) -> None:
        """Raise `ValueError` for what is no network; it becomes a complaint about the settings."""
        for network in self.networks:
            ip_network(network)

    def is_open_to(self, address: str) -> bool:
        """Whether an address, without its port, is in one of the networks."""
        try:
            asking = ip_address(address.partition("%")[0])
        except ValueError:
            return False  # What came over no network has none.
        if isinstance(asking, IPv6Address) and asking.ipv4_mapped is not None:
            asking = asking.ipv4_mapped
        return any(asking in ip_network(network) for network in self.networks)
