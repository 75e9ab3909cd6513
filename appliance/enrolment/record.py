"""What enrolment by claim tells the audit log."""

from appliance.audit.change import bounded
from appliance.audit.model import Entry
from appliance.enrolment.model import Claim
from appliance.instant import to_text
from appliance.registry import record
from appliance.registry.model import Certificate, Device, IssuedCertificate


def claim_added(claim: Claim) -> list[Entry]:
    """A claim was made."""
    details = {
        "fingerprint": claim.fingerprint,
        "template": claim.template,
        "expires_at": to_text(claim.expires_at),
        "use_limit": str(claim.use_limit),
    }
    return [Entry("claim.add", claim.name, details)]


def prepared(claim: Claim, certificate: Certificate) -> list[Entry]:
    """A certificate was made that is no device's yet."""
    details = {"fingerprint": certificate.fingerprint, "serial": certificate.serial}
    return [Entry("certificate.prepare", claim.name, details)]


def enrolled(claim: Claim, before: Device | None, device: Device, kept: IssuedCertificate) -> list[Entry]:
    """A device was registered, or known `before` and found, and a certificate was bound to it."""
    details = {"claim": claim.name, "use_count": str(claim.use_count), "fingerprint": kept.certificate.fingerprint}
    known = record.added([device]) if before is None else record.changed(before, device)
    issued = record.issued([kept], key=f"given out by the claim {claim.name}")
    return [Entry("claim.use", device.device_id, details), *known, *issued]


def template_added(name: str, body: str) -> list[Entry]:
    """A provisioning template was added."""
    return [Entry("template.add", name, {"body": bounded(body)})]


def template_removed(name: str) -> list[Entry]:
    """A provisioning template was removed."""
    return [Entry("template.remove", name)]
