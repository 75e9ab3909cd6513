import ssl

from broker.client_hello import ClientHello
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
