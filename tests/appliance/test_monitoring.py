from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.config import ConfigError, load
from appliance.monitoring import MetricsConfig


@given(st.ip_addresses(), st.lists(st.ip_addresses(), max_size=3))
def test_an_address_is_let_in_exactly_when_it_is_in_a_network(asking: object, networks: list[object]) -> None:
    listed = MetricsConfig(tuple(map(str, networks)))
    assert listed.is_open_to(str(asking)) is any(asking == network for network in networks)
    assert MetricsConfig(("0.0.0.0/0", "::/0")).is_open_to(str(asking))


def test_nobody_is_let_in_unless_a_network_is_listed() -> None:
    assert not MetricsConfig().is_open_to("127.0.0.1")
    listed = MetricsConfig((str(ip_network("192.168.7.0/24")),))
    assert listed.is_open_to("192.168.7.255")
    assert listed.is_open_to("::ffff:192.168.7.9")
    assert not listed.is_open_to("192.168.8.1")
    assert not listed.is_open_to("::192.168.7.9")


@pytest.mark.parametrize("address", ["", "localhost", "192.168.7.9:80", "192.168.7.9/32"])
def test_what_is_no_address_is_let_in_nowhere(address: str) -> None:
    assert not MetricsConfig(("0.0.0.0/0", "::/0")).is_open_to(address)


def test_a_network_that_is_none_is_a_complaint_about_the_settings(tmp_path: Path) -> None:
    settings = tmp_path / "config.toml"
    settings.write_text('[metrics]\nnetworks = ["192.168.7.9/24"]\n')
    with pytest.raises(ConfigError, match=r"192\.168\.7\.9/24 has host bits set.*metrics"):
        load(settings, {})
    settings.write_text('[metrics]\nnetworks = ["192.168.7.0/24"]\n')
    assert load(settings, {"HEADWORKS__METRICS__NETWORKS": "10.0.0.0/8, ::1"}).metrics.networks == ("10.0.0.0/8", "::1")
