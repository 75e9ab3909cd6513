"""Which certificates have had their time once a renewed one was used."""

from collections.abc import Collection

from appliance.enrolment.renewal.model import Succession


def ended_by(successions: Collection[Succession], fingerprint: str) -> frozenset[str]:
    """The certificates whose place this one takes when it is used: those before it, and others meant for the same."""
    before = {each.fingerprint: each.replaced for each in successions}
    found: set[str] = set()
    current = fingerprint
    while current in before and before[current] not in found:
        replaced = before[current]
        found.add(replaced)
        found.update(each.fingerprint for each in successions if each.replaced == replaced)
        current = replaced
    return frozenset(found - {fingerprint})


def subject_refusal(device_id: str, common_name: str, certified_name: str) -> str | None:
    """None when a device may ask for a certificate with this common name, else why not (RFC 7030 4.2.2).

    `certified_name` is the one that its present certificate has. A request without a name is for itself.
    """
    if common_name in ("", device_id, certified_name):
        return None
    return f"the request names {common_name[:140]!r}, but the certificate of this connection is that of {device_id}"
