"""What the audit log is told of the server certificates that this gateway issues to itself."""

from collections.abc import Mapping

from appliance.audit.model import Entry
from appliance.instant import to_text
from appliance.registry import authority
from appliance.registry.pki import Pki


def shown(pki: Pki) -> dict[str, bytes]:
    """The certificates that there are, PEM, by the listener that shows them."""
    paths = {"mqtt": pki.device_tls.certificate, "web": pki.web_tls.certificate}
    return {name: path.read_bytes() for name, path in paths.items() if path.exists()}


def entries(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> list[Entry]:
    """Certificates took the place of others; those that came first are part of the first start."""
    return [
        _entry("server_certificate.renew", name, pem)
        for name, pem in sorted(after.items())
        if name in before and before[name] != pem
    ]


def _entry(action: str, name: str, pem: bytes) -> Entry:
    certificate = authority.read_certificate(pem)
    details = {
        "fingerprint": authority.fingerprint(certificate),
        "serial": f"{certificate.serial_number:x}",
        "expires_at": to_text(authority.ends_at(certificate)),
    }
    return Entry(action, name, details)
