"""What is known by heart of a tenant's own CAs and their certificates: what every connection asks."""

import re
from collections.abc import Iterable

from appliance.registry.model import check_device_id
from appliance.registry.own_authorities.model import CertificateState, Leaf, Mode, OwnAuthority, OwnCertificate

_NOT_IN_IDS = re.compile(r"[^A-Za-z0-9:_-]+", re.ASCII)
_ID_LENGTH = 128
_TAG_LENGTH = 12


class Book:
    """The CAs by number, and their certificates by fingerprint."""

    def __init__(self) -> None:
        self.authorities: dict[int, OwnAuthority] = {}
        self.certificates: dict[str, OwnCertificate] = {}

    def remember(self, authority: OwnAuthority) -> None:
        """Know a CA as it is now."""
        self.authorities[authority.authority_number] = authority

    def note(self, certificates: Iterable[OwnCertificate]) -> None:
        """Know certificates as they are now."""
        self.certificates.update((each.fingerprint, each) for each in certificates)

    def refusal(self, fingerprint: str) -> str | None:
        """None where the CA of a device's certificate lets it in, or it is of no such CA; else why not."""
        known = self.certificates.get(fingerprint)
        if known is None:
            return None
        authority = self.authorities.get(known.authority_number)
        if authority is None:
            return "the CA that issued this certificate was removed from this gateway"
        if authority.settings.mode is Mode.INACTIVE:
            return f"the CA {authority.subject} is switched off at this gateway, and with it all of its certificates"
        return None

    def standing(self, certificate: OwnCertificate, *, names_registered: bool) -> str:
        """Why a certificate that was seen before opens nothing."""
        off = self.refusal(certificate.fingerprint)
        if off:
            return off
        match certificate.state:
            case CertificateState.BOUND:
                return f"this certificate was that of {certificate.device_id}, which is retired"
            case CertificateState.REFUSED:
                return f"a person has refused this certificate ({certificate.subject})"
            case CertificateState.WAITING if names_registered:
                return (
                    f"a certificate of a CA of your own names {certificate.device_id}, which is registered already:"
                    " whether it is that device is for a person to say, under Enrolment"
                )
            case CertificateState.WAITING:
                return f"this certificate ({certificate.subject}) waits until a person accepts it, under Enrolment"

    def certificates_of(self, tenant_id: int, state: CertificateState) -> list[OwnCertificate]:
        """A tenant's certificates of which this became, the newest first; not those of CAs that were removed."""
        found = (
            each
            for each in self.certificates.values()
            if each.tenant_id == tenant_id and each.state is state and each.authority_number in self.authorities
        )
        return sorted(found, key=lambda each: -each.certificate_number)

    def devices_of(self, authority_number: int) -> list[str]:
        """The devices that have a certificate of a CA."""
        return sorted(
            {
                each.device_id
                for each in self.certificates.values()
                if each.authority_number == authority_number and each.state is CertificateState.BOUND
            }
        )


def suggested_id(leaf: Leaf) -> str:
    """A device id made of what a certificate says of its bearer, or else of its fingerprint."""
    for text in (leaf.common_name, leaf.serial_number):
        found = _NOT_IN_IDS.sub("-", text).strip("-")[:_ID_LENGTH]
        if found:
            return check_device_id(found)
    return f"device-{leaf.fingerprint[:_TAG_LENGTH]}"
