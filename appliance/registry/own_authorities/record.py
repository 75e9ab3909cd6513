"""What CAs of a tenant's own tell the audit log."""

from collections.abc import Sequence

from appliance.audit.model import Entry
from appliance.instant import to_text
from appliance.registry.model import IssuedCertificate
from appliance.registry.own_authorities.model import NewAuthority, OwnAuthority, OwnCertificate, Settings


def registered(new: NewAuthority, settings: Settings) -> list[Entry]:
    """A CA was registered, and has shown that its key is at hand."""
    details = {"fingerprint": new.fingerprint, "expires_at": to_text(new.expires_at), **_decided(settings)}
    return [Entry("own_authority.register", new.subject, details)]


def changed(authority: OwnAuthority, settings: Settings) -> list[Entry]:
    """It was decided anew what becomes of the certificates of a CA."""
    details = {"fingerprint": authority.fingerprint, "from": authority.settings.mode.value, **_decided(settings)}
    return [Entry("own_authority.change", authority.subject, details)]


def removed(authority: OwnAuthority) -> list[Entry]:
    """A CA was removed, and all of its certificates were revoked."""
    return [Entry("own_authority.remove", authority.subject, {"fingerprint": authority.fingerprint})]


def taken_in(kept: Sequence[IssuedCertificate], authority: OwnAuthority) -> list[Entry]:
    """Certificates that a CA has issued are those of devices now."""
    return [
        Entry(
            "certificate.take_in",
            one.device_id,
            {
                "fingerprint": one.certificate.fingerprint,
                "serial": one.certificate.serial,
                "expires_at": to_text(one.certificate.expires_at),
                "authority": authority.subject,
            },
        )
        for one in kept
    ]


def accepted(certificate: OwnCertificate, device_id: str) -> list[Entry]:
    """A person has let the bearer of a certificate be a device."""
    details = {"fingerprint": certificate.fingerprint, "serial": certificate.serial, "subject": certificate.subject}
    return [Entry("certificate.take_in", device_id, details)]


def refused(certificate: OwnCertificate) -> list[Entry]:
    """A person lets nobody in by a certificate."""
    return [Entry("certificate.refuse", certificate.subject, {"fingerprint": certificate.fingerprint})]


def reconsidered(certificate: OwnCertificate) -> list[Entry]:
    """A person lets a refused certificate wait again."""
    return [Entry("certificate.reconsider", certificate.subject, {"fingerprint": certificate.fingerprint})]


def _decided(settings: Settings) -> dict[str, str]:
    return {
        "mode": settings.mode.value,
        "template": settings.template,
        "daily_limit": str(settings.daily_limit),
    }
