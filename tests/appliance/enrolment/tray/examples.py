"""Knocks as tests know them."""

from appliance.enrolment.tray.model import Knock, KnockState, NewKnock
from tests.appliance.enrolment.requests import NOW


def new_knock(number: int = 1) -> NewKnock:
    told = (f"{number:064x}", "EC secp256r1", f"CN=pump-{number}", f"pump-{number}", "", "", "192.0.2.7", b"r")
    return NewKnock(*told, network=f"network-{number}", origin=f"origin-{number}")


def knock(common_name: str = "", serial_number: str = "") -> Knock:
    told = ("ab" * 32, "EC secp256r1", "", common_name, serial_number, "", "192.0.2.7")
    return Knock(1, 1, *told, NOW, NOW, KnockState.WAITING, None, "", "", b"r")
