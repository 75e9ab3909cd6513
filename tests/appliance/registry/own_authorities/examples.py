"""CAs and certificates as the database and the book know them."""

import functools

from appliance.registry.own_authorities.model import (
    CertificateState,
    Leaf,
    Mode,
    NewAuthority,
    OwnAuthority,
    OwnCertificate,
    Settings,
)
from appliance.registry.own_authorities.queries import Seen
from tests.appliance.registry.examples import NOW
from tests.appliance.registry.own_authorities.makers import Company

FAR = NOW + 10**12


def new_authority(number: int = 1) -> NewAuthority:
    return NewAuthority(f"{number:064x}", f"{number + 1_000:064x}", f"CN=CA {number}", pem_of(f"CA {number}"), FAR)


@functools.cache
def pem_of(name: str) -> str:
    """A CA of this name."""
    return Company(name).pem.decode()


def authority(mode: Mode = Mode.REGISTER, number: int = 1) -> OwnAuthority:
    new = new_authority(number)
    return OwnAuthority(1, number, new.fingerprint, new.issuer_key, new.subject, "PEM", Settings(mode), NOW, FAR)


def leaf(number: int = 1, common_name: str = "pump-7") -> Leaf:
    return Leaf(f"{number:064x}", f"{number:x}", f"CN={common_name}", common_name, "PX-1", NOW, FAR, "PEM")


def certificate(state: CertificateState, number: int = 1, authority_number: int = 1) -> OwnCertificate:
    one = leaf(number)
    told = (one.fingerprint, one.serial, one.subject, one.common_name, one.serial_number, FAR)
    return OwnCertificate(1, number, authority_number, "aa", *told, "192.0.2.7:1", NOW, state, None, "pump-7")


def seen(known: OwnAuthority, number: int = 1, common_name: str = "pump-7", at: int = NOW) -> Seen:
    return Seen(known, leaf(number, common_name), "192.0.2.7:1", at)
